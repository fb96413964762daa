//! The patched texts of one address space.

use crate::memory::text::patched::PatchedText;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::{Errno, GuestRange, Protection};

/// A text that is mapped with its patched copy.
#[derive(Clone, Debug)]
pub struct MappedText {
    /// The address of its first byte.
    pub start: u64,
    /// The copy.
    pub text: Arc<PatchedText>,
    /// How many of the copy's segments are mapped.
    segments: usize,
}

/// The patched texts of one address space, by address. A copied process has a clone.
#[derive(Clone, Debug, Default)]
pub struct MappedTexts(BTreeMap<u64, MappedText>);

impl MappedTexts {
    /// Maps `text`'s copy over the text at `start`, and its trampolines, whose place is free.
    pub fn map(
        &mut self,
        start: u64,
        protection: Protection,
        text: Arc<PatchedText>,
    ) -> Result<(), Errno> {
        text.map_trampolines(start)?;
        let segments = text.map_segments(start, protection, 0)?;
        self.0.insert(
            start,
            MappedText {
                start,
                text,
                segments,
            },
        );
        Ok(())
    }

    /// Maps what was added to the copy of the text at `start` since it was mapped.
    pub fn map_added(&mut self, start: u64, protection: Protection) -> Result<(), Errno> {
        if let Some(mapped) = self.0.get_mut(&start) {
            let mapping = mapped.text.map_segments(start, protection, mapped.segments);
            mapped.segments = mapping?;
        }
        Ok(())
    }

    /// The patched text that has the byte at `address`.
    #[must_use]
    pub fn at(&self, address: u64) -> Option<&MappedText> {
        let (_, mapped) = self.0.range(..=address).next_back()?;
        mapped.range()?.contains(address).then_some(mapped)
    }

    /// The patched text whose trampolines have the byte at `address`.
    #[must_use]
    pub fn with_trampoline_at(&self, address: u64) -> Option<&MappedText> {
        let mut texts = self.0.values();
        texts.find(|mapped| {
            let range = mapped.text.trampoline_range(mapped.start);
            range.is_some_and(|range| range.contains(address))
        })
    }

    /// The patched texts that have a byte of `range`, or a trampoline there.
    #[must_use]
    pub fn touched_by(&self, range: GuestRange) -> Vec<MappedText> {
        let overlaps = |other: Option<GuestRange>| other.is_some_and(|o| o.overlaps(range));
        let touched = self.0.values().filter(|mapped| {
            overlaps(mapped.range()) || overlaps(mapped.text.trampoline_range(mapped.start))
        });
        touched.cloned().collect()
    }

    /// Forgets the text at `start`, which is no longer mapped with its copy.
    pub fn forget(&mut self, start: u64) -> Option<MappedText> {
        self.0.remove(&start)
    }

    /// Whether nothing is patched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where a thread goes on that is to go on at `address`: there, or in a trampoline if the
    /// instruction at `address` was replaced meanwhile.
    #[must_use]
    pub fn resume_address(&self, address: u64) -> u64 {
        self.try_resume(address).unwrap_or(address)
    }

    fn try_resume(&self, address: u64) -> Option<u64> {
        let mapped = self.at(address)?;
        let offset = usize::try_from(address - mapped.start).ok()?;
        let trampoline = mapped.text.resume(offset)?;
        let area = mapped.text.trampoline_range(mapped.start)?;
        area.start().checked_add(trampoline as u64)
    }

    /// Whether the `syscall` at `address` is patched.
    #[must_use]
    pub fn is_patched(&self, address: u64) -> bool {
        let Some(mapped) = self.at(address) else {
            return false;
        };
        let offset = usize::try_from(address - mapped.start);
        offset.is_ok_and(|offset| mapped.text.is_patched(offset))
    }

    /// The address in the program that `address`, perhaps in a trampoline, stands for. For signal
    /// frames, traces and statistics.
    #[must_use]
    pub fn original_address(&self, address: u64) -> u64 {
        self.try_original(address).unwrap_or(address)
    }

    fn try_original(&self, address: u64) -> Option<u64> {
        let mapped = self.with_trampoline_at(address)?;
        let area = mapped.text.trampoline_range(mapped.start)?;
        let offset = usize::try_from(address - area.start()).ok()?;
        let original = mapped.text.original(offset)?;
        mapped.start.checked_add(original as u64)
    }
}

impl MappedText {
    /// The addresses of the text.
    #[must_use]
    pub fn range(&self) -> Option<GuestRange> {
        GuestRange::between(self.start, self.start.checked_add(self.text.key().length)?)
    }
}
