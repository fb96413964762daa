//! Which texts have patched copies, and which are worth one.

use crate::fs::File;
use crate::memory::text::patched::{Passed, PatchedText, read_text};
use crate::sync::Mutex;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::{Errno, PAGE_SIZE, platform};
use capsid_rewriter::trampoline_bytes;

/// Texts that are remembered. Beyond it, those that nobody maps are forgotten.
const KNOWN_MAX: usize = 256;
/// Copies of one text, at different distances from their trampolines.
const COPIES_MAX: usize = 4;
/// Failures after which attempts become no rarer: one in 2^32 of the traps that a copy is worth.
const FAILURES_MAX: u32 = 8;
/// Traps that any copy costs.
const BASE_TRAPS: u64 = 32;
/// Bytes of text whose patching costs as much as one trap: some 3 ms for the C library's 1.4 MB, at
/// 2.5 µs for a trap. Half of that, since later programs profit too.
const BYTES_PER_TRAP: u64 = 2048;
/// Longer texts are not patched because of a second thread only: most of them hardly make calls.
const AT_ONCE_BYTES: u64 = 4 << 20;

/// Names the bytes that a text mapping shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TextKey {
    /// The file, [`crate::fs::Mappable::identity`].
    pub file: (u64, u64),
    /// Its version, [`crate::fs::Mappable::version`].
    pub version: u64,
    /// The file offset of the first byte; a multiple of the page size.
    pub offset: u64,
    /// Bytes of the mapping; a multiple of the page size.
    pub length: u64,
}

/// Whether a text must be patched at its next trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// When enough traps have been counted: the guest process has one thread, which is the caller
    /// and goes nowhere without asking for its resume address.
    Counted,
    /// Now, unless it is long: the process has several threads, or the call makes another. One
    /// that returned from a trap and is then held up on the next instruction must not find it
    /// replaced. In a text that threads passed in this way, fewer sites can be patched.
    Now,
}

/// All texts that trapped.
#[derive(Debug, Default)]
pub struct TextCache {
    known: Mutex<Vec<Known>>,
}

#[derive(Debug)]
struct Known {
    key: TextKey,
    traps: u64,
    /// Attempts to make a copy that failed: for lack of memory, or for good.
    failures: u32,
    passed: Passed,
    copies: Vec<Arc<PatchedText>>,
}

/// The one cache of the sandbox.
pub fn text_cache() -> &'static TextCache {
    static CACHE: spin::Once<TextCache> = spin::Once::new();
    CACHE.call_once(TextCache::default)
}

impl TextCache {
    /// Finds a copy of the text whose distance from its trampolines is one that `fits` accepts.
    pub fn find(
        &self,
        key: &TextKey,
        mut fits: impl FnMut(&PatchedText) -> bool,
    ) -> Option<Arc<PatchedText>> {
        let known = self.known.lock();
        let text = known.iter().find(|text| text.key == *key)?;
        text.copies.iter().find(|copy| fits(copy)).cloned()
    }

    /// Counts a trap in a text that is mapped without a copy, and says whether one is to be made.
    pub fn is_worth_a_copy(&self, key: &TextKey, urgency: Urgency) -> bool {
        if platform().info().gate_jump.is_empty() {
            return false;
        }
        let mut known = self.known.lock();
        let text = entry(&mut known, key);
        text.traps += 1;
        let enough = BASE_TRAPS + key.length / BYTES_PER_TRAP;
        let enough = enough.saturating_mul(1 << (4 * text.failures));
        let at_once = urgency == Urgency::Now && key.length <= AT_ONCE_BYTES && text.failures == 0;
        let worth = at_once || text.traps >= enough;
        if urgency == Urgency::Now && !worth {
            text.passed = Passed::Unobserved;
        }
        worth
    }

    /// Makes a copy of the text, which `file` has, with the site that trapped and all that are
    /// certain patched.
    ///
    /// `place` finds room for this many bytes of trampolines, at the same distance for all later
    /// mappings of the copy, and returns the distance from the first byte of the text. Errors:
    /// `ENOMEM` for lack of pages or room, `ENOEXEC` if nothing can be patched, and those of
    /// reading the file. `site` is relative to the text.
    pub fn make(
        &self,
        file: &dyn File,
        key: &TextKey,
        site: usize,
        place: impl FnOnce(u64) -> Option<i64>,
    ) -> Result<Arc<PatchedText>, Errno> {
        let mut known = self.known.lock();
        let text = entry(&mut known, key);
        if text.copies.len() >= COPIES_MAX {
            return Err(Errno::ENOMEM);
        }
        let passed = text.passed;
        let made = read_text(file, key).and_then(|bytes| {
            let gate_jump = platform().info().gate_jump;
            // Room for the gaps that patches at traps leave, at least.
            let room = trampoline_bytes(&bytes, gate_jump.len()) + PAGE_SIZE / 4;
            let room = room.next_multiple_of(PAGE_SIZE);
            let distance = place(room as u64).ok_or(Errno::ENOMEM)?;
            PatchedText::new(bytes, *key, site, distance, room, passed)
        });
        match made {
            Ok(copy) => {
                let copy = Arc::new(copy);
                text.copies.push(Arc::clone(&copy));
                Ok(copy)
            }
            Err(error) => {
                text.failures = (text.failures + 1).min(FAILURES_MAX);
                text.traps = 0;
                Err(error)
            }
        }
    }
}

fn entry<'a>(known: &'a mut Vec<Known>, key: &TextKey) -> &'a mut Known {
    let at = known.iter().position(|text| text.key == *key);
    let at = at.unwrap_or_else(|| {
        if known.len() >= KNOWN_MAX {
            let in_use = |copy: &Arc<PatchedText>| Arc::strong_count(copy) > 1;
            known.retain(|text| text.copies.iter().any(in_use));
        }
        known.push(Known {
            key: *key,
            traps: 0,
            failures: 0,
            passed: Passed::Observed,
            copies: Vec::new(),
        });
        known.len() - 1
    });
    &mut known[at]
}
