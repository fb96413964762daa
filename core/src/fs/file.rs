//! Open objects: what a descriptor reads, writes, polls and maps.

use crate::fs::{AttributeChange, Inode, Metadata, StatusFlags};
use crate::io::{Destination, Source};
use crate::tty::Terminal;
use crate::wait::{Events, WaitQueue};
use alloc::string::String;
use alloc::sync::Arc;
use capsid_platform::{Backing, Errno};
use core::any::Any;
use core::fmt::Debug;

/// Where a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteAt {
    /// This byte offset.
    Offset(u64),
    /// The end, whatever it is at that moment (`O_APPEND`).
    End,
}

/// What fallocate(2) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// Reserve space, growing the file.
    Extend,
    /// Reserve space, keeping the size.
    KeepSize,
    /// Make the range read as zero and free its space.
    PunchHole,
    /// Make the range read as zero, growing the file.
    Zero,
    /// Make the range read as zero, keeping the size.
    ZeroKeepSize,
    /// Remove the range.
    Collapse,
    /// Insert a hole.
    Insert,
}

/// An open object.
///
/// Nothing here blocks: an operation that would returns `EAGAIN`, and the caller waits on
/// [`File::wait_queue`] and tries again, unless the description is non-blocking. (Reads and
/// writes of donated host files and of the standard streams may take the host's time.)
pub trait File: Any + Send + Sync + Debug {
    /// Reads from byte `offset`, which objects without positions ignore. Returns how many bytes;
    /// 0 is the end.
    fn read(&self, offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        let _ = (offset, destination);
        Err(Errno::EINVAL)
    }

    /// Writes, and returns how many bytes and the offset after the last of them.
    fn write(&self, at: WriteAt, source: &mut Source<'_>) -> Result<(usize, u64), Errno> {
        let _ = (at, source);
        Err(Errno::EINVAL)
    }

    /// Whether positions mean anything: pread, lseek.
    fn is_seekable(&self) -> bool {
        false
    }

    /// Whether every seek leads to position 0, as on the memory devices.
    fn has_one_position(&self) -> bool {
        false
    }

    /// What the object is ready for now, of all events.
    fn readiness(&self) -> Events {
        Events::READABLE | Events::WRITABLE
    }

    /// Who waits for readiness to change; `None` if it never does.
    fn wait_queue(&self) -> Option<&WaitQueue> {
        None
    }

    /// Called before a wait or a poll for `interest`, by objects whose readiness lives with the
    /// broker and must be asked for.
    fn watch(&self, interest: Events) {
        let _ = interest;
    }

    /// Brings readiness that changes with time up to date, and returns when it changes next
    /// (monotonic, ns). Called before a wait or a poll.
    fn refresh(&self) -> Option<u64> {
        None
    }

    /// Whether [`File::refresh`] can ever return a time.
    fn changes_with_time(&self) -> bool {
        false
    }

    /// How many bytes a read would return now, `FIONREAD`: `ENOTTY`.
    fn bytes_ready(&self) -> Result<usize, Errno> {
        Err(Errno::ENOTTY)
    }

    /// How many written bytes the other side has not taken yet, `TIOCOUTQ`: `ENOTTY`.
    fn bytes_unsent(&self) -> Result<usize, Errno> {
        Err(Errno::ENOTTY)
    }

    /// The terminal that this is, for the programs on it; the master of a pseudo-terminal is none.
    fn terminal(&self) -> Option<Arc<dyn Terminal>> {
        None
    }

    /// The seals, memfd_create(2): `EINVAL` for objects without.
    fn seals(&self) -> Result<u32, Errno> {
        Err(Errno::EINVAL)
    }

    /// Adds seals, `F_ADD_SEALS`: `EPERM` once sealed against it, `EBUSY`.
    fn add_seals(&self, seals: u32) -> Result<(), Errno> {
        let _ = seals;
        Err(Errno::EINVAL)
    }

    /// What `/proc/self/fd` shows for an object without a place in the tree, such as `pipe:[5]`.
    fn label(&self) -> Option<String> {
        None
    }

    /// The inode, for objects that have one.
    fn inode(&self) -> Option<Arc<dyn Inode>> {
        None
    }

    /// The attributes, fstat(2).
    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode().ok_or(Errno::EBADF)?.metadata()
    }

    /// Sets attributes, as ftruncate(2), fchmod(2).
    fn set_attributes(&self, change: &AttributeChange) -> Result<(), Errno> {
        self.inode().ok_or(Errno::EINVAL)?.set_attributes(change)
    }

    /// Finds data or a hole at or after `offset` (`SEEK_DATA`, `SEEK_HOLE`): `ENXIO`.
    fn seek_data(&self, offset: u64, hole: bool) -> Result<u64, Errno> {
        let size = self.metadata()?.size;
        if offset >= size {
            return Err(Errno::ENXIO);
        }
        Ok(if hole { size } else { offset })
    }

    /// Reserves or frees space, fallocate(2).
    fn allocate(&self, what: Allocation, offset: u64, length: u64) -> Result<(), Errno> {
        let _ = (what, offset, length);
        Err(Errno::EOPNOTSUPP)
    }

    /// Flushes to storage: fsync(2), or fdatasync(2).
    fn sync(&self, data_only: bool) -> Result<(), Errno> {
        let _ = data_only;
        Err(Errno::EINVAL)
    }

    /// What mmap(2) maps, or `ENODEV`.
    fn mappable(&self) -> Result<&dyn Mappable, Errno> {
        Err(Errno::ENODEV)
    }

    /// The description has these status flags now, fcntl(2) `F_SETFL`. Called by those that have
    /// `O_DIRECT` when made, too.
    fn status_changed(&self, flags: StatusFlags) {
        let _ = flags;
    }

    /// A descriptor of the description was closed, or it was released; `last` says that nothing
    /// refers to it any more. Pipes and sockets tell their peer.
    fn closed(&self, last: bool) {
        let _ = last;
    }
}

/// Bytes that can be mapped.
pub trait Mappable: Send + Sync {
    /// An identity of these bytes: equal for equal bytes only. Names shared futexes, and the
    /// patched copy of text. `(file system, inode)`.
    fn identity(&self) -> (u64, u64);

    /// A number that changes when the bytes may have; patched text of an old version is not used.
    fn version(&self) -> u64;

    /// The number of bytes now. Pages wholly past it raise SIGBUS.
    fn size(&self) -> u64;

    /// Where the page-aligned byte `offset` comes from, and how many bytes from there on come from
    /// consecutive places (a multiple of the page size, at least one page, at most `length`).
    /// `writable_shared` asks for a place that shared writes reach: holes are filled.
    /// Called page run by page run; `offset` lies below the size rounded up.
    fn backing(
        &self,
        offset: u64,
        length: u64,
        writable_shared: bool,
    ) -> Result<(Backing, u64), Errno>;

    /// A mapping of the range was made (`true`) or went away (`false`): the pages given out by
    /// [`Mappable::backing`] must stay while mapped, even if the file is truncated.
    fn hold(&self, offset: u64, length: u64, mapped: bool) {
        let _ = (offset, length, mapped);
    }
}
