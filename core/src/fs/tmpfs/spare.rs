//! Pages that a growing file has set aside, behind its last one.

use super::Tmpfs;
use crate::memory::{Allocated, Extent};
use capsid_platform::PoolPage;

/// The pages, if any.
#[derive(Debug, Default)]
pub(super) struct Spare(Option<Allocated>);

/// The first `count` pages, and the others if there are more.
fn split(allocated: Allocated, count: u64) -> (Allocated, Option<Allocated>) {
    let Allocated { extent, contents } = allocated;
    let first = u32::try_from(count).unwrap_or(u32::MAX).min(extent.count);
    let part = |start, count| Allocated {
        extent: Extent { start, count },
        contents,
    };
    let rest = extent.count - first;
    let beyond = part(PoolPage(extent.start.0 + first), rest);
    (part(extent.start, first), (rest > 0).then_some(beyond))
}

impl Spare {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Takes up to `count` pages, if they begin at `near`.
    pub(super) fn take(&mut self, near: PoolPage, count: u64) -> Option<Allocated> {
        let spare = self.0.take_if(|spare| spare.extent.start == near)?;
        let (taken, rest) = split(spare, count);
        self.0 = rest;
        Some(taken)
    }

    /// Returns the first `count` pages of what was allocated, and keeps the others.
    pub(super) fn keep_beyond(&mut self, allocated: Allocated, count: u64) -> Allocated {
        let (first, rest) = split(allocated, count);
        self.0 = rest;
        first
    }

    /// Frees the pages.
    pub(super) fn release(&mut self, tmpfs: &Tmpfs) {
        if let Some(spare) = self.0.take() {
            tmpfs.free(spare.extent);
        }
    }
}
