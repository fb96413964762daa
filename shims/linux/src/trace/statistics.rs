//! Counting calls, for `--stats`.

use crate::call::CallResult;
use crate::kernel::Kernel;
use crate::table::{self, TABLE_SIZE};
use alloc::format;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_platform::platform;
use core::sync::atomic::{AtomicU64, Ordering};

/// How many lines of sites are printed at most.
const SITES_SHOWN: usize = 20;

static CALLS: [AtomicU64; TABLE_SIZE] = [const { AtomicU64::new(0) }; TABLE_SIZE];
static REFUSED: [AtomicU64; TABLE_SIZE] = [const { AtomicU64::new(0) }; TABLE_SIZE];
static SPENT_NS: AtomicU64 = AtomicU64::new(0);

/// Counts a call, how long it took and whether it was refused with `ENOSYS`.
pub fn count(number: u64, spent_ns: u64, result: &CallResult) {
    let index = usize::try_from(number).unwrap_or(TABLE_SIZE);
    if let (Some(calls), Some(refused)) = (CALLS.get(index), REFUSED.get(index)) {
        calls.fetch_add(1, Ordering::Relaxed);
        if *result == Err(Errno::ENOSYS) {
            refused.fetch_add(1, Ordering::Relaxed);
        }
    }
    SPENT_NS.fetch_add(spent_ns, Ordering::Relaxed);
}

/// Prints what was counted, line by line.
pub fn report(kernel: &Kernel, mut line: impl FnMut(&str)) {
    let mut sites: Vec<(u64, u64)> = Vec::new();
    let gate = platform().trap_counts(&mut |site, count| sites.push((count, site.0)));
    let trapped: u64 = sites.iter().map(|(count, _)| count).sum();
    line(&format!(
        "calls: {gate} through the gate, {trapped} trapped at {} sites",
        sites.len()
    ));
    let forks = kernel.forks.load(Ordering::Relaxed);
    let spent = SPENT_NS.load(Ordering::Relaxed) / 1000;
    line(&format!(
        "processes forked: {forks}; time in calls: {spent} us"
    ));
    let mut counts: Vec<(u64, usize)> = CALLS
        .iter()
        .enumerate()
        .map(|(number, count)| (count.load(Ordering::Relaxed), number))
        .filter(|(count, _)| *count > 0)
        .collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    for (count, number) in counts {
        let name = table::lookup(number as u64).name;
        let name = if name.is_empty() { "unknown" } else { name };
        let refused = REFUSED[number].load(Ordering::Relaxed);
        if refused > 0 {
            line(&format!(
                "{count:>10} {name} ({number}), {refused} refused with ENOSYS"
            ));
        } else {
            line(&format!("{count:>10} {name}"));
        }
    }
    sites.sort_unstable_by(|a, b| b.cmp(a));
    for (count, site) in sites.iter().take(SITES_SHOWN) {
        line(&format!("{count:>10} traps at {site:#x}"));
    }
}
