//! The ring's memory, which the sandbox can write at any moment.
//!
//! Every field is an atomic, so that a racing sandbox can make a value wild but never make the
//! broker's reads undefined. Data is copied out before it is looked at.

use capsid_wire::layout::{
    BOOT_BYTES, BOOT_OFFSET, DATA_BYTES, DATA_OFFSET, Header, SLOTS, SLOTS_OFFSET, Slot,
    TOTAL_BYTES,
};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

const WORD: usize = size_of::<u64>();
const DATA_WORDS: usize = DATA_BYTES / WORD;

/// The bytes of one slot's data area.
type DataArea = [AtomicU64; DATA_WORDS];

/// A mapping of the wire memfd.
#[derive(Debug)]
pub struct RingMemory {
    base: NonNull<u8>,
}

// SAFETY: the mapping is plain memory that lives until drop, and all access goes through atomics.
unsafe impl Send for RingMemory {}
// SAFETY: as for Send.
unsafe impl Sync for RingMemory {}

impl RingMemory {
    /// Makes the memfd, of fixed and sealed size, and maps it.
    pub fn create() -> rustix::io::Result<(RingMemory, OwnedFd)> {
        let file = sealed_memfd("capsid-wire", TOTAL_BYTES as u64)?;
        let memory = RingMemory::map(&file)?;
        Ok((memory, file))
    }

    /// Maps a memfd of [`TOTAL_BYTES`], whose size must be sealed: a file that the sandbox could
    /// shrink would kill the broker with SIGBUS.
    pub fn map(file: impl AsFd) -> rustix::io::Result<RingMemory> {
        let sealed = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        let size = rustix::fs::fstat(&file)?.st_size;
        if !rustix::fs::fcntl_get_seals(&file)?.contains(sealed)
            || usize::try_from(size) != Ok(TOTAL_BYTES)
        {
            return Err(rustix::io::Errno::INVAL);
        }
        // SAFETY: a fresh mapping at an address that the kernel picks.
        let base = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                TOTAL_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &file,
                0,
            )?
        };
        let base = NonNull::new(base.cast()).ok_or(rustix::io::Errno::NOMEM)?;
        Ok(RingMemory { base })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        // SAFETY: the mapping starts with a Header, page-aligned, and lives as long as `self`; the
        // type consists of atomics, for which any bytes are valid.
        unsafe { self.base.cast::<Header>().as_ref() }
    }

    /// The slots.
    pub fn slots(&self) -> &[Slot; SLOTS] {
        // SAFETY: as for the header; the layout asserts that the array fits.
        unsafe { self.base.add(SLOTS_OFFSET).cast::<[Slot; SLOTS]>().as_ref() }
    }

    /// The data areas, one for each slot.
    fn areas(&self) -> &[DataArea; SLOTS] {
        // SAFETY: as for the header; DATA_OFFSET is page-aligned and SLOTS areas lie below
        // BOOT_OFFSET.
        unsafe {
            self.base
                .add(DATA_OFFSET)
                .cast::<[DataArea; SLOTS]>()
                .as_ref()
        }
    }

    fn boot_area(&self) -> &[AtomicU64; BOOT_BYTES / WORD] {
        // SAFETY: as for the header; the boot area ends the mapping.
        unsafe { self.base.add(BOOT_OFFSET).cast().as_ref() }
    }

    /// Copies the first `length` bytes of a slot's data into `target`, replacing what it held.
    pub fn read_data(&self, slot: usize, length: usize, target: &mut Vec<u8>) {
        target.clear();
        let Some(area) = self.areas().get(slot) else {
            return;
        };
        let length = length.min(DATA_BYTES);
        for word in &area[..length.div_ceil(WORD)] {
            target.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        target.truncate(length);
    }

    /// Copies `bytes` to a slot's data; what does not fit is left out. Returns how many fitted.
    pub fn write_data(&self, slot: usize, bytes: &[u8]) -> usize {
        self.areas()
            .get(slot)
            .map_or(0, |area| store_bytes(area, bytes))
    }

    /// Writes the boot configuration; `false` if it does not fit.
    pub fn write_boot(&self, bytes: &[u8]) -> bool {
        let Ok(length) = u32::try_from(bytes.len()) else {
            return false;
        };
        if store_bytes(self.boot_area(), bytes) < bytes.len() {
            return false;
        }
        self.header().boot_len.store(length, Ordering::Release);
        true
    }
}

fn store_bytes(area: &[AtomicU64], bytes: &[u8]) -> usize {
    for (word, chunk) in area.iter().zip(bytes.chunks(WORD)) {
        let mut value = [0; WORD];
        value[..chunk.len()].copy_from_slice(chunk);
        word.store(u64::from_le_bytes(value), Ordering::Relaxed);
    }
    bytes.len().min(area.len() * WORD)
}

impl Drop for RingMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and every borrow of it has ended.
        unsafe {
            // An error would mean that it is not mapped: nothing is left to do then.
            let _ = rustix::mm::munmap(self.base.as_ptr().cast(), TOTAL_BYTES);
        }
    }
}

/// Makes a memfd of `size` bytes that can neither grow nor shrink.
pub fn sealed_memfd(name: &str, size: u64) -> rustix::io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&file, size)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::{RingMemory, sealed_memfd};
    use capsid_wire::layout::{BOOT_BYTES, DATA_BYTES, TOTAL_BYTES};

    #[test]
    fn data_comes_back_as_it_was_written() {
        let (memory, _file) = RingMemory::create().expect("memfd");
        let mut target = Vec::new();
        for length in [0, 1, 7, 8, 9, 4095, DATA_BYTES] {
            let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
            assert_eq!(memory.write_data(63, &bytes), length);
            memory.read_data(63, length, &mut target);
            assert_eq!(target, bytes);
        }
        assert_eq!(memory.write_data(0, &vec![0; DATA_BYTES + 1]), DATA_BYTES);
        assert_eq!(memory.write_data(64, b"x"), 0);
        memory.read_data(0, usize::MAX, &mut target);
        assert_eq!(target.len(), DATA_BYTES);
        assert!(memory.write_boot(&[1, 2, 3]));
        assert!(!memory.write_boot(&vec![0; BOOT_BYTES + 1]));
    }

    #[test]
    fn only_sealed_memory_of_the_right_size_is_mapped() {
        let small = sealed_memfd("small", 4096).expect("memfd");
        assert!(RingMemory::map(&small).is_err());
        let unsealed =
            rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::ALLOW_SEALING).expect("memfd");
        rustix::fs::ftruncate(&unsealed, TOTAL_BYTES as u64).expect("truncate");
        assert!(RingMemory::map(&unsealed).is_err());
    }
}
