//! The seccomp profile that containers get by default, as a filter for a test's children.
//!
//! `tests/data/docker-seccomp.json` holds its rules for a process without capabilities on x86-64:
//! what is allowed, what is allowed for some arguments, and the errno of the rest.

use crate::filter::{ALLOW, Instruction, X86_64};
use crate::workspace;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Profile {
    default_errno: u32,
    allow: Vec<String>,
    errno: BTreeMap<String, u32>,
    allow_when: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    name: String,
    argument: u32,
    #[serde(default = "all_bits")]
    mask: u32,
    equals: Option<u32>,
    not: Option<u32>,
}

fn all_bits() -> u32 {
    u32::MAX
}

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
const ERRNO: u32 = 0x0005_0000;

/// The numbers of the system calls by name, from the kernel's header; `None` if it is missing.
#[must_use]
pub fn numbers() -> Option<BTreeMap<String, u32>> {
    let text = std::fs::read_to_string("/usr/include/x86_64-linux-gnu/asm/unistd_64.h").ok()?;
    let pairs = text.lines().filter_map(|line| {
        let (name, number) = line.strip_prefix("#define __NR_")?.split_once(' ')?;
        Some((name.to_owned(), number.trim().parse().ok()?))
    });
    Some(pairs.collect())
}

/// Compiles the profile to a filter; `None` without the kernel's header.
///
/// # Panics
/// If the data file is broken.
#[must_use]
pub fn profile() -> Option<Vec<Instruction>> {
    let numbers = numbers()?;
    let path = workspace().join("tests/data/docker-seccomp.json");
    let text = std::fs::read_to_string(path).expect("the profile is readable");
    let profile: Profile = serde_json::from_str(&text).expect("the profile is JSON");
    let op = |code, if_true, if_false, operand| Instruction {
        code,
        if_true,
        if_false,
        operand,
    };
    let refuse = ERRNO | profile.default_errno;
    let mut filter = vec![
        op(LOAD, 0, 0, 4),
        op(JUMP_EQUAL, 1, 0, X86_64),
        op(RETURN, 0, 0, refuse),
        op(LOAD, 0, 0, 0),
    ];
    for name in &profile.allow {
        if let Some(&number) = numbers.get(name) {
            filter.extend([op(JUMP_EQUAL, 0, 1, number), op(RETURN, 0, 0, ALLOW)]);
        }
    }
    for (name, errno) in &profile.errno {
        if let Some(&number) = numbers.get(name) {
            filter.extend([
                op(JUMP_EQUAL, 0, 1, number),
                op(RETURN, 0, 0, ERRNO | errno),
            ]);
        }
    }
    for condition in &profile.allow_when {
        let Some(&number) = numbers.get(&condition.name) else {
            continue;
        };
        let wanted = condition.equals.or(condition.not).unwrap_or(0);
        let (same, other) = if condition.equals.is_some() {
            (0, 1)
        } else {
            (1, 0)
        };
        filter.extend([
            op(JUMP_EQUAL, 0, 5, number),
            op(LOAD, 0, 0, 16 + condition.argument * 8),
            op(AND, 0, 0, condition.mask),
            op(JUMP_EQUAL, same, other, wanted),
            op(RETURN, 0, 0, ALLOW),
            op(LOAD, 0, 0, 0),
        ]);
    }
    filter.push(op(RETURN, 0, 0, refuse));
    Some(filter)
}

/// Installs a filter on the calling process, for good. Called between fork and exec: makes only
/// system calls.
///
/// # Errors
/// The operating system's.
pub fn install(filter: &[Instruction]) -> std::io::Result<()> {
    #[repr(C)]
    struct Program {
        length: u16,
        filter: *const libc::sock_filter,
    }
    // The layouts agree: code, two jump offsets, operand.
    const { assert!(size_of::<Instruction>() == size_of::<libc::sock_filter>()) };
    let length = u16::try_from(filter.len()).map_err(|_| std::io::ErrorKind::InvalidInput)?;
    let program = Program {
        length,
        filter: filter.as_ptr().cast(),
    };
    // SAFETY: plain system calls; the program outlives them.
    unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::syscall(libc::SYS_seccomp, 1, 0, &raw const program) != 0
        {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}
