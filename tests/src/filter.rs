//! The seccomp filter of a running process, read from outside and evaluated.
//!
//! Reading needs `CAP_SYS_ADMIN` (ptrace(2), `PTRACE_SECCOMP_GET_FILTER`). The evaluation follows
//! every path that unknown argument values allow, so that "cannot be allowed" is a proof about the
//! filter that runs, not about a table that made it.

use std::collections::BTreeSet;
use std::ptr::null_mut;

/// One instruction of a classic BPF program, as `struct sock_filter` lays it out.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to pass over when the test holds.
    pub if_true: u8,
    /// Instructions to pass over when it does not.
    pub if_false: u8,
    /// Operand.
    pub operand: u32,
}

/// What a filter sees of a system call; unknown words may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// System-call number.
    pub number: u32,
    /// `AUDIT_ARCH_*`.
    pub architecture: u32,
    /// Address after the instruction.
    pub instruction_pointer: u64,
}

/// `AUDIT_ARCH_X86_64`.
pub const X86_64: u32 = 0xc000_003e;
/// `AUDIT_ARCH_I386`.
pub const I386: u32 = 0x4000_0003;
/// `SECCOMP_RET_ALLOW`.
pub const ALLOW: u32 = 0x7fff_0000;
/// `PTRACE_SECCOMP_GET_FILTER`, linux/ptrace.h.
const GET_FILTER: u32 = 0x420c;
/// `SECCOMP_RET_TRAP`.
pub const TRAP: u32 = 0x0003_0000;

/// Reads all filters of a process.
///
/// # Errors
/// The operating system's: not permitted, no such process.
pub fn read(process: i32) -> std::io::Result<Vec<Vec<Instruction>>> {
    let request = |request, address: usize, data: *mut libc::c_void| {
        // SAFETY: `data` is null or large enough for the filter of this index, whose length was
        // asked for with a null pointer; the tracee is stopped.
        let result = unsafe { libc::ptrace(request, process, address, data) };
        if result < 0 {
            Err(std::io::Error::last_os_error())
        } else {
            Ok(result)
        }
    };
    request(libc::PTRACE_SEIZE, 0, null_mut())?;
    request(libc::PTRACE_INTERRUPT, 0, null_mut())?;
    let mut status = 0;
    // SAFETY: plain system call with a valid pointer.
    unsafe { libc::waitpid(process, &raw mut status, libc::__WALL) };
    let mut filters = Vec::new();
    while let Ok(length) = request(GET_FILTER, filters.len(), null_mut()) {
        let mut words = vec![0u64; usize::try_from(length).unwrap_or(0)];
        request(GET_FILTER, filters.len(), words.as_mut_ptr().cast())?;
        filters.push(words.into_iter().map(decode).collect());
    }
    request(libc::PTRACE_DETACH, 0, null_mut())?;
    Ok(filters)
}

fn decode(word: u64) -> Instruction {
    let bytes = word.to_le_bytes();
    Instruction {
        code: u16::from_le_bytes([bytes[0], bytes[1]]),
        if_true: bytes[2],
        if_false: bytes[3],
        operand: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
    }
}

