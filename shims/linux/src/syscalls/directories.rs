//! Listing directories: getdents(2), getdents64(2).

use crate::call::{Call, CallResult};
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::fs::DirectoryEntry;
use capsid_core::fs::notify::{FileEvents, file_event};
use core::ops::ControlFlow;

/// The most that is gathered for one call, in bytes; the guest asks again for the rest.
const GATHERED_MAX: usize = 64 << 10;

/// The two layouts of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// `struct linux_dirent`: the type is the entry's last byte.
    Old,
    /// `struct linux_dirent64`: the type stands before the name.
    New,
}

/// getdents(2).
pub fn sys_getdents(call: &mut Call<'_>) -> CallResult {
    do_getdents(call, Layout::Old)
}

/// getdents64(2).
pub fn sys_getdents64(call: &mut Call<'_>) -> CallResult {
    do_getdents(call, Layout::New)
}

fn do_getdents(call: &Call<'_>, layout: Layout) -> CallResult {
    let file = call.usable_file(0)?;
    let room = (call.uint(2) as usize).min(GATHERED_MAX);
    let mut bytes = Vec::with_capacity(room.min(4096));
    let mut too_small = false;
    let start_position = *file.position.lock();
    file.read_directory(&mut |entry| {
        if bytes.len() + entry_length(entry.name) > room {
            too_small = bytes.is_empty();
            return ControlFlow::Break(());
        }
        append(&mut bytes, layout, &entry);
        ControlFlow::Continue(())
    })?;
    if too_small {
        return Err(Errno::EINVAL);
    }
    if let Err(error) = call.pointer(1).write(&bytes) {
        *file.position.lock() = start_position;
        return Err(error);
    }
    file_event(&file, FileEvents::ACCESS);
    Ok(bytes.len() as u64)
}

/// Number, position, length.
const HEAD_BYTES: usize = 18;

fn entry_length(name: &[u8]) -> usize {
    // A terminator, and a byte for the type before or behind it.
    (HEAD_BYTES + name.len() + 2).next_multiple_of(8)
}

fn append(bytes: &mut Vec<u8>, layout: Layout, entry: &DirectoryEntry<'_>) {
    let start = bytes.len();
    let length = entry_length(entry.name);
    let short = u16::try_from(length).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&entry.inode.to_le_bytes());
    bytes.extend_from_slice(&entry.next.to_le_bytes());
    bytes.extend_from_slice(&short.to_le_bytes());
    if layout == Layout::New {
        bytes.push(entry.kind.directory_type());
    }
    bytes.extend_from_slice(entry.name);
    bytes.resize(start + length, 0);
    if layout == Layout::Old
        && let Some(last) = bytes.last_mut()
    {
        *last = entry.kind.directory_type();
    }
}
