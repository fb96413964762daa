//! Signals that are sent, taken and returned from.

use crate::signal::{
    Action, ActionFlags, Delivered, Signal, SignalInfo, SignalSet, deliver, send_to_process,
    send_to_thread,
};
use crate::task::Thread;
use crate::test_kernel::{call, call_with, start};
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_platform::{GuestAddr, Registers};
use capsid_platform_threads::install;
use core::sync::atomic::Ordering;
use linux_raw_sys::general as nr;

const HANDLER: u64 = 0x5000;
const RESTORER: u64 = 0x6000;

fn handle(thread: &Arc<Thread>, signal: Signal, flags: ActionFlags) {
    let action = Action {
        handler: HANDLER,
        flags: flags | ActionFlags::RESTORER,
        restorer: RESTORER,
        mask: SignalSet::of(Signal::TERM),
    };
    thread.process.actions().set(signal, action);
}

fn registers() -> Registers {
    let stack = install().guest_memory(64 << 10);
    Registers {
        rax: 1,
        rbx: 2,
        rcx: 3,
        rdx: 4,
        rsi: 5,
        rdi: 6,
        rbp: 7,
        rsp: stack.0 + (64 << 10),
        r8: 8,
        r15: 15,
        rip: 0x4000,
        rflags: 0x246,
        ..Registers::default()
    }
}

#[test]
fn a_handler_runs_and_its_return_restores_everything() {
    let thread = start();
    handle(&thread, Signal::USR1, ActionFlags::INFO);
    let before = registers();
    let mut registers = before;
    send_to_process(&thread.process, SignalInfo::sent(Signal::USR1, 0, 77, 5)).unwrap();
    assert!(thread.attention.load(Ordering::SeqCst));
    assert_eq!(deliver(&thread, &mut registers, None), Delivered::Guest);
    assert_eq!((registers.rip, registers.rdi), (HANDLER, 10));
    assert_eq!(registers.rsp % 16, 8);
    assert_eq!(GuestAddr(registers.rsp).read_u64(), Ok(RESTORER));
    assert_eq!(GuestAddr(registers.rsi).read_u32(), Ok(10));
    assert_eq!(GuestAddr(registers.rsi + 16).read_u32(), Ok(77));
    assert!(thread.blocked().contains(Signal::USR1));
    assert!(thread.blocked().contains(Signal::TERM));
    // The handler's `ret` takes the restorer's address.
    registers.rsp += 8;
    let result = call_with(&thread, &mut registers, nr::__NR_rt_sigreturn, &[]);
    registers.rax = result.unwrap();
    assert_eq!(registers, before);
    assert_eq!(thread.blocked(), SignalSet::EMPTY);
}

#[test]
fn forged_frames_give_no_privileges_and_wild_ones_a_fault() {
    let thread = start();
    handle(&thread, Signal::USR1, ActionFlags::empty());
    let mut registers = registers();
    send_to_thread(&thread, SignalInfo::kernel(Signal::USR1)).unwrap();
    deliver(&thread, &mut registers, None);
    const FLAGS_AT: u64 = 8 + 40 + 17 * 8;
    GuestAddr(registers.rsp + FLAGS_AT)
        .write_u64(u64::MAX)
        .unwrap();
    registers.rsp += 8;
    call_with(&thread, &mut registers, nr::__NR_rt_sigreturn, &[]).unwrap();
    // No IOPL, nested task or virtual-8086 mode.
    assert_eq!(registers.rflags & 0x2_7000, 0);
    registers.rsp = 0x10;
    call_with(&thread, &mut registers, nr::__NR_rt_sigreturn, &[]).unwrap();
    assert_eq!(deliver(&thread, &mut registers, None), Delivered::End);
    let exit = thread.process.state.lock().exit;
    assert_eq!(exit.unwrap().signal(), 11);
}

#[test]
fn ignored_and_blocked_signals_wait_or_vanish() {
    let thread = start();
    send_to_process(&thread.process, SignalInfo::kernel(Signal::WINCH)).unwrap();
    assert!(thread.process.state.lock().pending.is_empty());
    thread.set_blocked(SignalSet::of(Signal::USR2));
    handle(&thread, Signal::USR2, ActionFlags::empty());
    send_to_process(&thread.process, SignalInfo::kernel(Signal::USR2)).unwrap();
    assert!(!thread.attention.load(Ordering::SeqCst));
    let mut registers = registers();
    assert_eq!(deliver(&thread, &mut registers, None), Delivered::Guest);
    assert_eq!(registers.rip, 0x4000);
    thread.set_blocked(SignalSet::EMPTY);
    assert!(thread.attention.load(Ordering::SeqCst));
    deliver(&thread, &mut registers, None);
    assert_eq!(registers.rip, HANDLER);
}

#[test]
fn a_stack_that_is_not_there_ends_the_process() {
    let thread = start();
    handle(&thread, Signal::USR1, ActionFlags::empty());
    let mut registers = registers();
    registers.rsp = 0x20;
    send_to_thread(&thread, SignalInfo::kernel(Signal::USR1)).unwrap();
    assert_eq!(deliver(&thread, &mut registers, None), Delivered::End);
}

#[test]
fn suspending_restores_the_mask_for_the_handlers_return() {
    let thread = start();
    handle(&thread, Signal::USR1, ActionFlags::empty());
    let old = SignalSet::of(Signal::USR1);
    thread.set_blocked(old);
    send_to_thread(&thread, SignalInfo::kernel(Signal::USR1)).unwrap();
    let mask = install().guest_bytes(&[0; 8]);
    let mut registers = registers();
    let arguments = [mask.0, 8];
    let result = call_with(&thread, &mut registers, nr::__NR_rt_sigsuspend, &arguments);
    let error = result.unwrap_err();
    let interrupted = crate::signal::Interrupted {
        number: nr::__NR_rt_sigsuspend.into(),
        error,
    };
    deliver(&thread, &mut registers, Some(interrupted));
    assert_eq!(registers.rip, HANDLER);
    registers.rsp += 8;
    let result = call_with(&thread, &mut registers, nr::__NR_rt_sigreturn, &[]).unwrap();
    assert_eq!(result, Errno::EINTR.as_return_value());
    assert_eq!(thread.blocked(), old);
}

#[test]
fn wrong_arguments_are_refused() {
    let thread = start();
    let memory = install().guest_memory(64);
    let action = |signal, size| call(&thread, nr::__NR_rt_sigaction, &[signal, memory.0, 0, size]);
    assert_eq!(action(9, 8), Err(Errno::EINVAL));
    assert_eq!(action(65, 8), Err(Errno::EINVAL));
    assert_eq!(action(10, 4), Err(Errno::EINVAL));
    assert_eq!(action(10, 8), Ok(0));
    assert_eq!(call(&thread, nr::__NR_kill, &[1, 65]), Err(Errno::EINVAL));
    assert_eq!(call(&thread, nr::__NR_kill, &[4444, 0]), Err(Errno::ESRCH));
    assert_eq!(
        call(&thread, nr::__NR_tgkill, &[1, 0, 0]),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        call(&thread, nr::__NR_tgkill, &[2, 1, 0]),
        Err(Errno::ESRCH)
    );
    assert_eq!(
        call(&thread, nr::__NR_rt_sigaction, &[10, 1, 0, 8]),
        Err(Errno::EFAULT)
    );
}