/// The verdicts that a filter can reach for a call whose arguments are unknown.
///
/// # Panics
/// On an instruction that seccomp does not accept: the reading went wrong then.
#[must_use]
pub fn verdicts(filter: &[Instruction], call: Call) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    // Accumulator, index register and scratch memory, `None` when unknown.
    type State = (usize, Option<u32>, Option<u32>, [Option<u32>; 16]);
    let mut open: Vec<State> = vec![(0, Some(0), Some(0), [Some(0); 16])];
    while let Some(state) = open.pop() {
        if !seen.insert(state) {
            continue;
        }
        let (at, mut a, mut x, mut memory) = state;
        let Instruction {
            code,
            if_true,
            if_false,
            operand,
        } = filter[at];
        let by_register = code & 0x08 != 0;
        let value = if by_register { x } else { Some(operand) };
        match code & 7 {
            0 => {
                a = match code & 0xe0 {
                    0x20 => load(operand, call),
                    0x00 => Some(operand),
                    0x60 => memory[operand as usize],
                    0x80 => Some(64),
                    _ => panic!("load {code:#x}"),
                }
            }
            1 => {
                x = if code & 0xe0 == 0 {
                    Some(operand)
                } else {
                    memory[operand as usize]
                }
            }
            2 => memory[operand as usize] = a,
            3 => memory[operand as usize] = x,
            4 => a = a.zip(value).map(|(a, v)| arithmetic(code & 0xf0, a, v)),
            5 => {
                let mut go = |steps: u32| open.push((at + 1 + steps as usize, a, x, memory));
                match (code & 0xf0, a.zip(value)) {
                    (0x00, _) => go(operand),
                    (test, Some((a, v))) => {
                        let holds = match test {
                            0x10 => a == v,
                            0x20 => a > v,
                            0x30 => a >= v,
                            0x40 => a & v != 0,
                            _ => panic!("jump {code:#x}"),
                        };
                        go(if holds { if_true } else { if_false }.into());
                    }
                    (_, None) => {
                        go(if_true.into());
                        go(if_false.into());
                    }
                }
                continue;
            }
            6 => {
                let verdict = if code & 0x18 == 0x10 {
                    a
                } else {
                    Some(operand)
                };
                found.insert(verdict.expect("a filter's verdict is a constant") & 0xffff_0000);
                continue;
            }
            _ => {
                if code & 0x80 != 0 {
                    a = x;
                } else {
                    x = a;
                }
            }
        }
        open.push((at + 1, a, x, memory));
    }
    found
}

/// A word of `struct seccomp_data`; arguments are unknown.
fn load(offset: u32, call: Call) -> Option<u32> {
    match offset {
        0 => Some(call.number),
        4 => Some(call.architecture),
        8 => u32::try_from(call.instruction_pointer & 0xffff_ffff).ok(),
        12 => u32::try_from(call.instruction_pointer >> 32).ok(),
        _ => None,
    }
}

fn arithmetic(operation: u16, a: u32, v: u32) -> u32 {
    match operation {
        0x00 => a.wrapping_add(v),
        0x10 => a.wrapping_sub(v),
        0x20 => a.wrapping_mul(v),
        0x40 => a | v,
        0x50 => a & v,
        0x60 => a.wrapping_shl(v),
        0x70 => a.wrapping_shr(v),
        0xa0 => a ^ v,
        _ => panic!("arithmetic {operation:#x}"),
    }
}

/// Whether some arguments make all filters allow the call.
#[must_use]
pub fn can_be_allowed(filters: &[Vec<Instruction>], call: Call) -> bool {
    !filters.is_empty()
        && filters
            .iter()
            .all(|filter| verdicts(filter, call).contains(&ALLOW))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_an_unknown_test_are_followed() {
        let instruction = |code, if_true, if_false, operand| Instruction {
            code,
            if_true,
            if_false,
            operand,
        };
        // if nr == 1 { if args[0] == 7 { allow } else { trap } } else { trap }
        let filter = [
            instruction(0x20, 0, 0, 0),
            instruction(0x15, 0, 3, 1),
            instruction(0x20, 0, 0, 16),
            instruction(0x15, 0, 1, 7),
            instruction(0x06, 0, 0, ALLOW),
            instruction(0x06, 0, 0, TRAP),
        ];
        let call = |number| Call {
            number,
            architecture: X86_64,
            instruction_pointer: 0,
        };
        assert_eq!(verdicts(&filter, call(1)), BTreeSet::from([ALLOW, TRAP]));
        assert_eq!(verdicts(&filter, call(2)), BTreeSet::from([TRAP]));
        assert!(can_be_allowed(&[filter.to_vec()], call(1)));
        assert!(!can_be_allowed(&[], call(1)));
    }
}
