//! One patched copy: its pages, its trampolines, and how it is patched further.

use crate::fs::File;
use crate::io::Destination;
use crate::memory::text::cache::TextKey;
use crate::memory::{Contents, Extent, pool};
use crate::sync::Mutex;
use alloc::vec::Vec;
use capsid_platform::{
    Backing, Errno, GuestAddr, GuestRange, IoSource, IoTarget, PAGE_SIZE, Protection, Sharing,
    platform,
};
use capsid_rewriter::{
    CodeWrite, Hazards, Layout, Refusal, SiteTable, patch_proven_sites, patch_site,
};
use core::ops::Range;

/// Longer texts are not patched: they are read into the library OS's memory as a whole.
const LONGEST_TEXT: u64 = 64 << 20;
/// Texts up to this long are copied whole, so that the mapping stays one piece.
const WHOLE_BYTES: usize = 2 << 20;
/// Of longer ones, aligned blocks of this size are.
const BLOCK_BYTES: usize = 64 << 10;

/// Whether threads came back from traps in a text without having asked where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// All were alone in their process, and asked, or nothing was to be said to them yet.
    Observed,
    /// Some had company: they may be anywhere behind a site.
    Unobserved,
}

/// What came of a trap in a text that is mapped with its copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The site is patched: now, or by another thread. Segments may have been added.
    Patched,
    /// The site stays as it is.
    Stays,
}

/// A patched copy of a text.
#[derive(Debug)]
pub struct PatchedText {
    key: TextKey,
    distance: i64,
    trampolines: Pages,
    /// What threads may be doing in the texts that the copy replaces.
    hazards: Hazards,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    table: SiteTable,
    /// Only ever added to.
    segments: Vec<Segment>,
    /// Sites that trapped and cannot be patched, sorted.
    refused: Vec<usize>,
}

/// Consecutive pages of the text that the copy holds.
#[derive(Debug)]
struct Segment {
    /// Byte offset in the text.
    start: usize,
    pages: Pages,
}

/// Pages of the pool, freed with the value.
#[derive(Debug)]
struct Pages(Extent);

impl Pages {
    /// Allocates consecutive pages: `ENOMEM`.
    fn allocate(bytes: usize, contents: Contents) -> Result<Pages, Errno> {
        let count = bytes.div_ceil(PAGE_SIZE);
        let count = u32::try_from(count).map_err(|_| Errno::ENOMEM)?;
        let pages = pool()
            .allocate(count, None, contents)
            .ok_or(Errno::ENOMEM)?;
        let pages = Pages(pages.extent);
        // What came up short is freed here.
        (pages.0.count == count)
            .then_some(pages)
            .ok_or(Errno::ENOMEM)
    }

    fn len_bytes(&self) -> usize {
        self.0.count as usize * PAGE_SIZE
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        platform().pool_write(self.0.start, offset, IoSource::Kernel(bytes));
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        pool().free(self.0);
    }
}

impl Segment {
    fn range(&self) -> Range<usize> {
        self.start..self.start + self.pages.len_bytes()
    }
}

/// Reads all bytes of a text: `ENOMEM` if it is too long. What lies behind the end of the file is
/// zero, as in a mapping.
pub(super) fn read_text(file: &dyn File, key: &TextKey) -> Result<Vec<u8>, Errno> {
    let length = usize::try_from(key.length).map_err(|_| Errno::ENOMEM)?;
    if key.length > LONGEST_TEXT {
        return Err(Errno::ENOMEM);
    }
    let mut text = Vec::new();
    text.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
    text.resize(length, 0);
    let mut done = 0;
    while done < length {
        let mut destination = Destination::kernel(&mut text[done..]);
        match file.read(key.offset + done as u64, &mut destination)? {
            0 => break,
            read => done += read,
        }
    }
    Ok(text)
}

