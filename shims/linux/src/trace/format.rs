//! Calls as strace prints them.

use crate::call::Call;
use crate::signal::Signal;
use crate::table::{Entry, Format};
use crate::task::CloneFlags;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use capsid_core::fs::{CreationFlags, StatusFlags};
use capsid_platform::{GuestAddr, platform};
use core::fmt::Write;
use linux_raw_sys::general as raw;

/// How much of a string or of bytes is shown.
const SHOWN_BYTES: usize = 64;

/// Renders a call: name and arguments.
pub fn call(number: u64, entry: &Entry, call: &Call<'_>) -> String {
    let mut text = if entry.name.is_empty() {
        format!("call_{number}(")
    } else {
        format!("{}(", entry.name)
    };
    for (index, format) in entry.arguments.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        argument(&mut text, *format, call, index);
    }
    text.push(')');
    text
}

fn argument(text: &mut String, format: Format, call: &Call<'_>, index: usize) {
    let value = call.raw(index);
    // Writing to a string does not fail.
    let _ = match format {
        Format::Int => write!(text, "{}", call.int(index)),
        Format::Size => write!(text, "{value}"),
        Format::Octal => write!(text, "{:#o}", call.uint(index)),
        Format::Fd if call.int(index) == raw::AT_FDCWD => text.write_str("AT_FDCWD"),
        Format::Fd => write!(text, "{}", call.int(index)),
        Format::Hex => write!(text, "{value:#x}"),
        Format::Pointer if value == 0 => text.write_str("NULL"),
        Format::Pointer => write!(text, "{value:#x}"),
        Format::Path => path(text, GuestAddr(value)),
        Format::Bytes => bytes(text, GuestAddr(value), call.size(index + 1)),
        Format::Signal => match Signal::new(call.int(index)) {
            Ok(signal) => write!(text, "{signal:?}"),
            Err(_) => write!(text, "{}", call.int(index)),
        },
        Format::OpenFlags => open_flags(text, call.uint(index)),
        Format::Protection => {
            let names = [(1, "PROT_READ"), (2, "PROT_WRITE"), (4, "PROT_EXEC")];
            named(text, call.uint(index), "PROT_NONE", &names)
        }
        Format::MapFlags => map_flags(text, call.uint(index)),
        Format::CloneFlags => {
            let flags = CloneFlags::from_bits_truncate(value & !0xff);
            bitflags::parser::to_writer(&flags, &mut *text)
                .and_then(|()| write!(text, " | signal {}", value & 0xff))
        }
    };
}

fn path(text: &mut String, address: GuestAddr) -> core::fmt::Result {
    if address.is_null() {
        return text.write_str("NULL");
    }
    let mut buffer = [0; 256];
    let copied = platform().copy_from_guest(&mut buffer, address);
    if copied == 0 {
        return write!(text, "{:#x}", address.0);
    }
    let string = buffer[..copied].split(|byte| *byte == 0).next();
    write!(text, "\"{}\"", string.unwrap_or(&[]).escape_ascii())
}

fn bytes(text: &mut String, address: GuestAddr, length: usize) -> core::fmt::Result {
    let mut buffer: Vec<u8> = alloc::vec![0; length.min(SHOWN_BYTES)];
    let copied = platform().copy_from_guest(&mut buffer, address);
    if copied < buffer.len() {
        return write!(text, "{:#x}", address.0);
    }
    write!(text, "\"{}\"", buffer.escape_ascii())?;
    if length > SHOWN_BYTES {
        text.write_str("...")?;
    }
    Ok(())
}

fn open_flags(text: &mut String, value: u32) -> core::fmt::Result {
    text.write_str(match value & 3 {
        0 => "O_RDONLY",
        1 => "O_WRONLY",
        _ => "O_RDWR",
    })?;
    let names = [
        (CreationFlags::CREATE.bits(), "O_CREAT"),
        (CreationFlags::EXCLUSIVE.bits(), "O_EXCL"),
        (CreationFlags::NO_CONTROLLING_TERMINAL.bits(), "O_NOCTTY"),
        (CreationFlags::TRUNCATE.bits(), "O_TRUNC"),
        (StatusFlags::APPEND.bits(), "O_APPEND"),
        (StatusFlags::NONBLOCK.bits(), "O_NONBLOCK"),
        (StatusFlags::DIRECTORY.bits(), "O_DIRECTORY"),
        (StatusFlags::NOFOLLOW.bits(), "O_NOFOLLOW"),
        (StatusFlags::PATH.bits(), "O_PATH"),
        (raw::O_CLOEXEC, "O_CLOEXEC"),
    ];
    if value & !3 != 0 {
        text.push('|');
        named(text, value & !3, "", &names)?;
    }
    Ok(())
}

fn map_flags(text: &mut String, value: u32) -> core::fmt::Result {
    let names = [
        (raw::MAP_SHARED, "MAP_SHARED"),
        (raw::MAP_PRIVATE, "MAP_PRIVATE"),
        (raw::MAP_FIXED, "MAP_FIXED"),
        (raw::MAP_ANONYMOUS, "MAP_ANONYMOUS"),
        (raw::MAP_NORESERVE, "MAP_NORESERVE"),
        (raw::MAP_STACK, "MAP_STACK"),
        (raw::MAP_DENYWRITE, "MAP_DENYWRITE"),
        (raw::MAP_POPULATE, "MAP_POPULATE"),
    ];
    named(text, value, "0", &names)
}

/// Writes the names of bits, and what has no name as a number.
fn named(text: &mut String, value: u32, none: &str, names: &[(u32, &str)]) -> core::fmt::Result {
    let mut rest = value;
    let mut separator = "";
    for (bits, name) in names.iter().filter(|(bits, _)| value & bits == *bits) {
        write!(text, "{separator}{name}")?;
        separator = "|";
        rest &= !bits;
    }
    if rest != 0 {
        write!(text, "{separator}{rest:#x}")?;
    } else if separator.is_empty() {
        text.write_str(none)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{map_flags, open_flags};
    use alloc::string::String;

    #[test]
    fn flags_read_as_strace_prints_them() {
        let mut text = String::new();
        open_flags(&mut text, 0o2_000_101).unwrap();
        assert_eq!(text, "O_WRONLY|O_CREAT|O_CLOEXEC");
        text.clear();
        open_flags(&mut text, 0).unwrap();
        assert_eq!(text, "O_RDONLY");
        text.clear();
        map_flags(&mut text, 0x8000_0022).unwrap();
        assert_eq!(text, "MAP_PRIVATE|MAP_ANONYMOUS|0x80000000");
    }
}
