//! Descriptors of processes, pidfd_open(2).

use crate::files::{Descriptor, DescriptorFlags};
use crate::procfs::process_of_directory;
use crate::task::{Process, Resource, Thread};
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::fs::{DetachedInode, DirectoryFile, File, Inode, OpenFile, StatusFlags};
use capsid_core::wait::{Events, WaitQueue};
use core::any::Any;

/// A process, as a file: ready to read once the process has ended.
#[derive(Debug)]
pub struct PidFile {
    process: Arc<Process>,
}

impl PidFile {
    /// The process.
    #[must_use]
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }
}

impl File for PidFile {
    fn readiness(&self) -> Events {
        let state = self.process.state.lock();
        if state.threads.is_empty() && state.exit.is_some() {
            Events::READABLE
        } else {
            Events::empty()
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.process.exit_queue)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(DetachedInode::anonymous("[pidfd]"))
    }
}

/// Gives a thread a new descriptor of a process: `EMFILE`.
pub fn open_pidfd(
    thread: &Thread,
    process: &Arc<Process>,
    flags: StatusFlags,
) -> Result<i32, Errno> {
    let file = Arc::new(PidFile {
        process: process.clone(),
    });
    let flags = flags | StatusFlags::READ_WRITE;
    let descriptor = Descriptor::new(OpenFile::new(file, flags), DescriptorFlags::CLOSE_ON_EXEC);
    let limit = thread.process.limits.soft(Resource::OpenFiles);
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    thread.files().insert(descriptor, 0, limit)
}

/// The process behind a descriptor: `EBADF` if it is no pidfd.
pub fn process_of_pidfd(thread: &Thread, fd: i32) -> Result<Arc<Process>, Errno> {
    let open = thread.files().get(fd)?;
    let file: &dyn Any = &*open.file;
    let file = file.downcast_ref::<PidFile>().ok_or(Errno::EBADF)?;
    Ok(file.process.clone())
}

/// The process to signal by a descriptor, which may be of its directory in procfs too: `EBADF`,
/// `ESRCH`.
pub fn process_to_signal(thread: &Thread, fd: i32) -> Result<Arc<Process>, Errno> {
    let open = thread.files().get(fd)?;
    let file: &dyn Any = &*open.file;
    if !file.is::<DirectoryFile>() {
        return process_of_pidfd(thread, fd);
    }
    let inode = open.file.inode().ok_or(Errno::EBADF)?;
    let id = process_of_directory(&*inode).ok_or(Errno::EBADF)?;
    thread.process.kernel.process(id).ok_or(Errno::ESRCH)
}
