//! Processes that are made, end and are waited for.

use crate::call::restart;
use crate::signal::{Signal, SignalInfo, SignalSet, send_to_process, take_pending};
use crate::task::Thread;
use crate::test_kernel::{call, call_with, code, start};
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_platform::{GuestAddr, Registers};
use capsid_platform_threads::install;
use linux_raw_sys::general as nr;

/// Where the children begin.
const CHILD: u64 = 0x40_0000;

/// Forks a child that begins at [`CHILD`].
fn fork(thread: &Arc<Thread>) -> u64 {
    let mut registers = Registers {
        rip: CHILD,
        ..Registers::default()
    };
    call_with(thread, &mut registers, nr::__NR_fork, &[]).expect("fork")
}

fn wait(thread: &Arc<Thread>, id: u64, options: u64) -> Result<(u64, u32), Errno> {
    let status = install().guest_memory(4);
    let id = call(thread, nr::__NR_wait4, &[id, status.0, options, 0])?;
    Ok((id, status.read_u32()?))
}

const NO_HANG: u64 = 1;
const ANY: u64 = u64::MAX;

#[test]
fn a_child_ends_and_is_waited_for_once() {
    let thread = start();
    code(CHILD, nr::__NR_exit_group, 7);
    let child = fork(&thread);
    assert_eq!(wait(&thread, child, 0), Ok((child, 7 << 8)));
    assert_eq!(wait(&thread, child, 0), Err(Errno::ECHILD));
    let info = take_pending(&thread, SignalSet::of(Signal::CHLD));
    // Nobody handles it: it was never pending.
    assert_eq!(info, None);
}

#[test]
fn a_blocked_child_signal_tells_how_it_ended() {
    let thread = start();
    thread.set_blocked(SignalSet::of(Signal::CHLD));
    code(CHILD, nr::__NR_exit, 300);
    let child = fork(&thread);
    assert_eq!(wait(&thread, ANY, 0), Ok((child, (300 & 0xff) << 8)));
    // The signal is sent after the parent can see the zombie.
    while thread.process.state.lock().pending.is_empty() {
        std::thread::yield_now();
    }
    let info = take_pending(&thread, SignalSet::of(Signal::CHLD)).expect("the signal");
    assert_eq!(u64::from(info.sender()), child);
    assert_eq!((info.code, info.fields[1]), (1, 300 & 0xff));
}

#[test]
fn a_killed_child_reports_the_signal() {
    let thread = start();
    code(CHILD, nr::__NR_pause, 0);
    let child = fork(&thread);
    assert_eq!(wait(&thread, ANY, NO_HANG), Ok((0, 0)));
    let process = thread
        .process
        .kernel
        .process(u32::try_from(child).unwrap())
        .expect("the child");
    send_to_process(&process, SignalInfo::kernel(Signal::KILL)).unwrap();
    assert_eq!(wait(&thread, child, 0), Ok((child, 9)));
}

#[test]
fn ignored_children_leave_no_zombies() {
    let thread = start();
    let mut action = thread.process.actions().get(Signal::CHLD);
    action.handler = crate::signal::action::IGNORE;
    thread.process.actions().set(Signal::CHLD, action);
    code(CHILD, nr::__NR_exit_group, 1);
    let child = fork(&thread);
    assert_eq!(wait(&thread, child, 0), Err(Errno::ECHILD));
    assert_eq!(thread.process.kernel.processes().len(), 1);
}

#[test]
fn a_signal_ends_a_wait_for_children() {
    let thread = start();
    code(CHILD, nr::__NR_pause, 0);
    let child = fork(&thread);
    let mut action = thread.process.actions().get(Signal::USR1);
    action.handler = 0x1234;
    thread.process.actions().set(Signal::USR1, action);
    send_to_process(&thread.process, SignalInfo::kernel(Signal::USR1)).unwrap();
    assert_eq!(wait(&thread, child, 0), Err(restart::unless_handled()));
    call(&thread, nr::__NR_kill, &[child, 9]).unwrap();
}

