//! What a patch is: bytes for the text, a trampoline, and how places of one map to the other.

use alloc::vec::Vec;
use bitflags::bitflags;
use core::ops::Range;

/// Length of `jmp rel32`.
pub(crate) const JUMP_LEN: usize = 5;
/// The most instructions that a window moves, the `syscall` not counted.
pub(crate) const MOST_MOVED: usize = 6;
/// Moved instructions, and the call, its return and the end.
const MOST_PLACES: usize = MOST_MOVED + 3;

/// Where trampolines go and what they end in.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    /// The start of the trampoline area relative to the first byte of the text, within ±2 GiB.
    pub trampoline_base: i64,
    /// Size of the trampoline area.
    pub trampoline_bytes: usize,
    /// The machine code of the jump into the gate, correct at any address. It is executed with the
    /// return address in `rcx` and the call's number in `rax`, and returns with flags and all
    /// registers but `rax`, `rcx` and `r11` as they were. Empty: nothing can be patched.
    pub gate_jump: &'a [u8],
}

bitflags! {
    /// What can be going on while a patch is put in. None: nobody executes the text yet.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Hazards: u8 {
        /// Threads execute the text: each sees all of the patch or nothing, so it is one store.
        const RUNNING = 1;
        /// A thread can stand at an instruction in front of the call, or at the call.
        const THREADS_BEFORE = 2;
        /// A thread that has made the call can stand behind it, without having asked
        /// [`crate::SiteTable::resume`] since.
        const THREADS_BEHIND = 4;
    }
}

/// Which bytes a patch replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// `mov eax, imm32` or `mov rax, imm32` in front of the `syscall`, which stays.
    Number,
    /// The `syscall` and instructions behind it.
    After,
    /// Instructions in front of the `syscall`, perhaps with it and some behind it.
    Before,
    /// The two bytes of the `syscall`: a short jump to a long one in nearby filling.
    Filling,
}

/// Why a site stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// There is no `syscall` at this offset.
    NotSyscall,
    /// The site is patched already.
    Patched,
    /// The platform has no gate, or no window can be moved.
    NoWindow,
    /// A branch may lead into every window.
    BranchTarget,
    /// The trampoline area is full or out of reach.
    NoRoom,
}

/// Up to eight bytes for one place of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeWrite {
    offset: u32,
    bytes: [u8; 8],
    length: u8,
}

impl CodeWrite {
    /// `None` if there are more than eight bytes, or the offset is beyond 4 GiB.
    pub(crate) fn new(offset: usize, from: &[u8]) -> Option<CodeWrite> {
        let mut bytes = [0; 8];
        bytes.get_mut(..from.len())?.copy_from_slice(from);
        Some(CodeWrite {
            offset: u32::try_from(offset).ok()?,
            bytes,
            length: u8::try_from(from.len()).ok()?,
        })
    }

    /// The text offset of the first byte.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset as usize
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The text offsets written.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.offset()..self.offset() + usize::from(self.length)
    }

    /// Size of the aligned unit (8 or 16 bytes) that holds all of it, so that one store replaces it
    /// as a whole; `None` if it crosses both.
    #[must_use]
    pub fn atomic_unit(&self) -> Option<usize> {
        let last = self.range().end.checked_sub(1)?;
        [8, 16]
            .into_iter()
            .find(|unit| self.offset() / unit == last / unit)
    }
}

/// An instruction of the text and its stand-in in the trampoline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Relative to the site.
    pub(crate) text: i8,
    /// Relative to the trampoline's first byte.
    pub(crate) trampoline: u8,
}

/// The places of one patch, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    places: [Place; MOST_PLACES],
    count: u8,
}

impl Places {
    /// Adds a place. Windows reach less than 128 bytes, and trampolines less than 256, since the
    /// number of moved instructions is bounded; `None` if that did not hold.
    pub(crate) fn push(&mut self, site: usize, text: usize, trampoline: usize) -> Option<()> {
        let delta = isize::try_from(text).ok()? - isize::try_from(site).ok()?;
        *self.places.get_mut(usize::from(self.count))? = Place {
            text: i8::try_from(delta).ok()?,
            trampoline: u8::try_from(trampoline).ok()?,
        };
        self.count += 1;
        Some(())
    }

    pub(crate) fn as_slice(&self) -> &[Place] {
        &self.places[..usize::from(self.count)]
    }
}

/// Where the call returns to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnTo {
    /// This offset of the text.
    Text(usize),
    /// This offset of the trampoline area.
    Trampoline(usize),
}

/// How to patch one site.
///
/// Two bytes before the place where the call returns there is always something that makes the call
/// again (the `syscall` itself, a copy of it, or the jump), so a call is restarted by going back
/// two bytes, as it is without patches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    pub(crate) site: usize,
    pub(crate) window: Window,
    pub(crate) replaced: Range<usize>,
    pub(crate) prelude: Option<CodeWrite>,
    pub(crate) write: CodeWrite,
    pub(crate) trampoline_offset: usize,
    pub(crate) trampoline: Vec<u8>,
    pub(crate) return_to: ReturnTo,
    pub(crate) places: Places,
}

impl Patch {
    /// The text offset of the `syscall`.
    #[must_use]
    pub fn site(&self) -> usize {
        self.site
    }

    /// Which bytes are replaced.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window
    }

    /// The text offsets of the instructions that the trampoline stands in for.
    #[must_use]
    pub fn replaced(&self) -> Range<usize> {
        self.replaced.clone()
    }

    /// A write to bytes that nothing executes, to be done before [`Patch::write`].
    #[must_use]
    pub fn prelude(&self) -> Option<&CodeWrite> {
        self.prelude.as_ref()
    }

    /// The write that puts the patch to work, after the trampoline is there.
    #[must_use]
    pub fn write(&self) -> &CodeWrite {
        &self.write
    }

    /// Where the trampoline goes in its area.
    #[must_use]
    pub fn trampoline_offset(&self) -> usize {
        self.trampoline_offset
    }

    /// The trampoline's bytes.
    #[must_use]
    pub fn trampoline(&self) -> &[u8] {
        &self.trampoline
    }

    /// Where the call returns to.
    #[must_use]
    pub fn return_to(&self) -> ReturnTo {
        self.return_to
    }

    /// Whether the patch can be put in under these circumstances.
    #[must_use]
    pub fn withstands(&self, hazards: Hazards) -> bool {
        let covered = self.write.range();
        // Instructions that begin where the write has put the middle of a jump.
        let stands_inside = |before: bool| {
            let places = self.places.as_slice().iter();
            places
                .filter(|place| (place.text <= 0) == before)
                .map(|place| self.site.saturating_add_signed(isize::from(place.text)))
                .any(|text| covered.start < text && text < covered.end)
        };
        let fails = (hazards.contains(Hazards::RUNNING) && self.write.atomic_unit().is_none())
            || (hazards.contains(Hazards::THREADS_BEFORE) && stands_inside(true))
            || (hazards.contains(Hazards::THREADS_BEHIND) && stands_inside(false));
        !fails
    }

    /// All offsets of the text that this patch builds on. Another patch may start at the end: the
    /// call returns there, or the trampoline jumps there.
    pub(crate) fn occupied(&self) -> Range<usize> {
        self.replaced.start..self.replaced.end.max(self.write.range().end)
    }

    /// Writes the patch into `text`, a copy of the whole text.
    ///
    /// # Panics
    /// If `text` is shorter than the text the patch was made for.
    pub fn apply(&self, text: &mut [u8]) {
        for write in self.prelude.iter().chain([&self.write]) {
            text[write.range()].copy_from_slice(write.bytes());
        }
    }
}
