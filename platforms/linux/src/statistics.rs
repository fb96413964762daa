//! Counts of gate calls, and of traps per site.

use crate::area::{self, Block};
use crate::boot::THREAD_LIMIT;
use capsid_platform::GuestAddr;
use core::sync::atomic::{AtomicU64, Ordering};

/// Sites counted one by one; further ones are counted together, under address 0.
const SITES: usize = 512;
/// How far a site may lie from its place in the table.
const PROBES: usize = 8;

#[derive(Debug)]
struct Site {
    address: AtomicU64,
    count: AtomicU64,
}

static TABLE: [Site; SITES] = [const {
    Site {
        address: AtomicU64::new(0),
        count: AtomicU64::new(0),
    }
}; SITES];
static OTHER_SITES: AtomicU64 = AtomicU64::new(0);
static ENDED_THREADS_CALLS: AtomicU64 = AtomicU64::new(0);

/// Counts one trap at `site`.
pub fn count_trap(site: u64) {
    let hash = (site.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55) as usize;
    for probe in 0..PROBES {
        let entry = &TABLE[(hash + probe) % SITES];
        let found = entry.address.load(Ordering::Relaxed);
        if found == site
            || found == 0
                && entry
                    .address
                    .compare_exchange(0, site, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok_and(|_| true)
        {
            entry.count.fetch_add(1, Ordering::Relaxed);
            return;
        }
    }
    OTHER_SITES.fetch_add(1, Ordering::Relaxed);
}

/// Adds the gate calls of a thread that ends.
pub fn add_gate_calls(calls: u64) {
    ENDED_THREADS_CALLS.fetch_add(calls, Ordering::Relaxed);
}

/// See [`capsid_platform::Platform::trap_counts`].
pub fn report(each: &mut dyn FnMut(GuestAddr, u64)) -> u64 {
    for entry in &TABLE {
        let count = entry.count.load(Ordering::Relaxed);
        if count != 0 {
            each(GuestAddr(entry.address.load(Ordering::Relaxed)), count);
        }
    }
    let others = OTHER_SITES.load(Ordering::Relaxed);
    if others != 0 {
        each(GuestAddr(0), others);
    }
    let mut calls = ENDED_THREADS_CALLS.load(Ordering::Relaxed);
    for index in 0..area::FREE_BLOCKS.ever_used().min(THREAD_LIMIT) {
        let area = Block(index).area();
        // SAFETY: blocks stay mapped. The counters of running threads change meanwhile; a report
        // needs no exact moment.
        let (generation, count) = unsafe {
            (
                (*area).generation.load(Ordering::Relaxed),
                (&raw const (*area).calls).read_volatile(),
            )
        };
        // Odd while a thread has the block.
        if generation % 2 == 1 {
            calls += count;
        }
    }
    calls
}
