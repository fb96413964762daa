//! What the rest of the file code calls when something happens.

use super::FileEvents;
use super::marks::{self, key_of};
use crate::fs::{AttributeChange, Dentry, FileKind, Inode, OpenFile, StatusFlags};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

/// Tells of something done through a description: its directory's watches, by name, and its own.
#[inline]
pub fn file_event(file: &OpenFile, events: FileEvents) {
    if marks::is_any()
        && !file.flags().contains(StatusFlags::PATH)
        && let Some(path) = file.path()
    {
        let dentry = path.dentry();
        tell_both(dentry, events, dentry.is_unlinked());
    }
}

/// Tells of attributes that were set through a description.
pub fn attributes_changed(file: &OpenFile, change: &AttributeChange) {
    if marks::is_any()
        && let Some(path) = file.path()
    {
        tell_both(path.dentry(), FileEvents::of_change(change), false);
    }
}

/// Tells of something done to what a name stands for.
#[inline]
pub(in crate::fs) fn dentry_event(dentry: &Dentry, events: FileEvents) {
    if marks::is_any() {
        tell_both(dentry, events, false);
    }
}

/// Tells of a change to `name` in `directory`; `kind` is that of what has or had the name.
#[inline]
pub(in crate::fs) fn name_event(
    directory: &Dentry,
    name: &[u8],
    events: FileEvents,
    kind: FileKind,
) {
    if marks::is_any() {
        tell(directory.inode(), events.of_kind(kind), 0, name, false);
    }
}

/// Tells only those who watch the inode itself.
#[inline]
pub(in crate::fs) fn inode_event(inode: &Arc<dyn Inode>, events: FileEvents) {
    if marks::is_any() {
        tell(inode, events.of_kind(inode.kind()), 0, b"", false);
    }
}

/// A name that moved.
#[derive(Clone, Copy)]
pub(in crate::fs) struct Moved<'a> {
    /// The directory it left, and its name there.
    pub(in crate::fs) from: (&'a Dentry, &'a [u8]),
    /// The directory it came to, and its name there.
    pub(in crate::fs) to: (&'a Dentry, &'a [u8]),
    /// What has the name.
    pub(in crate::fs) inode: &'a Arc<dyn Inode>,
    /// What had the new name and lost it.
    pub(in crate::fs) replaced: Option<&'a Arc<dyn Inode>>,
}

/// Tells of a move: both halves have the same cookie.
pub(in crate::fs) fn renamed(moved: &Moved<'_>) {
    static COOKIE: AtomicU32 = AtomicU32::new(0);
    if !marks::is_any() {
        return;
    }
    let cookie = COOKIE.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    let kind = moved.inode.kind();
    let (from, to) = (moved.from, moved.to);
    let events = FileEvents::MOVED_FROM.of_kind(kind);
    tell(from.0.inode(), events, cookie, from.1, false);
    let events = FileEvents::MOVED_TO.of_kind(kind);
    tell(to.0.inode(), events, cookie, to.1, false);
    if let Some(replaced) = moved.replaced {
        inode_event(replaced, FileEvents::ATTRIBUTES);
    }
    inode_event(moved.inode, FileEvents::MOVE_SELF);
}

/// The name that `dentry` is was removed: watches made by it no longer keep it.
#[inline]
pub(in crate::fs) fn unpin(dentry: &Arc<Dentry>) {
    if marks::is_any() {
        for watch in marks::of(key_of(dentry.inode())) {
            watch.unpin(dentry);
        }
    }
}

/// Nothing uses a removed name of `inode` any more: if it was the last, the file is gone.
#[inline]
pub(in crate::fs) fn dentry_gone(inode: &Arc<dyn Inode>) {
    if marks::is_any() {
        end_if_gone(inode);
    }
}

fn end_if_gone(inode: &Arc<dyn Inode>) {
    let watches = marks::of(key_of(inode));
    if watches.is_empty() {
        return;
    }
    // A host file without a name cannot always be asked.
    let has_links = || inode.metadata().is_ok_and(|metadata| metadata.links > 0);
    if inode.kind() != FileKind::Directory && has_links() {
        return;
    }
    for watch in watches {
        watch.tell(FileEvents::DELETE_SELF, 0, b"", false);
        watch.end(None);
    }
}

/// A file system went away: `root` was the top of its names.
pub(in crate::fs) fn tree_gone(root: &Arc<Dentry>) {
    if !marks::is_any() {
        return;
    }
    for watch in marks::all() {
        if watch.is_below(root) {
            watch.end(Some(FileEvents::UNMOUNT));
        }
    }
}

/// Tells the watches of the directory that holds the name, and those of the file itself.
#[cold]
fn tell_both(dentry: &Dentry, events: FileEvents, unlinked: bool) {
    let inode = dentry.inode();
    if events.is_empty() {
        return;
    }
    let events = events.of_kind(inode.kind());
    let (parent, name) = dentry.parent_and_name();
    if let Some(parent) = parent {
        tell(parent.inode(), events, 0, &name, unlinked);
    }
    tell(inode, events, 0, b"", unlinked);
}

#[cold]
fn tell(inode: &Arc<dyn Inode>, events: FileEvents, cookie: u32, name: &[u8], unlinked: bool) {
    // Outside the lock of the marks: a watch may end with what it tells.
    for watch in marks::of(key_of(inode)) {
        watch.tell(events, cookie, name, unlinked);
    }
}
