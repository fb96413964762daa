//! What a call on files takes from the calling thread.

use crate::call::Call;
use crate::files::{Descriptor, DescriptorFlags, Places};
use crate::signal::{Signal, SignalInfo, send_to_thread};
use crate::task::Resource;
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::fs::{LookupFlags, OpenFile, Owner, Path, Place, StatusFlags, View};
use linux_raw_sys::general::AT_FDCWD;

impl Call<'_> {
    /// The description behind a descriptor: `EBADF`.
    #[inline]
    pub fn file(&self, fd: i32) -> Result<Arc<OpenFile>, Errno> {
        self.thread.files.lock().get(fd)
    }

    /// The description behind the descriptor that argument `index` is, which is not `O_PATH`.
    pub fn usable_file(&self, index: usize) -> Result<Arc<OpenFile>, Errno> {
        let file = self.file(self.int(index))?;
        if file.flags().contains(StatusFlags::PATH) {
            return Err(Errno::EBADF);
        }
        Ok(file)
    }

    /// Numbers of descriptors lie below this, `RLIMIT_NOFILE`.
    #[must_use]
    pub fn descriptor_limit(&self) -> u32 {
        let limit = self.process().limits.soft(Resource::OpenFiles);
        u32::try_from(limit).unwrap_or(u32::MAX)
    }

    /// Files grow to at most this many bytes, `RLIMIT_FSIZE`.
    #[must_use]
    pub fn file_size_limit(&self) -> u64 {
        self.process().limits.soft(Resource::FileSize)
    }

    /// Gives a new description the lowest free descriptor: `EMFILE`.
    pub fn install(&self, file: OpenFile, flags: DescriptorFlags) -> Result<u64, Errno> {
        let fd = self.thread.files.lock().insert(
            Descriptor::new(file, flags),
            0,
            self.descriptor_limit(),
        )?;
        Ok(u64::from(fd.cast_unsigned()))
    }

    /// The owner of a new object.
    #[must_use]
    pub fn new_owner(&self) -> Owner {
        let credentials = self.thread.credentials();
        Owner {
            user: credentials.user.file_system,
            group: credentials.group.file_system,
        }
    }

    /// Runs `action` with the calling thread's view of the tree.
    pub fn with_view<T>(
        &self,
        action: impl FnOnce(&View<'_>, &Places) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let credentials = self.thread.credentials();
        let fs = self.thread.fs();
        let places = fs.places();
        let view = View {
            namespace: &self.kernel().namespace,
            root: &places.root,
            credentials: &credentials,
            umask: fs.umask(),
        };
        action(&view, &places)
    }

    /// Runs `action` with the place that a directory descriptor and a path name: `EBADF`, and
    /// `ENOTDIR` for a descriptor of something outside the tree.
    pub fn with_place<T>(
        &self,
        directory: i32,
        path: &[u8],
        action: impl FnOnce(&View<'_>, Place<'_>) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        if directory == AT_FDCWD || path.first() == Some(&b'/') {
            return self
                .with_view(|view, places| action(view, Place::new(&places.directory, path)));
        }
        let file = self.file(directory)?;
        let start = file.path().ok_or(Errno::ENOTDIR)?;
        self.with_view(|view, _| action(view, Place::new(start, path)))
    }

    /// Finds what a directory descriptor and a path name.
    pub fn resolve(&self, directory: i32, path: &[u8], flags: LookupFlags) -> Result<Path, Errno> {
        self.with_place(directory, path, |view, place| view.resolve(place, flags))
    }

    /// Sends the calling thread the signal of a write that nobody will read.
    pub fn raise_broken_pipe(&self) {
        // A standard signal that cannot be queued is pending already.
        let _ = send_to_thread(self.thread, SignalInfo::kernel(Signal::PIPE));
    }

    /// Sends the calling thread the signal of a file that would be too large.
    pub fn raise_file_size(&self) {
        let _ = send_to_thread(self.thread, SignalInfo::kernel(Signal::XFSZ));
    }
}
