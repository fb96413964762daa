//! Sleeping on words and waking sleepers: futex(2) between all processes of the sandbox.

use crate::area::{self, PENDING_WAIT, ThreadArea};
use crate::{copy, host, start};
use capsid_platform::{WaitMode, WaitOutcome};
use core::arch::global_asm;
use core::arch::x86_64::_rdtsc;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use linux_raw_sys::general as raw;

/// The longest spin, in ticks of the time-stamp counter: about 30 µs, which is what it takes to wake a
/// sleeper on an idle processor of a virtual machine. Two threads that take turns get out of sleeping
/// only if one outspins that once.
const MAX_SPIN_TICKS: u64 = 80_000;
/// After a spin that paid, the next may take so many times as long,
const PATIENCE: u64 = 4;
/// but at least this: about 2 µs.
const USUAL_SPIN_TICKS: u64 = 5_000;
/// Up to this a thread does not spin. New threads start here: on a busy machine spinning costs the
/// scheduler's favour, which sleepers enjoy.
pub const NO_SPIN_TICKS: u64 = 1_000;
/// A thread whose spinning does not pay tries it again once in so many waits: at most 1 µs each.
const RETRY_SPIN_EVERY: u32 = 32;
/// One yield in so many sleeps: a sleep costs more than most yields are worth.
const SLEEPING_YIELDS: u32 = 8;
/// How often a kick looks again for a waiter that was about to sleep.
const KICK_ATTEMPTS: u32 = 64;

const ETIMEDOUT: isize = -110;

unsafe extern "C" {
    fn capsid_futex_wait(
        word: *const u32,
        operation: usize,
        expected: usize,
        timeout: *const Timespec,
        pending: *const u32,
    ) -> isize;
    fn capsid_wait_window();
    fn capsid_wait_window_end();
    fn capsid_wait_interrupted();
}

global_asm!(
    r#"
    .pushsection .text.capsid_wait,"ax",@progbits
    .globl capsid_futex_wait, capsid_wait_window, capsid_wait_window_end, capsid_wait_interrupted
    # rdi word, rsi operation, rdx expected, rcx timeout, r8 the pending word. A signal between the
    # look and the call continues at capsid_wait_interrupted.
capsid_futex_wait:
    mov r10, rcx
    mov r9d, -1
    mov eax, {futex}
capsid_wait_window:
    test dword ptr [r8], {ends_wait}
    jnz capsid_wait_interrupted
    syscall
capsid_wait_window_end:
    ret
capsid_wait_interrupted:
    mov rax, -4
    ret
    .popsection
    "#,
    futex = const raw::__NR_futex,
    ends_wait = const PENDING_WAIT,
);

/// `struct timespec`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Timespec {
    seconds: u64,
    nanoseconds: u64,
}

/// Where a thread that was signalled in the wait window continues.
pub fn window_target(rip: u64) -> Option<u64> {
    (capsid_wait_window as *const () as u64..capsid_wait_window_end as *const () as u64)
        .contains(&rip)
        .then_some(capsid_wait_interrupted as *const () as u64)
}

/// How many threads sleep on words with the same hash. A wake of a word that nobody sleeps on
/// needs no host call.
static SLEEPERS: [AtomicU32; 256] = [const { AtomicU32::new(0) }; 256];

#[inline]
fn sleepers(word: *const AtomicU32) -> &'static AtomicU32 {
    let hash = (word as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    &SLEEPERS[hash as usize]
}

