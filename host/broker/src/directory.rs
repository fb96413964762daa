//! Listing directories, getdents64(2).

use capsid_wire::layout::DATA_BYTES;
use capsid_wire::message::DIRECTORY_END;
use rustix::fs::{FileType, RawDir, SeekFrom, seek};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

/// Room for the kernel's entries. Each is longer there than in a reply, so that what fits here
/// fits there.
const BUFFER_BYTES: usize = 32 * 1024;
const _: () = assert!(BUFFER_BYTES <= DATA_BYTES);

/// Appends the entries after `cookie` (0 for the start) for which `shows` is true to a reply, and
/// returns how many, with [`DIRECTORY_END`] if none follow. `.` and `..` are left out. The cookies are the host file
/// system's, which keeps them stable.
pub fn read_directory(
    directory: impl AsFd,
    cookie: u64,
    shows: impl Fn(&[u8]) -> bool,
    reply: &mut Vec<u8>,
) -> Result<u64, Errno> {
    seek(&directory, SeekFrom::Start(cookie))?;
    let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
    let mut entries = RawDir::new(&directory, &mut buffer);
    let mut count = 0;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        let hidden = matches!(name, b"." | b"..") || !shows(name);
        if let (Ok(length), false) = (u8::try_from(name.len()), hidden) {
            reply.extend_from_slice(&entry.ino().to_le_bytes());
            reply.extend_from_slice(&entry.next_entry_cookie().to_le_bytes());
            reply.extend_from_slice(&[type_number(entry.file_type()), length]);
            reply.extend_from_slice(name);
            count += 1;
        }
        // Whoever lists a directory lists all of it: as many buffers as fit.
        if entries.is_buffer_empty() && reply.len() + BUFFER_BYTES > DATA_BYTES {
            return Ok(count);
        }
    }
    Ok(count | DIRECTORY_END)
}

/// The number that readdir(3) has for a type.
fn type_number(kind: FileType) -> u8 {
    u8::try_from(kind.as_raw_mode() >> 12).unwrap_or(0)
}
