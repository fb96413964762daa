//! The patches that a text has, and the mapping between its addresses and its trampolines'.

use crate::patch::{CodeWrite, JUMP_LEN, Patch, Places};
use crate::trampoline::ALIGNMENT;
use alloc::vec::Vec;
use core::ops::Range;

#[derive(Clone, Copy, Debug)]
struct Entry {
    site: u32,
    trampoline: u32,
    trampoline_len: u8,
    /// Where the jump was written and what stood there.
    write: CodeWrite,
    original: [u8; 8],
    /// The long jump in filling, and the filling that it replaced.
    prelude: Option<(CodeWrite, [u8; JUMP_LEN])>,
    /// The first byte other patches must not use, and how many follow it.
    occupied: (u32, u8),
    places: Places,
}

/// The patches of one text, in order of their sites.
#[derive(Clone, Debug, Default)]
pub struct SiteTable {
    entries: Vec<Entry>,
    trampoline_end: usize,
}

impl SiteTable {
    /// The table of a text without patches.
    #[must_use]
    pub fn new() -> SiteTable {
        SiteTable::default()
    }

    /// Number of patched sites.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no site is patched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where the next trampoline goes, as an offset of the trampoline area.
    #[must_use]
    pub fn next_trampoline(&self) -> usize {
        self.trampoline_end.next_multiple_of(ALIGNMENT)
    }

    /// Records a patch of `text`, which has its original bytes. `None` if a trampoline is too long
    /// to be recorded; the patch must not be used then.
    pub(crate) fn insert(&mut self, patch: &Patch, text: &[u8]) -> Option<()> {
        let entry = entry(patch, text)?;
        let at = self
            .entries
            .partition_point(|other| other.site < entry.site);
        self.entries.insert(at, entry);
        let end = patch.trampoline_offset + patch.trampoline.len();
        self.trampoline_end = self.trampoline_end.max(end);
        Some(())
    }

    /// Whether the `syscall` at this text offset is patched.
    #[must_use]
    pub fn is_patched(&self, site: usize) -> bool {
        self.entry_of_site(site).is_some()
    }

    /// The text offset that a trampoline byte stands in for: that of the instruction that is
    /// executed next. For signal frames, traces and unwinding.
    #[must_use]
    pub fn original(&self, trampoline_offset: usize) -> Option<usize> {
        // Trampolines are given out upwards, but sites come in any order.
        let inside = |entry: &&Entry| {
            let start = entry.trampoline as usize;
            (start..start + usize::from(entry.trampoline_len)).contains(&trampoline_offset)
        };
        let entry = self.entries.iter().find(inside)?;
        let delta = trampoline_offset - entry.trampoline as usize;
        let mut places = entry.places.as_slice().iter();
        let place = places.rfind(|place| usize::from(place.trampoline) <= delta)?;
        (entry.site as usize).checked_add_signed(isize::from(place.text))
    }

    /// The trampoline offset at which a thread goes on that stood before the instruction at
    /// `text_offset` when its bytes were replaced; `None` if it can go on where it is.
    ///
    /// Every trap at a patched site must be asked about with the offset behind the `syscall`: the
    /// thread trapped while another put the patch in.
    #[must_use]
    pub fn resume(&self, text_offset: usize) -> Option<usize> {
        let near = text_offset.saturating_sub(128)..text_offset.saturating_add(128);
        self.entries_in(near).iter().find_map(|entry| {
            let covered = entry.write.range();
            if text_offset <= covered.start || covered.end <= text_offset {
                return None;
            }
            let place = entry.places.as_slice().iter().find(|place| {
                (entry.site as usize).checked_add_signed(isize::from(place.text))
                    == Some(text_offset)
            })?;
            Some(entry.trampoline as usize + usize::from(place.trampoline))
        })
    }

    /// Writes all patches into `text`, the whole text.
    pub fn apply(&self, text: &mut [u8]) {
        for entry in &self.entries {
            let prelude = entry.prelude.map(|(write, _)| write);
            for write in prelude.iter().chain([&entry.write]) {
                if let Some(place) = text.get_mut(write.range()) {
                    place.copy_from_slice(write.bytes());
                }
            }
        }
    }

    /// The writes of all patches, in no particular order.
    pub fn writes(&self) -> impl Iterator<Item = &CodeWrite> {
        let entries = self.entries.iter();
        entries.flat_map(|entry| {
            let prelude = entry.prelude.as_ref().map(|(write, _)| write);
            prelude.into_iter().chain([&entry.write])
        })
    }

    /// Puts the original bytes back into `part`, a copy of the patched text from `start` on.
    pub fn restore(&self, start: usize, part: &mut [u8]) {
        for entry in &self.entries {
            let mut put = |offset: usize, bytes: &[u8]| {
                for (index, byte) in bytes.iter().enumerate() {
                    let at = (offset + index).checked_sub(start);
                    if let Some(place) = at.and_then(|at| part.get_mut(at)) {
                        *place = *byte;
                    }
                }
            };
            let length = entry.write.bytes().len();
            put(entry.write.offset(), &entry.original[..length]);
            if let Some((write, original)) = &entry.prelude {
                put(write.offset(), original);
            }
        }
    }

    /// Whether a patch that builds on `range` would get in the way of one in the table.
    pub(crate) fn occupies(&self, range: &Range<usize>) -> bool {
        if range.is_empty() {
            return false;
        }
        let near = range.start.saturating_sub(256)..range.end.saturating_add(256);
        self.entries_in(near).iter().any(|entry| {
            let (start, length) = (entry.occupied.0 as usize, usize::from(entry.occupied.1));
            let filling = entry
                .prelude
                .is_some_and(|(write, _)| overlap(&write.range(), range));
            overlap(&(start..start + length), range) || filling
        })
    }

    fn entries_in(&self, sites: Range<usize>) -> &[Entry] {
        let first = self
            .entries
            .partition_point(|e| (e.site as usize) < sites.start);
        let last = self
            .entries
            .partition_point(|e| (e.site as usize) < sites.end);
        &self.entries[first..last]
    }

    fn entry_of_site(&self, site: usize) -> Option<&Entry> {
        let site = u32::try_from(site).ok()?;
        let at = self.entries.binary_search_by_key(&site, |entry| entry.site);
        Some(&self.entries[at.ok()?])
    }
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

fn entry(patch: &Patch, text: &[u8]) -> Option<Entry> {
    let replaced_by = text.get(patch.write.range())?;
    let mut original = [0; 8];
    original[..replaced_by.len()].copy_from_slice(replaced_by);
    let prelude = match &patch.prelude {
        Some(write) => {
            let filling = text.get(write.range())?.try_into().ok()?;
            Some((*write, filling))
        }
        None => None,
    };
    let occupied = patch.occupied();
    Some(Entry {
        site: u32::try_from(patch.site).ok()?,
        trampoline: u32::try_from(patch.trampoline_offset).ok()?,
        trampoline_len: u8::try_from(patch.trampoline.len()).ok()?,
        write: patch.write,
        original,
        prelude,
        occupied: (
            u32::try_from(occupied.start).ok()?,
            u8::try_from(occupied.len()).ok()?,
        ),
        places: patch.places,
    })
}
