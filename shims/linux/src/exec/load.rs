//! Mapping an ELF file into a fresh address space, as load_elf_binary() of Linux does.

use crate::exec::elf::{Elf, Segment};
use crate::exec::image::Image;
use capsid_core::Errno;
use capsid_core::memory::{AddressSpace, MapRequest, MemoryLimits, Placement};
use capsid_platform::{GuestAddr, PAGE_SIZE, Protection, platform};

const PAGE: u64 = PAGE_SIZE as u64;

/// Where an image came to lie.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loaded {
    /// What is added to the file's addresses.
    pub bias: u64,
    /// The first address.
    pub start: u64,
    /// The address after the last byte of its bss.
    pub end: u64,
    /// The code: start and end.
    pub code: (u64, u64),
    /// The data: start and end.
    pub data: (u64, u64),
}

/// Where an image that can lie anywhere should go.
#[derive(Clone, Copy, Debug)]
pub enum Base {
    /// Wherever there is room.
    Anywhere,
    /// Here.
    At(u64),
}

fn page_start(address: u64) -> u64 {
    address & !(PAGE - 1)
}

fn page_end(address: u64) -> Result<u64, Errno> {
    address.checked_next_multiple_of(PAGE).ok_or(Errno::ENOMEM)
}

/// Maps an image. A failure leaves parts of it mapped.
pub fn load(
    space: &AddressSpace,
    image: &Image,
    base: Base,
    limits: &MemoryLimits,
) -> Result<Loaded, Errno> {
    let bias = if image.elf.relocatable {
        find_bias(space, &image.elf, base)?
    } else {
        0
    };
    let mut loaded = Loaded {
        bias,
        start: u64::MAX,
        ..Loaded::default()
    };
    for segment in &image.elf.segments {
        map_segment(space, image, segment, &mut loaded, limits)?;
    }
    Ok(loaded)
}

/// Finds room for all of a relocatable image and returns its load bias. Nobody else maps anything
/// into a fresh address space, so that the room needs no holding.
fn find_bias(space: &AddressSpace, elf: &Elf, base: Base) -> Result<u64, Errno> {
    let mut low = u64::MAX;
    let mut high = 0;
    let mut alignment = PAGE;
    for segment in &elf.segments {
        low = low.min(page_start(segment.address));
        let end = segment.address.checked_add(segment.memory_bytes);
        high = high.max(end.ok_or(Errno::EINVAL)?);
        if segment.alignment.is_power_of_two() {
            alignment = alignment.max(segment.alignment);
        }
    }
    if low >= high {
        return Err(Errno::EINVAL);
    }
    let hint = match base {
        Base::Anywhere => 0,
        Base::At(address) => address,
    };
    let start = space.find_room(hint, page_end(high - low)?, alignment)?;
    Ok(start.wrapping_sub(low))
}

fn map_segment(
    space: &AddressSpace,
    image: &Image,
    segment: &Segment,
    loaded: &mut Loaded,
    limits: &MemoryLimits,
) -> Result<(), Errno> {
    if segment.file_bytes > segment.memory_bytes {
        return Err(Errno::EINVAL);
    }
    let address = loaded.bias.wrapping_add(segment.address);
    let in_page = address % PAGE;
    let file_end = address
        .checked_add(segment.file_bytes)
        .ok_or(Errno::EINVAL)?;
    let end = address
        .checked_add(segment.memory_bytes)
        // Also of an empty segment, which is not mapped: the heap begins behind the last one.
        .filter(|end| *end <= platform().info().guest_range.end())
        .ok_or(Errno::EINVAL)?;
    let start = page_start(address);
    let mut mapped_end = start;
    if segment.file_bytes > 0 {
        let offset = segment.offset.checked_sub(in_page).ok_or(Errno::EINVAL)?;
        let request = MapRequest::file(
            Placement::Fixed(start),
            segment.file_bytes + in_page,
            segment.protection,
            image.file.clone(),
            offset,
        );
        space.map(request, limits)?;
        mapped_end = page_end(file_end)?;
        if end > file_end {
            clear(segment.protection, file_end, mapped_end.min(page_end(end)?))?;
        }
    }
    let memory_end = page_end(end)?;
    if memory_end > mapped_end {
        let request = MapRequest::anonymous(
            Placement::Fixed(mapped_end),
            memory_end - mapped_end,
            segment.protection,
        );
        space.map(request, limits)?;
    }
    loaded.start = loaded.start.min(start);
    loaded.end = loaded.end.max(end);
    if segment.protection.contains(Protection::EXECUTE) {
        loaded.code = extend(loaded.code, address, file_end);
    } else {
        loaded.data = extend(loaded.data, address, file_end);
    }
    Ok(())
}

fn extend(range: (u64, u64), start: u64, end: u64) -> (u64, u64) {
    if range.1 == 0 {
        return (start, end);
    }
    (range.0.min(start), range.1.max(end))
}

/// Zeroes what the file put behind a segment's bytes in its last page. In a segment that is not
/// writable nothing relies on it.
fn clear(protection: Protection, from: u64, to: u64) -> Result<(), Errno> {
    if !protection.contains(Protection::WRITE) || from >= to {
        return Ok(());
    }
    static ZEROS: [u8; PAGE_SIZE] = [0; PAGE_SIZE];
    let length = usize::try_from(to - from).map_err(|_| Errno::EINVAL)?;
    GuestAddr(from).write(ZEROS.get(..length).ok_or(Errno::EINVAL)?)
}
