//! The seccomp filter: classic BPF assembled from the table of host calls.
//!
//! The decision, in order: a call of another architecture or from outside our own text becomes
//! `SIGSYS`; an allowed call with allowed arguments goes through; anything else from our own text
//! kills the process, because nothing in the sandbox makes such a call unless it was subverted.
//! One call is answered by the filter itself: when a stopped thread (SIGSTOP, a tracer, the freezer)
//! goes on in a futex wait with a deadline, the host kernel makes it call restart_syscall(2). `EINTR`
//! in its place sends the waiter round its loop, and the host sees nothing.

use crate::surface::{HostCall, Rule, Variant, calls};
use crate::{boot, host};
use alloc::vec::Vec;
use capsid_platform::Errno;
use linux_raw_sys::general as raw;

/// `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when a comparison holds.
    pub if_true: u8,
    /// Instructions to skip when it does not.
    pub if_false: u8,
    /// Operand.
    pub operand: u32,
}

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const EQUAL: u16 = 0x15;
const GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const INSTRUCTION_LOW: u32 = 8;
const INSTRUCTION_HIGH: u32 = 12;
const ARGUMENTS: u32 = 16;

const ARCH_X86_64: u32 = 0xc000_003e;
const ALLOW: u32 = 0x7fff_0000;
const TRAP: u32 = 0x0003_0000;
const FAIL_WITH_EINTR: u32 = 0x0005_0000 | 4;
const KILL_PROCESS: u32 = 0x8000_0000;

const SECCOMP_SET_MODE_FILTER: usize = 1;
const SECCOMP_FILTER_FLAG_SPEC_ALLOW: usize = 4;

const fn statement(code: u16, operand: u32) -> Instruction {
    Instruction {
        code,
        if_true: 0,
        if_false: 0,
        operand,
    }
}

const fn branch(code: u16, operand: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction {
        code,
        if_true,
        if_false,
        operand,
    }
}

/// Instructions that run on to the next one when the rule holds, and return KILL when not.
fn rule(program: &mut Vec<Instruction>, argument: usize, rule: Rule) {
    let low = ARGUMENTS + 8 * u32::try_from(argument).unwrap_or(0);
    let high = low + 4;
    let kill = statement(RETURN, KILL_PROCESS);
    match rule {
        Rule::OneOf(values) => {
            program.push(statement(LOAD, low));
            one_of(program, values, 1);
            program.push(kill);
        }
        Rule::AtLeast(least) => {
            program.push(statement(LOAD, low));
            at_least(program, least);
        }
        Rule::OneOfOrAtLeast(values, least) => {
            program.push(statement(LOAD, low));
            one_of(program, values, 4);
            at_least(program, least);
        }
        Rule::Bits(allowed, required) => {
            program.push(statement(LOAD, low));
            program.push(statement(AND, !allowed | required));
            program.push(branch(EQUAL, required, 1, 0));
            program.push(kill);
        }
        Rule::GuestAddress => {
            program.push(statement(LOAD, high));
            let end = u32::try_from(boot::GUEST_END >> 32).unwrap_or(0);
            program.push(branch(GREATER_OR_EQUAL, end, 0, 1));
            program.push(kill);
        }
    }
}

/// Skips `beyond` instructions after the comparisons when one holds.
fn one_of(program: &mut Vec<Instruction>, values: &[u32], beyond: u8) {
    for (index, value) in values.iter().enumerate() {
        let left = u8::try_from(values.len() - 1 - index).unwrap_or(u8::MAX);
        program.push(branch(EQUAL, *value, left + beyond, 0));
    }
}

/// Four instructions: kill unless `least <= A <= i32::MAX`.
fn at_least(program: &mut Vec<Instruction>, least: u32) {
    program.push(branch(GREATER_OR_EQUAL, least, 1, 0));
    program.push(statement(RETURN, KILL_PROCESS));
    program.push(branch(GREATER_OR_EQUAL, 0x8000_0000, 0, 1));
    program.push(statement(RETURN, KILL_PROCESS));
}