/// See [`capsid_platform::Platform::wait`].
pub fn wait(
    word: &AtomicU32,
    expected: u32,
    deadline_ns: Option<u64>,
    mode: WaitMode,
) -> WaitOutcome {
    if mode == WaitMode::Uninterruptible {
        static NEVER: AtomicU32 = AtomicU32::new(0);
        if spin(word, expected, &NEVER) {
            return WaitOutcome::Woken;
        }
        return match counted_sleep(word, expected, deadline_ns, &NEVER) {
            ETIMEDOUT => WaitOutcome::TimedOut,
            _ => WaitOutcome::Woken,
        };
    }
    let announced = Announced::new(word, expected);
    let result = if spin(word, expected, announced.pending) {
        0
    } else {
        counted_sleep(word, expected, deadline_ns, announced.pending)
    };
    if announced.end() {
        return WaitOutcome::Interrupted;
    }
    match result {
        ETIMEDOUT => WaitOutcome::TimedOut,
        _ => WaitOutcome::Woken,
    }
}

/// An interruptible wait that kicks can see.
struct Announced {
    pending: &'static AtomicU32,
    waiting: &'static AtomicUsize,
}

impl Announced {
    fn new(word: &AtomicU32, expected: u32) -> Announced {
        let area = area::current();
        // SAFETY: the calling thread's own area, which stays mapped; these fields are atomics.
        let (pending, waiting, value) =
            unsafe { (&(*area).pending, &(*area).waiting, &(*area).waiting_value) };
        value.store(expected, Ordering::Relaxed);
        waiting.store(word.as_ptr() as usize, Ordering::SeqCst);
        Announced { pending, waiting }
    }

    /// Ends the wait; `true` if a kick came. A kick that saw the wait is seen here.
    fn end(self) -> bool {
        self.waiting.store(0, Ordering::SeqCst);
        self.pending.load(Ordering::SeqCst) & PENDING_WAIT != 0
            && self.pending.fetch_and(!PENDING_WAIT, Ordering::SeqCst) & PENDING_WAIT != 0
    }
}

/// Sleeps where [`wake`] can see that someone does.
fn counted_sleep(
    word: &AtomicU32,
    expected: u32,
    deadline_ns: Option<u64>,
    pending: &AtomicU32,
) -> isize {
    let count = sleepers(word);
    count.fetch_add(1, Ordering::SeqCst);
    let result = sleep(word, expected, deadline_ns, pending);
    count.fetch_sub(1, Ordering::SeqCst);
    result
}

/// Sleeps in the host.
fn sleep(word: &AtomicU32, expected: u32, deadline_ns: Option<u64>, pending: &AtomicU32) -> isize {
    let deadline = deadline_ns.map(|ns| Timespec {
        seconds: ns / 1_000_000_000,
        nanoseconds: ns % 1_000_000_000,
    });
    let timeout = deadline
        .as_ref()
        .map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: the host reads the word and the timeout, which live through the call.
    unsafe {
        capsid_futex_wait(
            word.as_ptr(),
            raw::FUTEX_WAIT_BITSET as usize,
            expected as usize,
            timeout,
            pending.as_ptr(),
        )
    }
}

/// Sleeps for locks of the platform's own: no spinning, no kicks, on any stack.
pub fn sleep_plainly(word: &AtomicU32, expected: u32) {
    static NEVER: AtomicU32 = AtomicU32::new(0);
    counted_sleep(word, expected, None, &NEVER);
}

/// Sleeps on a word that the broker wakes; `true` if a kick ended it.
pub fn sleep_on_broker(word: &AtomicU32, expected: u32, mode: WaitMode) -> bool {
    static NEVER: AtomicU32 = AtomicU32::new(0);
    if mode == WaitMode::Uninterruptible {
        sleep(word, expected, None, &NEVER);
        return false;
    }
    let announced = Announced::new(word, expected);
    sleep(word, expected, None, announced.pending);
    announced.end()
}

