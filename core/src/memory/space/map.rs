//! Making mappings, mmap(2).

use super::vma::{Object, PAGE, Removed, Vma};
use super::{AddressSpace, Map, MemoryLimits, VmaFlags, host, page_range, round_up};
use crate::fs::memfd::Seals;
use crate::fs::{MountFlags, OpenFile, StatusFlags};
use crate::memory::SharedMemory;
use alloc::sync::Arc;
use capsid_platform::{Advice, Errno, GuestAddr, GuestRange, Protection, Sharing, platform};

/// Kept free behind a file that is mapped from its start at no particular address: room for the
/// trampolines of its patched text.
const TRAMPOLINE_GAP_BYTES: u64 = 64 << 10;
/// Where `MAP_32BIT` puts mappings, as Linux does.
const LOW_RANGE: (u64, u64) = (0x4000_0000, 0x8000_0000);
/// Anonymous mappings of a multiple of this are aligned to it, as on Linux since 6.7, so that the
/// host can use huge pages.
const HUGE_PAGE_BYTES: u64 = 2 << 20;
/// mmap(2) places nothing below this of its own choice.
const LOWEST_CHOICE: u64 = 0x10_0000;

/// Where a mapping goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// At this address if it is free, else anywhere; 0 for anywhere.
    Hint(u64),
    /// At this address, replacing what is there (`MAP_FIXED`).
    Fixed(u64),
    /// At this address: `EEXIST` if something is there (`MAP_FIXED_NOREPLACE`).
    FixedNoReplace(u64),
    /// In the first 2 GiB (`MAP_32BIT`): at this address if it lies there and is free; 0 for
    /// anywhere.
    Low(u64),
}

/// What a mapping shows.
#[derive(Clone, Debug)]
pub enum MapSource {
    /// Zeroed memory.
    Anonymous,
    /// A file, from a byte offset that is a multiple of the page size.
    File(Arc<OpenFile>, u64),
}

/// What mmap(2) is asked for.
#[derive(Clone, Debug)]
pub struct MapRequest {
    /// Where.
    pub placement: Placement,
    /// Bytes; rounded up to whole pages.
    pub length: u64,
    /// What the guest may do.
    pub protection: Protection,
    /// Whose writes it shows.
    pub sharing: Sharing,
    /// What it shows.
    pub source: MapSource,
    /// Properties.
    pub flags: VmaFlags,
    /// Fault it in at once (`MAP_POPULATE`, `MAP_LOCKED`).
    pub populate: bool,
}

impl MapRequest {
    /// A request for private zeroed memory.
    #[must_use]
    pub fn anonymous(placement: Placement, length: u64, protection: Protection) -> MapRequest {
        MapRequest {
            placement,
            length,
            protection,
            sharing: Sharing::Private,
            source: MapSource::Anonymous,
            flags: VmaFlags::empty(),
            populate: false,
        }
    }

    /// A request for a private mapping of a file.
    #[must_use]
    pub fn file(
        placement: Placement,
        length: u64,
        protection: Protection,
        file: Arc<OpenFile>,
        offset: u64,
    ) -> MapRequest {
        let mut request = MapRequest::anonymous(placement, length, protection);
        request.source = MapSource::File(file, offset);
        request
    }

    /// Makes the mapping that this asks for, without its place.
    fn into_vma(self, length: u64) -> Result<Vma, Errno> {
        let all = Protection::READ | Protection::WRITE | Protection::EXECUTE;
        let (object, allowed) = match self.source {
            MapSource::Anonymous if self.sharing == Sharing::Private => (Object::Anonymous, all),
            MapSource::Anonymous => {
                let file = SharedMemory::open(length)?;
                (Object::File { file, offset: 0 }, all)
            }
            MapSource::File(file, offset) => {
                if !offset.is_multiple_of(PAGE) {
                    return Err(Errno::EINVAL);
                }
                offset.checked_add(length).ok_or(Errno::EOVERFLOW)?;
                let allowed = allowed_by_file(&file, self.sharing, self.protection)?;
                (Object::File { file, offset }, allowed)
            }
        };
        Ok(Vma {
            end: length,
            protection: self.protection,
            allowed,
            sharing: self.sharing,
            flags: self.flags,
            object,
            populated: 0,
        })
    }
}