fn call(program: &mut Vec<Instruction>, call: &HostCall) {
    let mut body = Vec::new();
    for (argument, what) in call.rules {
        rule(&mut body, *argument, *what);
    }
    body.push(statement(RETURN, ALLOW));
    let skip = u8::try_from(body.len()).unwrap_or(u8::MAX);
    program.push(branch(EQUAL, call.number, 0, skip));
    program.extend(body);
}

/// Assembles the filter for calls from text between `text_start` and `text_end`, which lie in the
/// same 4 GiB.
pub fn assemble(variant: Variant, text_start: u64, text_end: u64) -> Vec<Instruction> {
    let low = |address: u64| (address & 0xffff_ffff) as u32;
    let mut program = alloc::vec![
        statement(LOAD, ARCHITECTURE),
        branch(EQUAL, ARCH_X86_64, 0, 5),
        statement(LOAD, INSTRUCTION_HIGH),
        branch(EQUAL, (text_start >> 32) as u32, 0, 3),
        statement(LOAD, INSTRUCTION_LOW),
        branch(GREATER_OR_EQUAL, low(text_start), 0, 1),
        branch(GREATER_OR_EQUAL, low(text_end) + 1, 0, 1),
        statement(RETURN, TRAP),
        statement(LOAD, NUMBER),
    ];
    for allowed in calls(variant) {
        call(&mut program, allowed);
    }
    program.push(branch(EQUAL, raw::__NR_restart_syscall, 0, 1));
    program.push(statement(RETURN, FAIL_WITH_EINTR));
    program.push(statement(RETURN, KILL_PROCESS));
    program
}

