//! System V message queues: msgget(2), msgsnd(2), msgrcv(2), msgctl(2).

use super::shared_memory::{IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT};
use crate::call::{Call, CallResult, restart};
use crate::sysv::{
    Choice, Get, Header, Layout, MESSAGE_BYTES_MAX, Message, MessageQueue, Object, QUEUE_BYTES,
    QUEUES_MAX, Received, Wanted,
};
use alloc::vec;
use capsid_core::Errno;
use capsid_core::credentials::Capabilities;
use capsid_core::wait::{Events, Waiter};
use capsid_platform::GuestAddr;

const IPC_NOWAIT: u32 = 0o4000;
const MSG_NOERROR: u32 = 0o10_000;
const MSG_EXCEPT: u32 = 0o20_000;
const MSG_COPY: u32 = 0o40_000;

const MSG_STAT: u32 = 11;
const MSG_INFO: u32 = 12;
const MSG_STAT_ANY: u32 = 13;

/// msgget(2).
pub fn sys_msgget(call: &mut Call<'_>) -> CallResult {
    let request = Get {
        key: call.int(0),
        flags: call.uint(1),
        credentials: &call.thread.credentials(),
    };
    let messages = &call.kernel().ipc.messages;
    let id = messages.get(&request, |_| Ok(()), |header| Ok(MessageQueue::new(header)))?;
    Ok(u64::from(id.cast_unsigned()))
}

/// Sleeps until `attempt` says something else than `EAGAIN`; `at_once` gives up with this.
fn wait<T>(
    call: &Call<'_>,
    queue: &MessageQueue,
    at_once: Option<Errno>,
    mut attempt: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    match (attempt(), at_once) {
        (Err(Errno::EAGAIN), None) => {}
        (Err(Errno::EAGAIN), Some(error)) => return Err(error),
        (result, _) => return result,
    }
    let _place = queue
        .waiters
        .register(call.thread.parker.clone(), Events::all());
    let result = call.thread.wait_until(None, || match attempt() {
        Err(Errno::EAGAIN) => None,
        result => Some(result),
    });
    match result {
        Err(Errno::EINTR) => Err(restart::if_no_handler()),
        result => result?,
    }
}

/// msgsnd(2).
pub fn sys_msgsnd(call: &mut Call<'_>) -> CallResult {
    let kind = call.pointer(1).read_u64()?.cast_signed();
    let text = call.pointer(1).offset(8)?;
    do_msgsnd(call, call.int(0), kind, (text, call.size(2)), call.uint(3))
}

fn do_msgsnd(
    call: &Call<'_>,
    id: i32,
    kind: i64,
    (address, length): (GuestAddr, usize),
    flags: u32,
) -> CallResult {
    if length > MESSAGE_BYTES_MAX || id < 0 || kind < 1 {
        return Err(Errno::EINVAL);
    }
    let mut text = vec![0; length];
    address.read(&mut text)?;
    let message = Message {
        kind,
        text: text.into(),
    };
    let queue = call.kernel().ipc.messages.find(id)?;
    queue
        .header()
        .check(&call.thread.credentials(), Wanted::WRITE)?;
    let at_once = (flags & IPC_NOWAIT != 0).then_some(Errno::EAGAIN);
    wait(call, &queue, at_once, || {
        queue.send(&message, call.process().id)
    })?;
    Ok(0)
}

/// msgrcv(2).
pub fn sys_msgrcv(call: &mut Call<'_>) -> CallResult {
    let flags = call.uint(4);
    let room = usize::try_from(call.long(2)).map_err(|_| Errno::EINVAL)?;
    let choice = choice(call.long(3), flags)?;
    let how = Received {
        room,
        cut: flags & MSG_NOERROR != 0,
    };
    do_msgrcv(call, call.int(0), call.pointer(1), choice, how, flags)
}