/// What a mapping of `file` may ever be allowed: `EACCES`, `EPERM`, `ENODEV`.
fn allowed_by_file(
    file: &OpenFile,
    sharing: Sharing,
    wanted: Protection,
) -> Result<Protection, Errno> {
    let flags: StatusFlags = file.flags();
    if flags.contains(StatusFlags::PATH) {
        return Err(Errno::EBADF);
    }
    if !flags.readable() {
        return Err(Errno::EACCES);
    }
    let mut allowed = Protection::READ | Protection::WRITE | Protection::EXECUTE;
    if sharing == Sharing::Shared && !flags.writable() {
        if wanted.contains(Protection::WRITE) {
            return Err(Errno::EACCES);
        }
        allowed.remove(Protection::WRITE);
    }
    let sealed = file
        .file
        .seals()
        .map_or(Seals::empty(), Seals::from_bits_retain);
    if sharing == Sharing::Shared && sealed.intersects(Seals::NO_WRITE) {
        if wanted.contains(Protection::WRITE) {
            return Err(Errno::EPERM);
        }
        allowed.remove(Protection::WRITE);
    }
    let no_execute = |path: &crate::fs::Path| path.mount().flags().contains(MountFlags::NO_EXECUTE);
    if file.path().is_some_and(no_execute) {
        if wanted.contains(Protection::EXECUTE) {
            return Err(Errno::EPERM);
        }
        allowed.remove(Protection::EXECUTE);
    }
    file.file.mappable()?;
    Ok(allowed)
}

impl AddressSpace {
    /// Makes a mapping and returns its address: `EINVAL`, `ENOMEM`, `EEXIST`, `EPERM`, `EACCES`,
    /// `ENODEV`, `EOVERFLOW`, `EAGAIN`.
    pub fn map(&self, request: MapRequest, limits: &MemoryLimits) -> Result<u64, Errno> {
        if request.length == 0 {
            return Err(Errno::EINVAL);
        }
        let length = round_up(request.length).ok_or(Errno::ENOMEM)?;
        let placement = request.placement;
        let populate = request.populate;
        let advice = populate_advice(request.protection);
        let vma = request.into_vma(length)?;
        let shows_text = vma.protection.contains(Protection::EXECUTE);
        let mut map = self.map.lock();
        let range = map.place(placement, length, &vma)?;
        let (removed, locked) = map.map_at(range, vma, limits)?;
        if shows_text {
            map.show_patched(range.start());
        }
        drop(map);
        drop(removed);
        if populate || locked {
            // Only a wish, unless memory is short.
            let _ = advice.map(|advice| platform().advise(range, advice));
        }
        Ok(range.start())
    }

    /// Finds a free range of `length` bytes, whole pages, at a multiple of `align`: the first at or
    /// behind `hint` if that is free, or anywhere, with room for trampolines behind it. `ENOMEM` if
    /// there is none.
    pub fn find_room(&self, hint: u64, length: u64, align: u64) -> Result<u64, Errno> {
        let guest = platform().info().guest_range;
        let mut map = self.map.lock();
        if hint != 0
            && let Some(start) = hint.checked_next_multiple_of(align)
            && let Some(range) = GuestRange::new(GuestAddr(start), length)
            && guest.encloses(range)
            && map.tree.is_empty_at(range)
        {
            return Ok(start);
        }
        let padded = length
            .checked_add(TRAMPOLINE_GAP_BYTES)
            .ok_or(Errno::ENOMEM)?;
        let start = map.find_free(padded, align).ok_or(Errno::ENOMEM)?;
        if let Some(gap) = GuestRange::new(GuestAddr(start + length), TRAMPOLINE_GAP_BYTES) {
            map.tree.insert_gap(gap);
        }
        Ok(start)
    }
}

fn populate_advice(protection: Protection) -> Option<Advice> {
    if protection.contains(Protection::WRITE) {
        Some(Advice::PopulateWrite)
    } else if protection.is_empty() {
        None
    } else {
        Some(Advice::PopulateRead)
    }
}

impl Map {
    /// Chooses where a mapping goes.
    fn place(&mut self, wanted: Placement, length: u64, vma: &Vma) -> Result<GuestRange, Errno> {
        let guest = platform().info().guest_range;
        match wanted {
            Placement::Fixed(start) | Placement::FixedNoReplace(start) => {
                if !start.is_multiple_of(PAGE) {
                    return Err(Errno::EINVAL);
                }
                if start < guest.start() {
                    return Err(Errno::EPERM);
                }
                let range = page_range(GuestAddr(start), length).ok_or(Errno::ENOMEM)?;
                if !guest.encloses(range) {
                    return Err(Errno::ENOMEM);
                }
                if matches!(wanted, Placement::FixedNoReplace(_)) && !self.tree.is_free(range) {
                    return Err(Errno::EEXIST);
                }
                Ok(range)
            }
            Placement::Low(hint) => {
                if let Some(range) = self.free_at(hint, length)
                    && range.end() <= LOW_RANGE.1
                {
                    return Ok(range);
                }
                let (start, _) = self.tree.search(length, LOW_RANGE.0, LOW_RANGE.1);
                let start = start.ok_or(Errno::ENOMEM)?;
                page_range(GuestAddr(start), length).ok_or(Errno::ENOMEM)
            }
            Placement::Hint(hint) => {
                if let Some(range) = self.free_at(hint, length) {
                    return Ok(range);
                }
                let is_whole_file = matches!(vma.object, Object::File { offset: 0, .. });
                let gap = if is_whole_file && vma.sharing == Sharing::Private {
                    TRAMPOLINE_GAP_BYTES
                } else {
                    0
                };
                let is_huge = length.is_multiple_of(HUGE_PAGE_BYTES)
                    && matches!(vma.object, Object::Anonymous);
                let align = if is_huge { HUGE_PAGE_BYTES } else { PAGE };
                let start = self.find_free(length + gap, align).ok_or(Errno::ENOMEM)?;
                if gap > 0
                    && let Some(range) = GuestRange::new(GuestAddr(start + length), gap)
                {
                    self.tree.insert_gap(range);
                }
                page_range(GuestAddr(start), length).ok_or(Errno::ENOMEM)
            }
        }
    }