impl PatchedText {
    /// Patches `text`, with room for `room` bytes of trampolines at `distance` from its start.
    /// `passed` says that threads may have gone on from traps in it that nobody kept.
    pub(super) fn new(
        mut text: Vec<u8>,
        key: TextKey,
        site: usize,
        distance: i64,
        room: usize,
        passed: Passed,
    ) -> Result<PatchedText, Errno> {
        let trampolines = Pages::allocate(room, Contents::Zeroed)?;
        let layout = layout(distance, room);
        let mut hazards = Hazards::THREADS_BEFORE;
        if passed == Passed::Unobserved {
            hazards |= Hazards::THREADS_BEHIND;
        }
        let mut table = SiteTable::new();
        patch_proven_sites(&text, &layout, hazards, &mut table, |patch| {
            trampolines.write(patch.trampoline_offset(), patch.trampoline());
        });
        let mut refused = Vec::new();
        match patch_site(&text, site, &layout, hazards, &mut table) {
            Ok(patch) => trampolines.write(patch.trampoline_offset(), patch.trampoline()),
            Err(Refusal::Patched) => {}
            Err(_) => refused.push(site),
        }
        if table.is_empty() {
            return Err(Errno::ENOEXEC);
        }
        table.apply(&mut text);
        let mut segments = Vec::new();
        for range in copied_ranges(text.len(), table.writes()) {
            segments.push(copy_segment(&text, range)?);
        }
        Ok(PatchedText {
            key,
            distance,
            trampolines,
            hazards,
            state: Mutex::new(State {
                table,
                segments,
                refused,
            }),
        })
    }

    /// The text that this is a copy of.
    #[must_use]
    pub fn key(&self) -> &TextKey {
        &self.key
    }

    /// Where the trampolines of a text that starts at `text_start` have to be; `None` if that is
    /// outside the address space.
    #[must_use]
    pub fn trampoline_range(&self, text_start: u64) -> Option<GuestRange> {
        let start = text_start.checked_add_signed(self.distance)?;
        let range = GuestRange::new(GuestAddr(start), self.trampolines.len_bytes() as u64)?;
        platform()
            .info()
            .guest_range
            .encloses(range)
            .then_some(range)
    }

    /// Maps the trampolines for a text at `text_start`, replacing what was there. Done before the
    /// text itself is mapped.
    pub fn map_trampolines(&self, text_start: u64) -> Result<(), Errno> {
        let range = self.trampoline_range(text_start).ok_or(Errno::ENOMEM)?;
        platform().map(
            range,
            Protection::READ | Protection::EXECUTE,
            Backing::Pool(self.trampolines.0.start),
            Sharing::Private,
        )
    }

    /// Maps the copied pages over the text at `text_start`, from the segment with this number on;
    /// returns how many there are.
    pub fn map_segments(
        &self,
        text_start: u64,
        protection: Protection,
        first: usize,
    ) -> Result<usize, Errno> {
        let state = self.state.lock();
        for segment in state.segments.iter().skip(first) {
            let start = GuestAddr(text_start).offset(segment.start as u64)?;
            let range = GuestRange::new(start, segment.pages.len_bytes() as u64);
            platform().map(
                range.ok_or(Errno::ENOMEM)?,
                protection,
                Backing::Pool(segment.pages.0.start),
                Sharing::Private,
            )?;
        }
        Ok(state.segments.len())
    }

    /// Patches the site at `site` of the text, which trapped, if that can be done under threads
    /// that execute it. `file` still has the original bytes.
    pub fn patch(&self, file: &dyn File, site: usize) -> Outcome {
        let mut state = self.state.lock();
        let Err(unknown) = state.refused.binary_search(&site) else {
            return Outcome::Stays;
        };
        if state.table.is_patched(site) {
            return Outcome::Patched;
        }
        if self.try_patch(&mut state, file, site).is_err() {
            state.refused.insert(unknown, site);
            return Outcome::Stays;
        }
        Outcome::Patched
    }