#[test]
fn stops_and_continues_are_reported() {
    const UNTRACED: u64 = 2;
    const CONTINUED: u64 = 8;
    let thread = start();
    code(CHILD, nr::__NR_pause, 0);
    let child = fork(&thread);
    call(&thread, nr::__NR_kill, &[child, 19]).unwrap();
    assert_eq!(wait(&thread, child, UNTRACED), Ok((child, 0x137f)));
    call(&thread, nr::__NR_kill, &[child, 18]).unwrap();
    assert_eq!(wait(&thread, child, CONTINUED), Ok((child, 0xffff)));
    call(&thread, nr::__NR_kill, &[child, 9]).unwrap();
    assert_eq!(wait(&thread, child, 0), Ok((child, 9)));
}

#[test]
fn too_many_tasks_are_refused() {
    let thread = start();
    code(CHILD, nr::__NR_pause, 0);
    let mut children = alloc::vec::Vec::new();
    let error = loop {
        let mut registers = Registers {
            rip: CHILD,
            ..Registers::default()
        };
        match call_with(&thread, &mut registers, nr::__NR_fork, &[]) {
            Ok(child) => children.push(child),
            Err(error) => break error,
        }
    };
    assert_eq!(error, Errno::EAGAIN);
    assert_eq!(children.len(), 63);
    for child in children {
        call(&thread, nr::__NR_kill, &[child, 9]).unwrap();
        assert_eq!(wait(&thread, child, 0), Ok((child, 9)));
    }
}

#[test]
fn groups_and_sessions_follow_their_rules() {
    let thread = start();
    code(CHILD, nr::__NR_pause, 0);
    let child = fork(&thread);
    // The first process leads its session.
    assert_eq!(call(&thread, nr::__NR_setsid, &[]), Err(Errno::EPERM));
    assert_eq!(
        call(&thread, nr::__NR_setpgid, &[0, child]),
        Err(Errno::EPERM)
    );
    assert_eq!(call(&thread, nr::__NR_setpgid, &[child, child]), Ok(0));
    assert_eq!(call(&thread, nr::__NR_getpgid, &[child]), Ok(child));
    assert_eq!(call(&thread, nr::__NR_getsid, &[child]), Ok(1));
    let group = (-i64::try_from(child).unwrap()).cast_unsigned();
    assert_eq!(call(&thread, nr::__NR_kill, &[group, 15]), Ok(0));
    assert_eq!(wait(&thread, group, 0), Ok((child, 15)));
    assert_eq!(
        call(&thread, nr::__NR_kill, &[group, 15]),
        Err(Errno::ESRCH)
    );
}

#[test]
fn wrong_flags_of_clone_are_refused() {
    let thread = start();
    let clone = |flags: u64| call(&thread, nr::__NR_clone, &[flags]);
    assert_eq!(clone(nr::CLONE_THREAD.into()), Err(Errno::EINVAL));
    assert_eq!(clone(nr::CLONE_SIGHAND.into()), Err(Errno::EINVAL));
    assert_eq!(clone(nr::CLONE_NEWUSER.into()), Err(Errno::EPERM));
    assert_eq!(clone(nr::CLONE_PARENT.into()), Err(Errno::EINVAL));
    let arguments = install().guest_bytes(&[0xff; 88]);
    let clone3 = |size| call(&thread, nr::__NR_clone3, &[arguments.0, size]);
    assert_eq!(clone3(88), Err(Errno::EINVAL));
    assert_eq!(clone3(8), Err(Errno::EINVAL));
    assert_eq!(clone3(5000), Err(Errno::E2BIG));
    assert_eq!(
        call(&thread, nr::__NR_clone3, &[GuestAddr::NULL.0, 88]),
        Err(Errno::EFAULT)
    );
}