fn choice(kind: i64, flags: u32) -> Result<Choice, Errno> {
    if flags & MSG_COPY != 0 {
        if flags & MSG_EXCEPT != 0 || flags & IPC_NOWAIT == 0 {
            return Err(Errno::EINVAL);
        }
        return Ok(Choice::CopyAt(usize::try_from(kind).unwrap_or(usize::MAX)));
    }
    Ok(match kind {
        0 => Choice::Any,
        ..0 => Choice::UpTo(kind.checked_neg().unwrap_or(i64::MAX)),
        _ if flags & MSG_EXCEPT != 0 => Choice::Not(kind),
        _ => Choice::Kind(kind),
    })
}

fn do_msgrcv(
    call: &Call<'_>,
    id: i32,
    address: GuestAddr,
    choice: Choice,
    how: Received,
    flags: u32,
) -> CallResult {
    let queue = call.kernel().ipc.messages.find(id)?;
    queue
        .header()
        .check(&call.thread.credentials(), Wanted::READ)?;
    let at_once = (flags & IPC_NOWAIT != 0).then_some(Errno::ENOMSG);
    let message = wait(call, &queue, at_once, || {
        queue.receive(choice, how, call.process().id)
    })?;
    let length = message.text.len().min(how.room);
    let text = message.text.get(..length).unwrap_or_default();
    address.write_u64(message.kind.cast_unsigned())?;
    address.offset(8)?.write(text)?;
    Ok(length as u64)
}

/// msgctl(2).
pub fn sys_msgctl(call: &mut Call<'_>) -> CallResult {
    do_msgctl(call, call.int(0), call.uint(1), call.pointer(2))
}

fn do_msgctl(call: &Call<'_>, id: i32, command: u32, buffer: GuestAddr) -> CallResult {
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    let messages = &call.kernel().ipc.messages;
    let credentials = call.thread.credentials();
    match command {
        IPC_INFO | MSG_INFO => {
            buffer.write(&info(call, command == MSG_INFO).0)?;
            Ok(messages.highest_index().into())
        }
        IPC_STAT | MSG_STAT | MSG_STAT_ANY => {
            let queue = if command == IPC_STAT {
                messages.find(id)?
            } else {
                messages.at(id.cast_unsigned())?
            };
            if command != MSG_STAT_ANY {
                queue.header().check(&credentials, Wanted::READ)?;
            }
            buffer.write(&queue.description())?;
            let id = u64::from(queue.header().id.cast_unsigned());
            Ok(if command == IPC_STAT { 0 } else { id })
        }
        IPC_SET => {
            let header: [u8; Header::BYTES] = buffer.read_array()?;
            // msg_qbytes of struct msqid64_ds.
            let limit = buffer.offset(88)?.read_u64()?;
            let queue = messages.find(id)?;
            queue.header().check_owner(&credentials)?;
            if limit > QUEUE_BYTES && !credentials.has(Capabilities::SYS_RESOURCE) {
                return Err(Errno::EPERM);
            }
            queue.header().set(&header);
            queue.set_limit(limit);
            Ok(0)
        }
        IPC_RMID => {
            let queue = messages.find(id)?;
            queue.header().check_owner(&credentials)?;
            messages.remove(&queue);
            queue.removed();
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// `struct msginfo`: limits, or what is in use.
fn info(call: &Call<'_>, of_use: bool) -> Layout {
    let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let [pool, map, headers] = if of_use {
        let queues = call.kernel().ipc.messages.all();
        let facts = queues.iter().map(|queue| queue.facts());
        let (messages, bytes) = facts.fold((0, 0), |(messages, bytes), facts| {
            (messages + facts.messages, bytes + facts.bytes)
        });
        [queues.len() as u64, messages, bytes]
    } else {
        let pool = QUEUES_MAX as u64 * QUEUE_BYTES / 1024;
        [pool, QUEUE_BYTES, QUEUE_BYTES]
    };
    Layout::default()
        .int(small(pool))
        .int(small(map))
        .int(small(MESSAGE_BYTES_MAX as u64))
        .int(small(QUEUE_BYTES))
        .int(small(QUEUES_MAX as u64))
        .int(16)
        .int(small(headers))
        // An unsigned short, and what fills the structure up.
        .int(0xffff)
}
