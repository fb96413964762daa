//! Listing merged directories.
//!
//! First come the names that lower layers have, at the positions they have there, then those of
//! the upper layer alone. A name that is copied up, or removed and made again, keeps its place, so
//! that changes during a listing neither hide a name nor show it twice.

use super::inode::OverlayInode;
use super::{Overlay, is_whiteout};
use crate::fs::{DirectoryEntry, FileKind, Inode};
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::Errno;
use core::ops::ControlFlow;

/// Set in positions within the upper layer. The other bits are the layer's own position; with
/// several lower layers, the index of the layer is in the seven bits below.
const IN_UPPER: u64 = 1 << 63;
const LAYER_SHIFT: u32 = 56;

/// Entries taken from a layer at a time: its locks are not held while others are asked.
const BATCH: usize = 64;

/// Who receives the entries.
type Emit<'a> = dyn FnMut(DirectoryEntry<'_>) -> ControlFlow<()> + 'a;

/// An entry of a layer.
struct LayerEntry {
    name: Vec<u8>,
    inode: u64,
    kind: FileKind,
    next: u64,
}

/// The next entries of a layer's directory.
fn batch(directory: &dyn Inode, position: u64) -> Result<Vec<LayerEntry>, Errno> {
    let mut entries = Vec::new();
    directory.read_directory(position, &mut |entry| {
        if entries.len() == BATCH {
            return ControlFlow::Break(());
        }
        entries.push(LayerEntry {
            name: entry.name.to_vec(),
            inode: entry.inode,
            kind: entry.kind,
            next: entry.next,
        });
        ControlFlow::Continue(())
    })?;
    Ok(entries)
}

impl OverlayInode {
    /// Lists this directory from `position`.
    pub(super) fn list(&self, position: u64, emit: &mut Emit<'_>) -> Result<(), Errno> {
        self.check_directory()?;
        let overlay = self.overlay()?;
        if self.lowers.is_empty() {
            // The positions are the upper layer's own.
            return self.list_upper(&overlay, position, 0, emit);
        }
        if position & IN_UPPER != 0 {
            return self.list_upper(&overlay, position & !IN_UPPER, IN_UPPER, emit);
        }
        let single = self.lowers.len() == 1;
        let (first, mut start) = if single {
            (0, position)
        } else {
            let layer = usize::try_from(position >> LAYER_SHIFT).unwrap_or(usize::MAX);
            (layer, position & ((1 << LAYER_SHIFT) - 1))
        };
        for (index, lower) in self.lowers.iter().enumerate().skip(first) {
            let mark = if single {
                0
            } else {
                (index as u64) << LAYER_SHIFT
            };
            if self.list_lower(&overlay, index, lower, start, mark, emit)? {
                return Ok(());
            }
            start = 0;
        }
        self.list_upper(&overlay, 0, IN_UPPER, emit)
    }

    /// Lists what a lower layer is the first to have; whether `emit` broke.
    fn list_lower(
        &self,
        overlay: &Overlay,
        index: usize,
        lower: &Arc<dyn Inode>,
        mut position: u64,
        mark: u64,
        emit: &mut Emit<'_>,
    ) -> Result<bool, Errno> {
        let device = lower.metadata()?.device;
        loop {
            let entries = batch(&**lower, position)?;
            let Some(last) = entries.last() else {
                return Ok(false);
            };
            position = last.next;
            for entry in &entries {
                let upper = self.upper_child(&entry.name)?;
                let (kind, number) = match &upper {
                    Some(upper) if is_whiteout(&**upper)? => continue,
                    Some(upper) => (
                        upper.kind(),
                        overlay.number_of_upper(upper.metadata()?.inode),
                    ),
                    None => (entry.kind, overlay.number_of_lower(device, entry.inode)),
                };
                if self.is_hidden(index, &entry.name)? {
                    continue;
                }
                let whiteout = upper.is_none()
                    && entry.kind == FileKind::CharacterDevice
                    && is_whiteout(&*lower.lookup(&entry.name)?)?;
                if whiteout {
                    continue;
                }
                let shown = DirectoryEntry {
                    name: &entry.name,
                    inode: number,
                    kind,
                    next: entry.next | mark,
                };
                if emit(shown).is_break() {
                    return Ok(true);
                }
            }
        }
    }

    /// Whether a lower layer above the one of `index` has the name.
    fn is_hidden(&self, index: usize, name: &[u8]) -> Result<bool, Errno> {
        for higher in self.lowers.get(..index).unwrap_or_default() {
            match higher.lookup(name) {
                Ok(_) => return Ok(true),
                Err(Errno::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Lists what the upper layer alone has.
    fn list_upper(
        &self,
        overlay: &Overlay,
        mut position: u64,
        mark: u64,
        emit: &mut Emit<'_>,
    ) -> Result<(), Errno> {
        let Some(upper) = self.upper() else {
            return Ok(());
        };
        loop {
            let entries = batch(&**upper, position)?;
            let Some(last) = entries.last() else {
                return Ok(());
            };
            position = last.next;
            for entry in &entries {
                if self.is_in_lower(&entry.name)? {
                    continue;
                }
                if entry.kind == FileKind::CharacterDevice
                    && self
                        .upper_child(&entry.name)?
                        .map_or(Ok(true), |upper| is_whiteout(&*upper))?
                {
                    continue;
                }
                let shown = DirectoryEntry {
                    name: &entry.name,
                    inode: overlay.number_of_upper(entry.inode),
                    kind: entry.kind,
                    next: entry.next | mark,
                };
                if emit(shown).is_break() {
                    return Ok(());
                }
            }
        }
    }

    /// Whether the merged directory has no names.
    pub(super) fn is_empty(&self) -> Result<bool, Errno> {
        let mut empty = true;
        self.list(0, &mut |_| {
            empty = false;
            ControlFlow::Break(())
        })?;
        Ok(empty)
    }
}
