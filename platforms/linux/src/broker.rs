//! The sandbox's end of the wire: slots, the doorbell, donated descriptors, the log.

use crate::area;
use crate::boot::{FD_DONATIONS, FD_FIRST_DONATED, WIRE_BASE};
use crate::lock::Lock;
use crate::{host, start, wait};
use capsid_platform::{Errno, WaitMode};
use capsid_wire::layout::{
    BROKER_ASLEEP, BROKER_AWAKE, DATA_BYTES, DATA_OFFSET, Header, SLOTS, SLOTS_OFFSET,
    STATE_CANCEL, STATE_CLAIMED, STATE_DONE, STATE_FREE, STATE_SUBMITTED, STATE_WAITING, Slot,
};
use capsid_wire::{Operation, Reply, Request};
use core::arch::x86_64::_rdtsc;
use core::fmt::Write;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use linux_raw_sys::general as raw;
use linux_raw_sys::net;

/// The state proper, without the bits that are or-ed in.
const STATE_BITS: u32 = 0xff;
/// How long a thread looks at its slot before it sleeps, in ticks of the time-stamp counter: some
/// 20 µs. The broker answers most requests sooner, and a sleep costs both sides a host call and
/// the wake of an idle processor.
const SPIN_TICKS: u64 = 50_000;
/// Longest line of the log.
const LINE_BYTES: usize = 512;

/// Changes whenever a slot becomes free; threads without one sleep on it.
static SLOTS_FREED: AtomicU32 = AtomicU32::new(0);
/// Descriptors that arrived for other slots than the receiver's, plus one; 0 for none.
static ARRIVED: [AtomicI32; SLOTS] = [const { AtomicI32::new(0) }; SLOTS];
static RECEIVING: Lock = Lock::new();

fn header() -> &'static Header {
    // SAFETY: the wire memory is mapped for the sandbox's life, zeroed by the host at its creation;
    // all fields are atomics.
    unsafe { &*(WIRE_BASE as *const Header) }
}

fn slot(index: usize) -> &'static Slot {
    // SAFETY: as in `header`; `index` < SLOTS.
    unsafe { &*((WIRE_BASE as usize + SLOTS_OFFSET) as *const Slot).add(index % SLOTS) }
}

fn data(index: usize) -> *mut u8 {
    (WIRE_BASE as usize + DATA_OFFSET + (index % SLOTS) * DATA_BYTES) as *mut u8
}

/// The encoded boot configuration.
pub fn boot_bytes() -> &'static [u8] {
    let length =
        (header().boot_len.load(Ordering::Acquire) as usize).min(capsid_wire::layout::BOOT_BYTES);
    // SAFETY: the area lies inside the wire memory; the broker wrote it before the start.
    unsafe {
        core::slice::from_raw_parts(
            (WIRE_BASE as usize + capsid_wire::layout::BOOT_OFFSET) as *const u8,
            length,
        )
    }
}

fn claim() -> usize {
    // Threads start at different slots, so that they seldom meet.
    let on_stack = 0u8;
    let block = area::Block::containing(&raw const on_stack as usize);
    claim_from(block.map_or(0, |block| block.0))
}

fn claim_from(hint: usize) -> usize {
    loop {
        let before = SLOTS_FREED.load(Ordering::SeqCst);
        for index in hint..hint + SLOTS {
            let state = &slot(index).state;
            if state.load(Ordering::Relaxed) == STATE_FREE
                && state
                    .compare_exchange(
                        STATE_FREE,
                        STATE_CLAIMED,
                        Ordering::AcqRel,
                        Ordering::Relaxed,
                    )
                    .is_ok()
            {
                return index % SLOTS;
            }
        }
        wait::sleep_plainly(&SLOTS_FREED, before);
    }
}

fn release(index: usize) {
    slot(index).state.store(STATE_FREE, Ordering::SeqCst);
    SLOTS_FREED.fetch_add(1, Ordering::SeqCst);
    wait::wake(&SLOTS_FREED, 1);
}

/// Tells the broker to look at `index`.
fn ring(index: usize) {
    let header = header();
    header.submitted.fetch_or(1 << index, Ordering::SeqCst);
    ring_doorbell(header);
}

fn ring_doorbell(header: &Header) {
    if header.broker_state.swap(BROKER_AWAKE, Ordering::SeqCst) == BROKER_ASLEEP {
        wait::wake_in_host(header.broker_state.as_ptr() as usize, 1);
    }
}

fn submit(index: usize, request: &Request, outgoing: &[u8]) {
    let slot = slot(index);
    slot.operation
        .store(request.operation as u32, Ordering::Relaxed);
    for (place, value) in slot.args.iter().zip(request.args) {
        place.store(value, Ordering::Relaxed);
    }
    let length = outgoing.len().min(DATA_BYTES);
    // SAFETY: the slot's data area has DATA_BYTES, and belongs to the claimer.
    unsafe { data(index).copy_from_nonoverlapping(outgoing.as_ptr(), length) };
    slot.data_len.store(length as u32, Ordering::Relaxed);
    slot.donated.store(0, Ordering::Relaxed);
    slot.state.store(STATE_SUBMITTED, Ordering::Release);
    ring(index);
}

/// Waits until the slot is done.
fn wait_for_reply(index: usize, mode: WaitMode) {
    let state = &slot(index).state;
    let mut mode = mode;
    if start::has_other_processors() {
        // SAFETY: reads a counter.
        let begin = unsafe { _rdtsc() };
        // SAFETY: as above.
        while unsafe { _rdtsc() }.wrapping_sub(begin) < SPIN_TICKS {
            if state.load(Ordering::Acquire) & STATE_BITS == STATE_DONE {
                return;
            }
            spin_loop();
        }
    }
    loop {
        let seen = state.fetch_or(STATE_WAITING, Ordering::AcqRel) | STATE_WAITING;
        if seen & STATE_BITS == STATE_DONE {
            return;
        }
        if wait::sleep_on_broker(state, seen, mode) {
            mode = WaitMode::Uninterruptible;
            state.fetch_or(STATE_CANCEL, Ordering::AcqRel);
            ring(index);
        }
    }
}