/// Spins until the word changes, for as long as it has paid for this thread before. With another
/// processor the waker is often microseconds away, and a sleep and a wake cost more than that.
fn spin(word: &AtomicU32, expected: u32, pending: &AtomicU32) -> bool {
    if word.load(Ordering::Acquire) != expected {
        return true;
    }
    if !start::has_other_processors() {
        return false;
    }
    let area = area::current();
    // SAFETY: the calling thread's own area; nobody else uses these fields.
    let (ticks, idle_waits) = unsafe { (&mut (*area).spin_ticks, &mut (*area).idle_waits) };
    if *ticks <= NO_SPIN_TICKS {
        *idle_waits += 1;
        if !idle_waits.is_multiple_of(RETRY_SPIN_EVERY) {
            return false;
        }
        *ticks = MAX_SPIN_TICKS;
    }
    // SAFETY: reads a counter.
    let start = unsafe { _rdtsc() };
    loop {
        for _ in 0..8 {
            spin_loop();
            if word.load(Ordering::Acquire) != expected {
                // SAFETY: reads a counter.
                let taken = unsafe { _rdtsc() }.wrapping_sub(start);
                *ticks = (taken * PATIENCE).clamp(USUAL_SPIN_TICKS, MAX_SPIN_TICKS);
                return true;
            }
        }
        let kicked = pending.load(Ordering::Relaxed) & PENDING_WAIT != 0;
        // SAFETY: reads a counter.
        if kicked || unsafe { _rdtsc() }.wrapping_sub(start) > *ticks {
            break;
        }
    }
    *ticks = (*ticks / 4).max(NO_SPIN_TICKS);
    false
}

/// See [`capsid_platform::Platform::yield_now`]. There is no host call for it: a sleep of no length
/// lets others run. Only some yields do that; a thread that waits by yielding makes many.
pub fn yield_now() {
    static NEVER_CHANGES: AtomicU32 = AtomicU32::new(0);
    // SAFETY: the calling thread's own area; nobody else uses the field.
    let yields = unsafe { &mut (*area::current()).yields };
    *yields = yields.wrapping_add(1);
    if !yields.is_multiple_of(SLEEPING_YIELDS) {
        return spin_loop();
    }
    sleep(&NEVER_CHANGES, 0, Some(1), &NEVER_CHANGES);
}

/// See [`capsid_platform::Platform::wake`].
#[inline]
pub fn wake(word: &AtomicU32, count: u32) {
    // The caller's change of the word before our look at the count; a sleeper counts itself before
    // the host looks at the word.
    copy::full_fence();
    if sleepers(word).load(Ordering::Relaxed) != 0 {
        wake_in_host(word.as_ptr() as usize, count);
    }
}

/// Wakes sleepers of any party, the broker included; returns how many there were.
pub fn wake_in_host(word: usize, count: u32) -> usize {
    // SAFETY: the host uses the address as a name.
    let result = unsafe {
        host::call3(
            raw::__NR_futex,
            [
                word,
                raw::FUTEX_WAKE as usize,
                count.min(i32::MAX.unsigned_abs()) as usize,
            ],
        )
    };
    usize::try_from(result).unwrap_or(0)
}

/// Ends an interruptible wait of the thread of `area`, whose pending flag was just set; `false` if it
/// does not wait, and has to be signalled.
///
/// # Safety
/// `area` is a block's.
pub unsafe fn wake_waiter(area: *const ThreadArea) -> bool {
    // SAFETY: blocks stay mapped; the fields are atomics.
    let (waiting, value) = unsafe { (&(*area).waiting, &(*area).waiting_value) };
    let word = waiting.load(Ordering::SeqCst);
    if word == 0 {
        return false;
    }
    // From here on the thread cannot leave this wait without a look at the flag. It may have had its
    // last look before the sleep, though.
    for _ in 0..KICK_ATTEMPTS {
        // SAFETY: the word of a wait lies in library-OS memory, which stays mapped. If the wait has
        // ended it may be something else's by now: the value read then does no harm.
        let now = unsafe { (*(word as *const AtomicU32)).load(Ordering::SeqCst) };
        if waiting.load(Ordering::SeqCst) != word
            || now != value.load(Ordering::Relaxed)
            || wake_in_host(word, u32::MAX) > 0
        {
            return true;
        }
        spin_loop();
    }
    false
}
