//! The heap, brk(2).

use super::vma::{Object, Vma};
use super::{AddressSpace, MemoryLimits, VmaFlags, round_up};
use capsid_platform::{GuestRange, Protection, Sharing, platform};

/// Where the heap begins and where it ends now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Break {
    start: u64,
    end: u64,
}

impl AddressSpace {
    /// Sets where the heap begins; it is empty. Called by exec.
    pub fn set_heap_start(&self, start: u64) {
        self.map.lock().heap = Break { start, end: start };
    }

    /// Where the heap begins.
    #[must_use]
    pub fn heap_start(&self) -> u64 {
        self.map.lock().heap.start
    }

    /// Moves the end of the heap to `end` and returns where it is then: where it was if that is
    /// not possible, brk(2).
    pub fn set_break(&self, end: u64, limits: &MemoryLimits) -> u64 {
        let mut map = self.map.lock();
        let Break { start, end: old } = map.heap;
        if end < start || end == old || start == 0 {
            return old;
        }
        let (Some(old_top), Some(new_top)) = (round_up(old), round_up(end)) else {
            return old;
        };
        let mut removed = None;
        if new_top < old_top {
            match GuestRange::between(new_top, old_top).map(|range| map.unmap(range)) {
                Some(Ok(taken)) => removed = Some(taken),
                _ => return old,
            }
        } else if new_top > old_top {
            let Some(range) = GuestRange::between(old_top, new_top) else {
                return old;
            };
            if end - start > limits.data
                || !platform().info().guest_range.encloses(range)
                || !map.tree.is_free(range)
            {
                return old;
            }
            let all = Protection::READ | Protection::WRITE | Protection::EXECUTE;
            let vma = Vma {
                end: range.end(),
                protection: Protection::READ | Protection::WRITE,
                allowed: all,
                sharing: Sharing::Private,
                flags: VmaFlags::HEAP,
                object: Object::Anonymous,
                populated: 0,
            };
            match map.map_at(range, vma, limits) {
                Ok((taken, _)) => removed = Some(taken),
                Err(_) => return old,
            }
        }
        map.heap.end = end;
        drop(map);
        drop(removed);
        end
    }
}
