//! Arguments and environment: copying them from the guest, and how long they may be.

use alloc::vec;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_platform::{GuestAddr, PAGE_SIZE, platform};

/// The longest single string with its terminator (`MAX_ARG_STRLEN`).
const STRING_BYTES_MAX: usize = 32 * PAGE_SIZE;
/// What the strings may take whatever the stack limit is (`ARG_MAX`).
const TOTAL_BYTES_MIN: u64 = 128 << 10;
/// What they may take at most: three quarters of `_STK_LIM`.
const TOTAL_BYTES_MAX: u64 = 6 << 20;

/// Strings without their terminators.
pub type Strings = Vec<Vec<u8>>;

/// Copies a null-terminated array of strings; a null pointer is an empty one. `E2BIG`, `EFAULT`.
pub fn read_strings(array: GuestAddr, budget: &mut u64) -> Result<Strings, Errno> {
    let mut strings = Vec::new();
    if array.is_null() {
        return Ok(strings);
    }
    for index in 0.. {
        let pointer = GuestAddr(array.offset(index * 8)?.read_u64()?);
        if pointer.is_null() {
            break;
        }
        let string = read_string(pointer)?;
        let cost = string.len() as u64 + 1 + 8;
        *budget = budget.checked_sub(cost).ok_or(Errno::E2BIG)?;
        strings.push(string);
    }
    Ok(strings)
}

/// What arguments and environment may take together under a stack limit, in bytes.
#[must_use]
pub fn budget(stack_limit: u64) -> u64 {
    (stack_limit / 4).clamp(TOTAL_BYTES_MIN, TOTAL_BYTES_MAX)
}

/// Whether strings that do not come from the guest fit: `E2BIG`.
pub fn charge(strings: &Strings, budget: &mut u64) -> Result<(), Errno> {
    for string in strings {
        if string.len() >= STRING_BYTES_MAX {
            return Err(Errno::E2BIG);
        }
        let cost = string.len() as u64 + 1 + 8;
        *budget = budget.checked_sub(cost).ok_or(Errno::E2BIG)?;
    }
    Ok(())
}

fn read_string(start: GuestAddr) -> Result<Vec<u8>, Errno> {
    let mut string = Vec::new();
    let mut at = start;
    let mut chunk = vec![0; 256];
    while string.len() < STRING_BYTES_MAX {
        // Up to the end of the page: the next one need not be there.
        let in_page = PAGE_SIZE - usize::try_from(at.0 % PAGE_SIZE as u64).unwrap_or(0);
        let wanted = chunk.len().min(in_page);
        let copied = platform().copy_from_guest(&mut chunk[..wanted], at);
        let piece = &chunk[..copied];
        if let Some(end) = piece.iter().position(|byte| *byte == 0) {
            string.extend_from_slice(&piece[..end]);
            return if string.len() < STRING_BYTES_MAX {
                Ok(string)
            } else {
                Err(Errno::E2BIG)
            };
        }
        if copied < wanted {
            return Err(Errno::EFAULT);
        }
        string.extend_from_slice(piece);
        at = at.offset(copied as u64)?;
    }
    Err(Errno::E2BIG)
}