/// Installs the filter, for good.
pub fn install(program: &[Instruction]) -> Result<(), Errno> {
    #[repr(C)]
    struct Program {
        length: u16,
        instructions: *const Instruction,
    }
    let length = u16::try_from(program.len()).map_err(|_| Errno::E2BIG)?;
    let head = Program {
        length,
        instructions: program.as_ptr(),
    };
    let set = |flags: usize| {
        // SAFETY: the host reads the program.
        host::check(unsafe {
            host::call3(
                raw::__NR_seccomp,
                [SECCOMP_SET_MODE_FILTER, flags, &raw const head as usize],
            )
        })
    };
    // Without the flag some hosts turn off speculation for the whole process, which costs much and
    // protects nothing here: there is one domain in the process.
    set(SECCOMP_FILTER_FLAG_SPEC_ALLOW)
        .or_else(|_| set(0))
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::{ALLOW, ARCH_X86_64, FAIL_WITH_EINTR, Instruction, KILL_PROCESS, TRAP, assemble};
    use crate::surface::Variant;
    use crate::thread::{PROCESS_FLAGS, THREAD_FLAGS};
    use alloc::vec::Vec;
    use linux_raw_sys::general as raw;

    const TEXT: (u64, u64) = (0x6fff_c004_1000, 0x6fff_c006_0000);
    const FULL: Variant = Variant {
        host_files: true,
        direct_kick: false,
    };
    const SEALED: Variant = Variant {
        host_files: false,
        direct_kick: false,
    };

    /// Runs a filter as the host would.
    fn run(program: &[Instruction], data: &[u32; 16]) -> u32 {
        let (mut at, mut a) = (0, 0);
        loop {
            let instruction = program[at];
            at += 1;
            let take = |holds: bool| {
                usize::from(if holds {
                    instruction.if_true
                } else {
                    instruction.if_false
                })
            };
            match instruction.code {
                super::LOAD => a = data[instruction.operand as usize / 4],
                super::AND => a &= instruction.operand,
                super::EQUAL => at += take(a == instruction.operand),
                super::GREATER_OR_EQUAL => at += take(a >= instruction.operand),
                super::RETURN => return instruction.operand,
                _ => unreachable!("unknown instruction"),
            }
        }
    }

    fn verdict_at(variant: Variant, rip: u64, arch: u32, number: u32, args: [u64; 6]) -> u32 {
        let mut data = Vec::from([number, arch, rip as u32, (rip >> 32) as u32]);
        for arg in args {
            data.extend([arg as u32, (arg >> 32) as u32]);
        }
        let data: [u32; 16] = data.try_into().expect("sixteen words");
        run(&assemble(variant, TEXT.0, TEXT.1), &data)
    }

    fn verdict(number: u32, args: [u64; 6]) -> u32 {
        verdict_at(FULL, TEXT.0 + 100, ARCH_X86_64, number, args)
    }

    #[test]
    fn other_text_and_other_architectures_trap() {
        for rip in [
            0x40_0000,
            TEXT.0 - 1,
            TEXT.1 + 1,
            TEXT.0 | 1 << 48,
            u64::MAX,
        ] {
            for number in 0..600 {
                assert_eq!(verdict_at(FULL, rip, ARCH_X86_64, number, [0; 6]), TRAP);
            }
        }
        assert_eq!(verdict_at(FULL, TEXT.0 + 9, 0x4000_0003, 1, [0; 6]), TRAP);
        // The host reports the address after the instruction.
        let exit = raw::__NR_exit;
        assert_eq!(verdict_at(FULL, TEXT.1, ARCH_X86_64, exit, [0; 6]), ALLOW);
    }

    #[test]
    fn unknown_calls_from_our_text_kill() {
        let allowed: Vec<u32> = crate::surface::calls(FULL)
            .map(|call| call.number)
            .collect();
        for number in (0..600).chain([0x4000_0000, u32::MAX]) {
            if !allowed.contains(&number) && number != raw::__NR_restart_syscall {
                assert_eq!(verdict(number, [0; 6]), KILL_PROCESS, "{number}");
            }
        }
        let restart = raw::__NR_restart_syscall;
        assert_eq!(verdict(restart, [0; 6]), FAIL_WITH_EINTR);
        let preadv2 = raw::__NR_preadv2;
        assert_eq!(
            verdict_at(SEALED, TEXT.0 + 9, ARCH_X86_64, preadv2, [9, 0, 0, 0, 0, 0]),
            KILL_PROCESS
        );
    }

    #[test]
    fn arguments_are_pinned() {
        let clone = raw::__NR_clone;
        assert_eq!(verdict(clone, [PROCESS_FLAGS.into(), 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(verdict(clone, [THREAD_FLAGS.into(), 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(verdict(clone, [17, 0, 0, 0, 0, 0]), KILL_PROCESS);
        let mmap = |address, protection, flags: u32, fd| {
            verdict(
                raw::__NR_mmap,
                [address, 4096, protection, flags.into(), fd, 0],
            )
        };
        let fixed = raw::MAP_FIXED | raw::MAP_PRIVATE;
        let anonymous = fixed | raw::MAP_ANONYMOUS;
        assert_eq!(mmap(0x10000, 7, anonymous, u64::MAX), ALLOW);
        assert_eq!(mmap(0x10000, 7, fixed, 5), ALLOW);
        assert_eq!(mmap(0x10000, 7, fixed, 8), ALLOW);
        assert_eq!(mmap(0x10000, 7, fixed, 4), KILL_PROCESS);
        assert_eq!(mmap(0x10000, 7, fixed, 0x8000_0000), KILL_PROCESS);
        assert_eq!(mmap(0x10000, 8, anonymous, u64::MAX), KILL_PROCESS);
        assert_eq!(mmap(0x10000, 7, raw::MAP_PRIVATE, 5), KILL_PROCESS);
        assert_eq!(mmap(0x10000, 7, fixed | raw::MAP_LOCKED, 5), KILL_PROCESS);
        assert_eq!(mmap(0x6fff_0000_0000, 7, fixed, 5), KILL_PROCESS);
        let close = |fd| verdict(raw::__NR_close, [fd, 0, 0, 0, 0, 0]);
        assert_eq!(close(8), ALLOW);
        assert_eq!(close(7), KILL_PROCESS);
        assert_eq!(close(0xffff_ffff), KILL_PROCESS);
        let prctl = |option, value| verdict(raw::__NR_prctl, [option, value, 0, 0, 0, 0]);
        assert_eq!(prctl(1, 9), ALLOW);
        assert_eq!(prctl(1, 15), KILL_PROCESS);
        assert_eq!(prctl(4, 9), KILL_PROCESS);
    }
}
