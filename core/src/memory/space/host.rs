//! Making the host map what a mapping shows.

use super::vma::{Object, PAGE, Vma};
use crate::fs::OpenFile;
use capsid_platform::{Backing, Errno, GuestAddr, GuestRange, Protection, Sharing, platform};

/// Has the host map the part of a new mapping at `start` that lies behind its first `skip` bytes,
/// as far as its file has bytes, and returns how many bytes from the start are mapped then.
/// On an error the host may have mapped some of it.
pub(super) fn populate(start: u64, vma: &Vma, skip: u64) -> Result<u64, Errno> {
    let length = vma.end - start;
    match &vma.object {
        Object::Anonymous => {
            let range = GuestRange::between(start + skip, vma.end).ok_or(Errno::ENOMEM)?;
            platform().map(range, vma.protection, Backing::Anonymous, Sharing::Private)?;
            Ok(length)
        }
        Object::File { file, offset } => populate_file(start, vma, file, *offset, skip),
        Object::Gap | Object::Trampolines => Ok(0),
    }
}

fn populate_file(
    start: u64,
    vma: &Vma,
    file: &OpenFile,
    offset: u64,
    skip: u64,
) -> Result<u64, Errno> {
    let mappable = file.file.mappable()?;
    let length = vma.end - start;
    let end_of_file = super::round_up(mappable.size()).unwrap_or(u64::MAX);
    let mut done = skip;
    while done < length && offset + done < end_of_file {
        let shared = vma.sharing == Sharing::Shared;
        let (backing, bytes) = mappable.backing(offset + done, length - done, shared)?;
        let bytes = (bytes / PAGE * PAGE).min(length - done);
        if bytes == 0 {
            return Err(Errno::EIO);
        }
        let sharing = match backing {
            // Neither changes, so that a private mapping shows the same.
            Backing::Anonymous | Backing::Image(_) => Sharing::Private,
            Backing::Pool(_) | Backing::HostFile(..) => vma.sharing,
        };
        let range = GuestRange::new(GuestAddr(start + done), bytes).ok_or(Errno::ENOMEM)?;
        platform().map(range, vma.protection, backing, sharing)?;
        done += bytes;
    }
    Ok(done)
}

/// The runs of `range` that the host has mapped, joined where they touch.
pub(super) fn populated_runs<'a>(
    pieces: impl Iterator<Item = (GuestRange, u64)> + 'a,
) -> impl Iterator<Item = GuestRange> + 'a {
    let mut pieces = pieces.peekable();
    core::iter::from_fn(move || {
        loop {
            let (piece, populated_end) = pieces.next()?;
            let start = piece.start();
            let mut end = populated_end.min(piece.end());
            if end <= start {
                continue;
            }
            while let Some((next, populated_end)) =
                pieces.next_if(|(next, populated)| next.start() == end && *populated > end)
            {
                end = populated_end.min(next.end());
            }
            return GuestRange::between(start, end);
        }
    })
}

impl Vma {
    /// The address up to which the host has it mapped.
    pub(super) fn populated_end(&self, start: u64) -> u64 {
        start + self.populated
    }
}

/// Changes the host's protection of everything in `pieces` that it has mapped.
pub(super) fn protect(
    pieces: impl Iterator<Item = (GuestRange, u64)>,
    protection: Protection,
) -> Result<(), Errno> {
    for run in populated_runs(pieces) {
        platform().protect(run, protection)?;
    }
    Ok(())
}
