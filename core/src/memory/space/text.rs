//! Patched text in an address space: where trampolines lie, and when text is what the file has.

use super::vma::{Object, Vma};
use super::{AddressSpace, Map, VmaFlags, host};
use crate::fs::OpenFile;
use crate::memory::space::tree::VmaTree;
use crate::memory::text::{MappedText, TextKey, TextMapping, TrampolineRoom, Urgency};
use alloc::sync::Arc;
use capsid_platform::{Errno, GuestAddr, GuestRange, Protection, Sharing, platform};

/// Trampolines lie at most this far below their text.
const REACH_BYTES: u64 = 1 << 30;

impl AddressSpace {
    /// Looks after a trap of the `syscall` at `site`: may replace the text that has it by its
    /// patched copy. Returns where the thread goes on after the call.
    pub fn trapped(&self, site: GuestAddr, urgency: Urgency) -> u64 {
        let mut map = self.map.lock();
        let Map { tree, texts, .. } = &mut *map;
        let found = find_text(tree, site.0);
        let mapping = found.as_ref().map(FoundText::mapping);
        texts.trapped(mapping.as_ref(), site, urgency, tree)
    }

    /// Where a thread goes on that is to go on at `address`: there, or in a trampoline if the
    /// instruction was replaced. To be asked before a thread goes to an address that it was given
    /// earlier: after a trap, from a signal frame, after `vfork`.
    #[must_use]
    pub fn resume_address(&self, address: u64) -> u64 {
        self.map.lock().texts.resume_address(address)
    }

    /// Whether a patch replaced the `syscall` at `site`. What is there now makes the call.
    #[must_use]
    pub fn is_patched_call(&self, site: GuestAddr) -> bool {
        self.map.lock().texts.is_patched(site.0)
    }

    /// The address in the program that `address`, perhaps in a trampoline, stands for: what a
    /// signal frame, a trace or a statistic shows.
    #[must_use]
    pub fn original_address(&self, address: u64) -> u64 {
        self.map.lock().texts.original_address(address)
    }
}

/// A mapping that can be patched.
struct FoundText {
    file: Arc<OpenFile>,
    key: TextKey,
    start: u64,
    protection: Protection,
}

impl FoundText {
    fn mapping(&self) -> TextMapping<'_> {
        TextMapping {
            file: &*self.file.file,
            key: self.key,
            start: self.start,
            protection: self.protection,
        }
    }
}

/// The mapping at `address` if it is text as its file has it.
fn find_text(tree: &VmaTree, address: u64) -> Option<FoundText> {
    let (start, vma) = tree.find(address)?;
    let Object::File { file, offset } = &vma.object else {
        return None;
    };
    let length = vma.end - start;
    let is_text = vma.sharing == Sharing::Private
        && vma.protection.contains(Protection::EXECUTE)
        && !vma.protection.contains(Protection::WRITE)
        && !vma.flags.contains(VmaFlags::WAS_WRITABLE)
        && vma.populated == length;
    let mappable = file.file.mappable().ok().filter(|_| is_text)?;
    Some(FoundText {
        key: TextKey {
            file: mappable.identity(),
            version: mappable.version(),
            offset: *offset,
            length,
        },
        file: Arc::clone(file),
        start,
        protection: vma.protection,
    })
}

impl Map {
    /// Maps the patched copy of a new mapping at `start`, if it is text that has one.
    pub(super) fn show_patched(&mut self, start: u64) {
        if self.shows_patched
            && let Some(found) = find_text(&self.tree, start)
        {
            self.texts.map_if_patched(&found.mapping(), &mut self.tree);
        }
    }

    /// Shows the file's bytes again in every text that loses a part to a change of `range`, or its
    /// trampolines. Those that go as a whole need it not.
    pub(super) fn revert_texts(&mut self, range: GuestRange) -> Result<(), Errno> {
        if !self.tree.may_have_text(range) {
            return Ok(());
        }
        for mapped in self.texts.touched_by(range) {
            if mapped.range().is_some_and(|text| !range.encloses(text)) {
                self.revert(&mapped)?;
            }
        }
        Ok(())
    }

    /// Shows the file's bytes again in every text of which `range` has a part.
    pub(super) fn revert_all_texts(&mut self, range: GuestRange) -> Result<(), Errno> {
        if !self.tree.may_have_text(range) {
            return Ok(());
        }
        for mapped in self.texts.touched_by(range) {
            self.revert(&mapped)?;
        }
        Ok(())
    }

    fn revert(&mut self, mapped: &MappedText) -> Result<(), Errno> {
        let text = mapped.range().ok_or(Errno::ENOMEM)?;
        for (start, vma) in self.tree.overlapping(text) {
            let mut piece = vma.clone();
            let from = start.max(text.start());
            if from > start {
                piece = piece.split_off(start, from);
            }
            piece.end = piece.end.min(text.end());
            if matches!(piece.object, Object::File { .. }) {
                host::populate(from, &piece, 0)?;
            }
        }
        // Threads may still be in its trampolines, which stay.
        self.texts.forget(mapped.start);
        Ok(())
    }

    /// Forgets the texts that went away with `range`, and their trampolines.
    pub(super) fn forget_texts(&mut self, range: GuestRange) {
        if !self.tree.may_have_text(range) {
            return;
        }
        for mapped in self.texts.touched_by(range) {
            if !mapped.range().is_some_and(|text| range.encloses(text)) {
                continue;
            }
            self.texts.forget(mapped.start);
            let Some(area) = mapped.text.trampoline_range(mapped.start) else {
                continue;
            };
            if self.tree.is_trampolines(area) {
                let _ = platform().unmap(area);
                drop(self.tree.remove_with_gap(area));
            }
        }
    }
}

impl TrampolineRoom for VmaTree {
    fn is_free(&self, range: GuestRange) -> bool {
        platform().info().guest_range.encloses(range)
            && (self.is_empty_at(range) || self.gap_at(range.start()) >= range.len())
    }

    fn find(&self, start: u64, bytes: u64) -> Option<u64> {
        if let Some(gap) = self.gap_behind(start, bytes) {
            return Some(gap);
        }
        // A program's own image has its heap above it: below, then.
        let lowest = platform().info().guest_range.start();
        let low = lowest.max(start.saturating_sub(REACH_BYTES));
        self.search(bytes, low, start).0
    }

    fn take(&mut self, range: GuestRange) {
        let _gap = self.remove(range);
        self.insert(range.start(), Vma::unseen(range, Object::Trampolines));
    }
}