    /// The place that a hint asks for, if it is free; 0 asks for none.
    fn free_at(&self, hint: u64, length: u64) -> Option<GuestRange> {
        if hint == 0 {
            return None;
        }
        let guest = platform().info().guest_range;
        let start = round_up(hint)?.max(guest.start());
        let range = page_range(GuestAddr(start), length)?;
        (guest.encloses(range) && self.tree.is_empty_at(range)).then_some(range)
    }

    /// The highest free range of this length below the base, or any that is free.
    pub(super) fn find_free(&mut self, length: u64, align: u64) -> Option<u64> {
        let guest = platform().info().guest_range;
        let low = guest.start().max(LOWEST_CHOICE);
        if length > guest.len() {
            return None;
        }
        if let Some(start) = self.tree.find_free(length, align, low, self.base) {
            return Some(start);
        }
        self.tree.search(length, guest.start(), guest.end()).0
    }

    /// Puts a mapping at `range`, replacing what is there. Returns that, and whether the new
    /// mapping is locked.
    pub(super) fn map_at(
        &mut self,
        range: GuestRange,
        mut vma: Vma,
        limits: &MemoryLimits,
    ) -> Result<(Removed, bool), Errno> {
        self.room_for_splits(2)?;
        vma.end = range.end();
        if self.lock_future {
            vma.flags.insert(VmaFlags::LOCKED);
        }
        let locked = vma.flags.contains(VmaFlags::LOCKED);
        self.check_limits(range, &vma, limits)?;
        vma.note_write();
        let is_empty = self.tree.is_empty_at(range);
        let replaces = !is_empty && !self.tree.is_free(range);
        if !is_empty {
            self.revert_texts(range)?;
        }
        vma.hold(range.start());
        match host::populate(range.start(), &vma, 0) {
            Ok(populated) => vma.populated = populated,
            Err(error) => {
                drop(Removed(alloc::vec![(range.start(), vma)]));
                return Err(self.give_up(range, replaces, error));
            }
        }
        if !is_empty && vma.populated < range.len() {
            let rest = GuestRange::between(range.start() + vma.populated, range.end());
            if let Some(rest) = rest {
                platform().unmap(rest)?;
            }
        }
        let mut removed = Removed::default();
        if !is_empty {
            self.forget_texts(range);
            removed = self.tree.remove(range);
        }
        self.tree.insert(range.start(), vma);
        Ok((removed, locked))
    }

    /// Cleans up after the host refused some of a new mapping.
    fn give_up(&mut self, range: GuestRange, replaces: bool, error: Errno) -> Errno {
        // What was there is gone, at least in part: on Linux, too, a failed MAP_FIXED may have
        // unmapped it.
        let _ = platform().unmap(range);
        self.forget_texts(range);
        if replaces {
            drop(self.tree.remove(range));
        }
        error
    }

    /// `ENOMEM` or `EAGAIN` if a new mapping would pass a limit.
    fn check_limits(
        &self,
        range: GuestRange,
        vma: &Vma,
        limits: &MemoryLimits,
    ) -> Result<(), Errno> {
        // Replaced mappings still count, unless it matters.
        let replaced = |total: u64, limit: u64| {
            total.saturating_add(range.len()) > limit
                && total
                    .saturating_sub(self.tree.pieces(range).map(|(piece, _)| piece.len()).sum())
                    .saturating_add(range.len())
                    > limit
        };
        if replaced(self.tree.total, limits.address_space) {
            return Err(Errno::ENOMEM);
        }
        if vma.is_data() && replaced(self.tree.data, limits.data) {
            return Err(Errno::ENOMEM);
        }
        if vma.flags.contains(VmaFlags::LOCKED)
            && self.tree.locked.saturating_add(range.len()) > limits.locked
        {
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }
}
