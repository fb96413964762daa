//! Shared memory: segments, and how often they are attached.

use super::registry::Object;
use super::{Header, Ipc, Layout, now_s};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::fs::{DetachedInode, File, FileKind, Inode, Mappable};
use capsid_core::memory::SharedMemory;
use capsid_core::sync::Mutex;
use capsid_platform::{Backing, PAGE_SIZE};

/// Segments of a sandbox (`SHMMNI`).
pub const SEGMENTS_MAX: usize = 4096;
/// The largest segment, in bytes (`SHMMAX`).
pub const SEGMENT_BYTES_MAX: u64 = u64::MAX - (1 << 24);

/// In the mode of a segment that goes with its last user (`SHM_DEST`).
const DOOMED: u32 = 0o1000;
/// In the mode of a segment that was locked (`SHM_LOCKED`).
const LOCKED: u32 = 0o2000;

/// A segment.
#[derive(Debug)]
pub struct Segment {
    header: Header,
    ipc: Weak<Ipc>,
    memory: SharedMemory,
    inode: Arc<DetachedInode>,
    /// Bytes asked for.
    pub bytes: u64,
    creator: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes mapped, in all processes.
    mapped: u64,
    /// Attachments that are being made.
    pending: u64,
    last_user: u32,
    attached_s: u64,
    detached_s: u64,
    doomed: bool,
    locked: bool,
}

impl Segment {
    /// Makes a zeroed segment for the process `creator`: `ENOMEM`.
    pub fn new(ipc: &Arc<Ipc>, header: Header, bytes: u64, creator: u32) -> Result<Segment, Errno> {
        let [owner, _] = header.owners();
        Ok(Segment {
            ipc: Arc::downgrade(ipc),
            memory: SharedMemory::new(bytes)?,
            inode: DetachedInode::new(FileKind::Regular, header.mode(), owner, "SYSV"),
            header,
            bytes,
            creator,
            state: Mutex::default(),
        })
    }

    /// Bytes that an attachment takes: whole pages.
    #[must_use]
    pub fn mapped_bytes(&self) -> u64 {
        self.bytes.next_multiple_of(PAGE_SIZE as u64)
    }

    /// Its inode, for the file that an attachment maps.
    #[must_use]
    pub fn inode(&self) -> Arc<dyn Inode> {
        self.inode.clone()
    }

    /// Keeps the segment while the process `user` attaches it. [`Segment::end_attach`] follows.
    pub fn begin_attach(&self) {
        self.state.lock().pending += 1;
    }

    /// The attachment was made, by this process, or failed.
    pub fn end_attach(&self, user: Option<u32>) {
        let mut state = self.state.lock();
        state.pending -= 1;
        if let Some(user) = user {
            state.last_user = user;
            state.attached_s = now_s();
        }
        self.remove_if_unused(&state);
    }

    /// The process `user` detached it.
    pub fn detached(&self, user: u32) {
        self.state.lock().last_user = user;
    }

    /// Removes the segment, `IPC_RMID`: at once, or with its last user.
    pub fn doom(&self) {
        let mut state = self.state.lock();
        state.doomed = true;
        self.header.hide(DOOMED);
        self.remove_if_unused(&state);
    }

    /// Notes that it shall stay in memory, or need not: `SHM_LOCK`, `SHM_UNLOCK`.
    pub fn lock(&self, locked: bool) {
        self.state.lock().locked = locked;
    }

    fn remove_if_unused(&self, state: &State) {
        if state.doomed
            && state.mapped == 0
            && state.pending == 0
            && let Some(ipc) = self.ipc.upgrade()
        {
            ipc.segments.remove(self);
        }
    }

    /// How often it is attached.
    #[must_use]
    pub fn attachments(&self) -> u64 {
        self.state.lock().mapped.div_ceil(self.mapped_bytes())
    }

    /// Creator and last user, by process id.
    #[must_use]
    pub fn users(&self) -> [u32; 2] {
        [self.creator, self.state.lock().last_user]
    }

    /// When it was last attached and last detached, in seconds.
    #[must_use]
    pub fn times_s(&self) -> [u64; 2] {
        let state = self.state.lock();
        [state.attached_s, state.detached_s]
    }

    /// The mode, with what it says about the segment's end.
    #[must_use]
    pub fn mode(&self) -> u32 {
        let locked = if self.state.lock().locked { LOCKED } else { 0 };
        self.header.mode() | locked
    }

    /// The segment as `struct shmid64_ds`.
    #[must_use]
    pub fn description(&self) -> Vec<u8> {
        let [attached, detached] = self.times_s();
        let [creator, last_user] = self.users();
        let mut header = self.header.bytes();
        header[20..24].copy_from_slice(&self.mode().to_le_bytes());
        let layout = Layout::default()
            .bytes(&header)
            .long(self.bytes)
            .long(attached)
            .long(detached)
            .long(self.header.changed_s())
            .int(creator)
            .int(last_user)
            .long(self.attachments());
        layout.long(0).long(0).0
    }
}

impl Object for Segment {
    fn header(&self) -> &Header {
        &self.header
    }
}

impl File for Segment {
    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn mappable(&self) -> Result<&dyn Mappable, Errno> {
        Ok(self)
    }
}

impl Mappable for Segment {
    fn identity(&self) -> (u64, u64) {
        self.memory.identity()
    }

    fn version(&self) -> u64 {
        0
    }

    fn size(&self) -> u64 {
        self.mapped_bytes()
    }

    fn backing(&self, offset: u64, length: u64, shared: bool) -> Result<(Backing, u64), Errno> {
        self.memory.backing(offset, length, shared)
    }

    fn hold(&self, _offset: u64, length: u64, mapped: bool) {
        let mut state = self.state.lock();
        if mapped {
            state.mapped += length;
            return;
        }
        state.mapped = state.mapped.saturating_sub(length);
        state.detached_s = now_s();
        self.remove_if_unused(&state);
    }
}
