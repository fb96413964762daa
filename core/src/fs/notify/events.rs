//! What can happen to a file, and what a watch asks for, with the bits of inotify(7).

use crate::fs::{AttributeChange, FileKind};
use bitflags::bitflags;

bitflags! {
    /// Something that happened.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct FileEvents: u32 {
        /// Read.
        const ACCESS = 0x1;
        /// Written or cut.
        const MODIFY = 0x2;
        /// Attributes changed.
        const ATTRIBUTES = 0x4;
        /// A description that could write was closed.
        const CLOSE_WRITE = 0x8;
        /// Another description was closed.
        const CLOSE_NO_WRITE = 0x10;
        /// Opened.
        const OPEN = 0x20;
        /// A name went from the directory.
        const MOVED_FROM = 0x40;
        /// A name came to the directory.
        const MOVED_TO = 0x80;
        /// A name was made in the directory.
        const CREATE = 0x100;
        /// A name was removed from the directory.
        const DELETE = 0x200;
        /// The file is gone.
        const DELETE_SELF = 0x400;
        /// The file has another name.
        const MOVE_SELF = 0x800;
        /// Its file system was unmounted.
        const UNMOUNT = 0x2000;
        /// Events were lost.
        const OVERFLOW = 0x4000;
        /// The watch is gone.
        const IGNORED = 0x8000;
        /// It happened to a directory.
        const DIRECTORY = 0x4000_0000;
    }
}

impl FileEvents {
    /// What a watch can ask for (`IN_ALL_EVENTS`).
    pub const ALL: FileEvents = FileEvents::from_bits_retain(0xfff);

    /// The same, said of a directory if `kind` is one.
    #[must_use]
    pub fn of_kind(self, kind: FileKind) -> FileEvents {
        if kind == FileKind::Directory {
            self | FileEvents::DIRECTORY
        } else {
            self
        }
    }

    /// What a change of attributes tells, as Linux's fsnotify_change(): both times at once are a
    /// call that set them, one alone stands for the access or the change.
    #[must_use]
    pub fn of_change(change: &AttributeChange) -> FileEvents {
        let mut events = FileEvents::empty();
        if change.user.is_some() || change.group.is_some() || change.permissions.is_some() {
            events |= FileEvents::ATTRIBUTES;
        }
        if change.size.is_some() {
            events |= FileEvents::MODIFY;
        }
        events |= match (change.atime, change.mtime) {
            (Some(_), Some(_)) => FileEvents::ATTRIBUTES,
            (Some(_), None) => FileEvents::ACCESS,
            (None, Some(_)) => FileEvents::MODIFY,
            (None, None) => FileEvents::empty(),
        };
        events
    }
}

bitflags! {
    /// How a watch is made or behaves, beside the events it asks for.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct WatchOptions: u32 {
        /// Only a directory.
        const ONLY_DIRECTORY = 0x0100_0000;
        /// Do not follow a last symlink.
        const NO_FOLLOW = 0x0200_0000;
        /// Nothing of what has no name any more.
        const EXCLUDE_UNLINKED = 0x0400_0000;
        /// Fail if the file is watched.
        const MASK_CREATE = 0x1000_0000;
        /// Add to what is watched for.
        const MASK_ADD = 0x2000_0000;
        /// End with the first event.
        const ONE_SHOT = 0x8000_0000;
    }
}
