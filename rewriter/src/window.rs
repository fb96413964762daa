//! The windows of a site: which instructions could make room for a jump.

use crate::neighbourhood::{Kind, Neighbourhood, is_reached};
use crate::patch::{JUMP_LEN, MOST_MOVED, Window};
use alloc::vec::Vec;
use core::ops::Range;

/// Offsets of instructions that move, in order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moved {
    first: usize,
    /// Relative to the first.
    offsets: [u8; MOST_MOVED],
    count: u8,
}

impl Moved {
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        let offsets = &self.offsets[..usize::from(self.count)];
        offsets
            .iter()
            .map(|offset| self.first + usize::from(*offset))
    }

    fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// `None` if there are too many.
    fn push(&mut self, offset: usize) -> Option<()> {
        if self.count == 0 {
            self.first = offset;
        }
        let place = self.offsets.get_mut(usize::from(self.count))?;
        *place = u8::try_from(offset - self.first).ok()?;
        self.count += 1;
        Some(())
    }

    /// The same with one more in front.
    fn with_first(&self, offset: usize) -> Option<Moved> {
        let mut longer = Moved::default();
        longer.push(offset)?;
        self.iter().try_for_each(|offset| longer.push(offset))?;
        Some(longer)
    }
}

/// One way to patch a site. Still to be checked: far branches, and whether all of it can move.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) window: Window,
    pub(crate) site: usize,
    /// Where the jump goes: its own place is the first instruction moved, or the `syscall`.
    pub(crate) jump_at: usize,
    /// The instructions in front of the `syscall` that move.
    pub(crate) before: Moved,
    /// The instructions behind the `syscall` that move.
    pub(crate) after: Moved,
    /// Behind the last instruction replaced.
    pub(crate) end: usize,
    /// Control does not go on at `end`.
    pub(crate) terminated: bool,
    /// The place of the long jump, for [`Window::Filling`].
    pub(crate) filling: Option<usize>,
}

impl Candidate {
    fn new(window: Window, site: usize, before: Moved, behind: Behind) -> Candidate {
        Candidate {
            window,
            site,
            jump_at: before.iter().next().unwrap_or(site),
            before,
            after: behind.moved,
            end: behind.end,
            terminated: behind.terminated,
            filling: None,
        }
    }

    /// The bytes into which no branch may lead.
    pub(crate) fn interior(&self) -> Range<usize> {
        match self.filling {
            Some(_) => self.site + 1..self.site + 2,
            None => self.jump_at + 1..self.jump_at + JUMP_LEN,
        }
    }

    /// The bytes of the filling, into which no branch may lead either.
    pub(crate) fn filling_range(&self) -> Range<usize> {
        self.filling.map_or(0..0, |at| at..at + JUMP_LEN)
    }

    /// Whether the bytes of the `syscall` stay as they are.
    pub(crate) fn keeps_syscall(&self) -> bool {
        self.filling.is_none() && self.jump_at + JUMP_LEN <= self.site
    }
}

/// Instructions behind a `syscall` that move.
#[derive(Clone, Copy, Debug)]
struct Behind {
    moved: Moved,
    end: usize,
    terminated: bool,
}

/// The ways to patch the `syscall` at `site`, in order of preference. Short branches lead into none
/// of them.
pub(crate) fn candidates(
    text: &[u8],
    near: &Neighbourhood<'_>,
    site: usize,
) -> impl Iterator<Item = Candidate> {
    let number = number(text, near, site);
    let after = move || {
        let behind = behind(near, site, site + JUMP_LEN)?;
        Some(Candidate::new(
            Window::After,
            site,
            Moved::default(),
            behind,
        ))
    };
    number
        .into_iter()
        .chain(core::iter::once_with(after).flatten())
        .chain(core::iter::once_with(move || before(near, site)).flatten())
        .filter(|candidate| !is_reached(text, &candidate.interior()))
        .chain(core::iter::once_with(move || filling(text, site)).flatten())
}

/// The first choice: the instruction that loads the call's number.
pub(crate) fn number(text: &[u8], near: &Neighbourhood<'_>, site: usize) -> Option<Candidate> {
    let start = near.previous(site)?;
    let loads_number = matches!(
        text.get(start..site)?,
        [0xb8, _, _, _, _] | [0x48, 0xc7, 0xc0, _, _, _, _]
    );
    let behind = Behind {
        moved: Moved::default(),
        end: site + 2,
        terminated: false,
    };
    loads_number.then(|| {
        let moved = Moved::default().with_first(start)?;
        Some(Candidate::new(Window::Number, site, moved, behind))
    })?
}

/// The instructions behind the `syscall` at `site` until `reach` is covered. A terminator may be
/// followed by filling, which does not move.
fn behind(near: &Neighbourhood<'_>, site: usize, reach: usize) -> Option<Behind> {
    let mut moved = Moved::default();
    let mut at = site + 2;
    while at < reach {
        let (end, kind) = near.instruction(at)?;
        match kind {
            Kind::Ordinary => moved.push(at)?,
            // A `nop` in front of another instruction may align the target of an indirect branch.
            Kind::Filling if end >= reach => moved.push(at)?,
            Kind::Terminator => {
                moved.push(at)?;
                let covered = end.max(near.filling_end(end));
                return (covered >= reach).then_some(Behind {
                    moved,
                    end,
                    terminated: true,
                });
            }
            Kind::Filling | Kind::Pinned => return None,
        }
        at = end;
    }
    Some(Behind {
        moved,
        end: at,
        terminated: false,
    })
}

/// Windows that start in front of the `syscall`, the one that moves least first.
fn before(near: &Neighbourhood<'_>, site: usize) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut moved = Moved::default();
    let mut start = site;
    while moved.len() < MOST_MOVED {
        let Some(previous) = near.previous(start) else {
            break;
        };
        if !matches!(near.instruction(previous), Some((_, Kind::Ordinary))) {
            break;
        }
        start = previous;
        let Some(longer) = moved.with_first(start) else {
            break;
        };
        moved = longer;
        if let Some(behind) = behind(near, site, start + JUMP_LEN)
            && moved.len() + behind.moved.len() <= MOST_MOVED
        {
            let enough = behind.moved.len() == 0;
            found.push(Candidate::new(Window::Before, site, moved, behind));
            if enough {
                break;
            }
        }
    }
    found
}

/// The window of the `syscall` alone, with a long jump in filling that a short one reaches.
fn filling(text: &[u8], site: usize) -> Option<Candidate> {
    if is_reached(text, &(site + 1..site + 2)) {
        return None;
    }
    let behind = Behind {
        moved: Moved::default(),
        end: site + 2,
        terminated: false,
    };
    let mut candidate = Candidate::new(Window::Filling, site, Moved::default(), behind);
    let runs = Neighbourhood::wide(text, site).fillings(site);
    // The end of the run, for a function may be aligned at its start by chance.
    let mut places = runs.iter().map(|run| run.end - JUMP_LEN);
    candidate.filling = places.find(|at| {
        let distance = at.cast_signed() - (site + 2).cast_signed();
        i8::try_from(distance).is_ok() && !is_reached(text, &(*at..*at + JUMP_LEN))
    });
    candidate.filling.is_some().then_some(candidate)
}