/// See [`capsid_platform::Platform::broker_call`].
pub fn call(request: &Request, buffer: &mut [u8]) -> Result<Reply, Errno> {
    if header().shutdown.load(Ordering::Relaxed) != 0 {
        return Err(Errno::EIO);
    }
    let outgoing = buffer
        .get(..request.data_len as usize)
        .ok_or(Errno::EINVAL)?;
    if outgoing.len() > DATA_BYTES {
        return Err(Errno::EINVAL);
    }
    let mode = if request.operation.is_interruptible() {
        WaitMode::Interruptible
    } else {
        WaitMode::Uninterruptible
    };
    let index = claim();
    submit(index, request, outgoing);
    wait_for_reply(index, mode);
    let slot = slot(index);
    let error = slot.error.load(Ordering::Relaxed);
    let data_len = (slot.data_len.load(Ordering::Relaxed) as usize)
        .min(DATA_BYTES)
        .min(buffer.len());
    let donated = match slot.donated.load(Ordering::Relaxed) {
        0 => None,
        _ => Some(receive(index)),
    };
    let reply = Reply {
        value: slot.value.load(Ordering::Relaxed),
        data_len: data_len as u32,
        donated: donated.transpose()?,
    };
    if error == 0 {
        // SAFETY: the slot's data area has DATA_BYTES.
        unsafe {
            buffer
                .as_mut_ptr()
                .copy_from_nonoverlapping(data(index), data_len)
        };
    }
    release(index);
    match error {
        0 => Ok(reply),
        number => Err(Errno::from_raw(number)),
    }
}

/// One message of the donation socket: room for its tag and its descriptor.
#[repr(C, align(8))]
struct Message {
    tag: u32,
    control: Control,
}

/// `struct cmsghdr` and one descriptor.
#[repr(C, align(8))]
struct Control {
    length: usize,
    level: i32,
    kind: i32,
    descriptor: i32,
    padding: i32,
}

/// Takes the descriptor that the broker sent for slot `index`.
fn receive(index: usize) -> Result<u32, Errno> {
    let _guard = RECEIVING.lock();
    loop {
        let arrived = ARRIVED[index].swap(0, Ordering::Relaxed);
        if arrived != 0 {
            return u32::try_from(arrived - 1).map_err(|_| Errno::EIO);
        }
        let (tag, descriptor) = receive_one()?;
        let place = ARRIVED.get(tag as usize).ok_or(Errno::EIO)?;
        place.store(descriptor + 1, Ordering::Relaxed);
    }
}

fn receive_one() -> Result<(u32, i32), Errno> {
    let mut message = Message {
        tag: u32::MAX,
        control: Control {
            length: 0,
            level: 0,
            kind: 0,
            descriptor: -1,
            padding: 0,
        },
    };
    let vector = [&raw mut message.tag as usize, 4];
    let mut head: net::msghdr = net::msghdr {
        msg_name: core::ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: vector.as_ptr() as *mut net::iovec,
        msg_iovlen: 1,
        msg_control: (&raw mut message.control).cast(),
        msg_controllen: size_of::<Control>() as _,
        msg_flags: 0,
    };
    // SAFETY: the host writes to `message` and `head` only, which live through the call.
    let result = unsafe {
        host::call3(
            raw::__NR_recvmsg,
            [
                FD_DONATIONS as usize,
                &raw mut head as usize,
                RECEIVE_FLAGS as usize,
            ],
        )
    };
    let count = host::check(result)?;
    let control = &message.control;
    if count != 4
        || control.level.unsigned_abs() != net::SOL_SOCKET
        || control.kind.unsigned_abs() != SCM_RIGHTS
        || control.descriptor < FD_FIRST_DONATED
    {
        return Err(Errno::EIO);
    }
    Ok((message.tag, control.descriptor))
}

const SCM_RIGHTS: u32 = 1;
/// `MSG_CMSG_CLOEXEC | MSG_DONTWAIT`: the message is there before the slot is done.
pub const RECEIVE_FLAGS: u32 = 0x4000_0000 | 0x40;

/// Sends a line to the log.
pub fn log(line: &str) {
    for piece in line.as_bytes().chunks(DATA_BYTES) {
        let index = claim();
        let request = Request {
            operation: Operation::Log,
            args: [0; 6],
            data_len: piece.len() as u32,
        };
        submit(index, &request, piece);
        wait_for_reply(index, WaitMode::Uninterruptible);
        release(index);
    }
}

/// A line under construction, cut at [`LINE_BYTES`].
struct Line {
    bytes: [u8; LINE_BYTES],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = &mut self.bytes[self.length..];
        let length = room.len().min(text.len());
        room[..length].copy_from_slice(&text.as_bytes()[..length]);
        self.length += length;
        Ok(())
    }
}

/// Logs without allocating: for faults.
pub fn log_format(arguments: core::fmt::Arguments<'_>) {
    let mut line = Line {
        bytes: [0; LINE_BYTES],
        length: 0,
    };
    let _ = line.write_fmt(arguments);
    log(core::str::from_utf8(&line.bytes[..line.length]).unwrap_or("capsid: unprintable"));
}

/// Tells the broker that the sandbox must end.
pub fn shut_down() {
    let header = header();
    header.shutdown.store(1, Ordering::SeqCst);
    ring_doorbell(header);
}