    fn try_patch(&self, state: &mut State, file: &dyn File, site: usize) -> Result<(), Refusal> {
        let mut text = read_text(file, &self.key).map_err(|_| Refusal::NoRoom)?;
        let layout = layout(self.distance, self.trampolines.len_bytes());
        // A copy, since there may be no memory for the pages.
        let mut table = state.table.clone();
        let hazards = self.hazards | Hazards::RUNNING;
        let patch = patch_site(&text, site, &layout, hazards, &mut table)?;
        self.trampolines
            .write(patch.trampoline_offset(), patch.trampoline());
        let writes = || patch.prelude().into_iter().chain([patch.write()]);
        let is_copied = |write: &CodeWrite| state.segment_of(&write.range()).is_some();
        if writes().all(is_copied) {
            for write in writes() {
                // Nothing executes the prelude's bytes yet, so it need not be one store.
                let segment = state.segment_of(&write.range()).ok_or(Refusal::NoRoom)?;
                store_code(segment, write);
            }
        } else {
            // Nobody executes a block that was not copied before.
            patch.apply(&mut text);
            for range in copied_ranges(text.len(), writes()) {
                if state
                    .segments
                    .iter()
                    .any(|s| s.range().contains(&range.start))
                {
                    return Err(Refusal::NoRoom);
                }
                let segment = copy_segment(&text, range).map_err(|_| Refusal::NoRoom)?;
                state.segments.push(segment);
            }
        }
        state.table = table;
        Ok(())
    }

    /// The offset of the trampoline area at which a thread goes on that was about to execute
    /// `offset` of the original text; `None` if it is still there.
    #[must_use]
    pub fn resume(&self, offset: usize) -> Option<usize> {
        self.state.lock().table.resume(offset)
    }

    /// Whether the `syscall` at this offset is patched.
    #[must_use]
    pub fn is_patched(&self, offset: usize) -> bool {
        self.state.lock().table.is_patched(offset)
    }

    /// The text offset that a byte of the trampolines stands in for.
    #[must_use]
    pub fn original(&self, trampoline_offset: usize) -> Option<usize> {
        self.state.lock().table.original(trampoline_offset)
    }
}

impl State {
    fn segment_of(&self, range: &Range<usize>) -> Option<&Segment> {
        self.segments.iter().find(|segment| {
            let copied = segment.range();
            copied.start <= range.start && range.end <= copied.end
        })
    }
}

fn layout(distance: i64, room: usize) -> Layout<'static> {
    Layout {
        trampoline_base: distance,
        trampoline_bytes: room,
        gate_jump: platform().info().gate_jump,
    }
}

/// The byte ranges of the text that need copying for these writes: disjoint and in order.
fn copied_ranges<'a>(
    text_len: usize,
    writes: impl Iterator<Item = &'a CodeWrite>,
) -> Vec<Range<usize>> {
    let block = match text_len {
        0..=WHOLE_BYTES => WHOLE_BYTES,
        _ => BLOCK_BYTES,
    };
    let mut blocks: Vec<usize> = writes
        .flat_map(|write| [write.range().start / block, (write.range().end - 1) / block])
        .collect();
    blocks.sort_unstable();
    blocks.dedup();
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for number in blocks {
        let range = number * block..((number + 1) * block).min(text_len);
        match ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => ranges.push(range),
        }
    }
    ranges
}

fn copy_segment(text: &[u8], range: Range<usize>) -> Result<Segment, Errno> {
    let bytes = text.get(range.clone()).ok_or(Errno::EINVAL)?;
    let pages = Pages::allocate(bytes.len(), Contents::Unspecified)?;
    pages.write(0, bytes);
    Ok(Segment {
        start: range.start,
        pages,
    })
}

/// Replaces the bytes of `write` by one store of the aligned unit that holds them, which
/// [`capsid_platform::Platform::pool_write`] promises.
fn store_code(segment: &Segment, write: &CodeWrite) {
    let offset = write.offset() - segment.start;
    let Some(unit) = write.atomic_unit() else {
        segment.pages.write(offset, write.bytes());
        return;
    };
    let start = offset / unit * unit;
    let page = segment.pages.0.start;
    let mut bytes = [0; 16];
    let bytes = &mut bytes[..unit];
    platform().pool_read(page, start, IoTarget::Kernel(bytes));
    bytes[offset - start..][..write.bytes().len()].copy_from_slice(write.bytes());
    platform().pool_write(page, start, IoSource::Kernel(bytes));
}
