//! Telling those who watch files of what happens to them, inotify(7).
//!
//! The walk and the operations over it call the functions here where Linux calls fsnotify(): once
//! per operation of a guest, so that what a file system does inside (a copy up, a whiteout) tells
//! nothing. While nobody watches anything each of them is one load.
//!
//! A watch belongs to an inode. It keeps the name it was made by from being forgotten, until that
//! name is removed; then the last user of the name takes the watch along.

mod events;
mod inotify;
mod marks;
mod queue;
mod tell;
#[cfg(test)]
mod tests;

pub use events::{FileEvents, WatchOptions};
pub use inotify::{Inotify, Watched};
pub use tell::{attributes_changed, file_event};

pub(super) use tell::{
    Moved, dentry_event, dentry_gone, inode_event, name_event, renamed, tree_gone, unpin,
};

/// Events that one instance keeps, `/proc/sys/fs/inotify/max_queued_events`.
pub const QUEUED_EVENTS_MAX: usize = 16_384;
/// Instances of one user, `/proc/sys/fs/inotify/max_user_instances`.
pub const USER_INSTANCES_MAX: usize = 128;
/// Watches of one user, `/proc/sys/fs/inotify/max_user_watches`.
pub const USER_WATCHES_MAX: usize = 65_536;
