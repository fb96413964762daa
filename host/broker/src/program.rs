//! The sandbox program: where it is, and what is executed to start it.

use crate::error::Error;
use crate::own_memory::mapping_at;
use capsid_platform_linux::loader;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// Bytes that start a page of memory and of the file, so that the file can be mapped from there.
#[repr(C, align(4096))]
struct PageAligned<T: ?Sized>(T);

/// The sandbox program, built with the broker.
static PROGRAM: &PageAligned<[u8]> =
    &PageAligned(*include_bytes!(concat!(env!("OUT_DIR"), "/capsid-sandbox")));

const PAGE: usize = 4096;

/// A program to start sandboxes from.
#[derive(Debug)]
pub struct Program {
    /// What is executed.
    pub loader: OwnedFd,
    /// The file that it maps.
    pub file: OwnedFd,
}

impl Program {
    /// Opens our own executable file, which holds the program, and makes the loader for it. Where
    /// the file cannot be used, a copy in memory serves as well, and takes longer.
    pub fn open() -> Result<Program, Error> {
        let failed = |error| Error::host("make room for the sandbox program", error);
        let program = &PROGRAM.0;
        let (file, offset) = match in_own_file() {
            Some(place) => place,
            None => (memory_file(program).map_err(failed)?, 0),
        };
        let loader = loader::build(program, offset).ok_or(failed(Errno::NOEXEC))?;
        Ok(Program {
            loader: memory_file(&loader).map_err(failed)?,
            file,
        })
    }
}

/// Our own executable file, and the offset of [`PROGRAM`] in it. It cannot change while we run from
/// it: writing to it is `ETXTBSY`.
fn in_own_file() -> Option<(OwnedFd, u64)> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(c"/proc/self/exe", flags, Mode::empty()).ok()?;
    let address = PROGRAM.0.as_ptr() as u64;
    let mapping = mapping_at(address)?;
    let offset = mapping.offset + (address - mapping.start);
    let mut start = [0; PAGE];
    let length = rustix::io::pread(&file, &mut start, offset).ok()?;
    let same = length == start.len() && PROGRAM.0.get(..length) == Some(&start[..]);
    (same && offset.is_multiple_of(PAGE as u64)).then_some((file, offset))
}

/// Puts bytes into memory that cannot change and can be executed.
fn memory_file(bytes: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Hosts that refuse to execute memory by default want to be told; old ones know no such flag.
    let file = rustix::fs::memfd_create("capsid-sandbox", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create("capsid-sandbox", flags))?;
    write_all(file.as_fd(), bytes)?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file)
}

fn write_all(file: rustix::fd::BorrowedFd<'_>, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::write(file, bytes)?;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{PROGRAM, in_own_file, memory_file};

    #[test]
    fn the_program_is_found_in_our_own_file() {
        let (file, offset) = in_own_file().expect("the file and the place in it");
        let mut bytes = vec![0; PROGRAM.0.len()];
        let length = rustix::io::pread(&file, &mut bytes, offset).expect("it can be read");
        assert_eq!(length, bytes.len());
        assert!(bytes == PROGRAM.0, "the file holds something else");
    }

    #[test]
    fn a_copy_cannot_change() {
        let file = memory_file(b"text").expect("a memory file");
        assert!(rustix::io::write(&file, b"x").is_err());
        assert!(rustix::fs::ftruncate(&file, 0).is_err());
    }
}
