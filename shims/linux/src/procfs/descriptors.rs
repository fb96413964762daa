//! `/proc/pid/fd` and `/proc/pid/fdinfo`.

use crate::files::DescriptorFlags;
use crate::procfs::entry::Context;
use crate::procfs::text::Text;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::fs::notify::Inotify;
use capsid_core::fs::{
    AttributeChange, DetachedInode, File, FileKind, FileSystem, Inode, Metadata, OpenFile, Owner,
    Path, StatusFlags,
};
use core::any::Any;
use linux_raw_sys::general::O_CLOEXEC;

/// The descriptors that are open.
pub(super) fn numbers(context: &Context<'_>) -> Result<Vec<u32>, Errno> {
    let Ok(thread) = context.thread() else {
        // A zombie has none.
        return Ok(Vec::new());
    };
    let numbers = thread.files().numbers();
    Ok(numbers.into_iter().map(i32::cast_unsigned).collect())
}

/// Whether a descriptor is open.
pub(super) fn exists(context: &Context<'_>, number: u32) -> Result<bool, Errno> {
    Ok(context
        .thread()
        .is_ok_and(|thread| thread.files().get(number.cast_signed()).is_ok()))
}

fn open_file(context: &Context<'_>) -> Result<Arc<OpenFile>, Errno> {
    let number = context.subject.descriptor.cast_signed();
    context
        .thread()?
        .files()
        .get(number)
        .map_err(|_| Errno::ENOENT)
}

/// The permission bits of a descriptor's link.
pub(super) fn link_mode(context: &Context<'_>) -> Result<u32, Errno> {
    let flags = open_file(context)?.flags();
    let read = if flags.readable() { 0o500 } else { 0o100 };
    let write = if flags.writable() { 0o300 } else { 0o100 };
    Ok(read | write)
}

/// What a descriptor has open, as a place.
pub(super) fn place(context: &Context<'_>) -> Result<Path, Errno> {
    let open = open_file(context)?;
    if let Some(path) = open.path() {
        return Ok(path.clone());
    }
    if let Some(inode) = open.file.inode() {
        let any: &dyn Any = &*inode;
        let label = any
            .downcast_ref::<DetachedInode>()
            .map(DetachedInode::label);
        let label = label.unwrap_or_else(|| String::from("anon_inode:[unknown]"));
        return Ok(Path::detached(inode, label.as_bytes()));
    }
    let metadata = open.file.metadata()?;
    let label = match (metadata.kind, metadata.special_device.major) {
        (FileKind::CharacterDevice, 1) => String::from("/dev/null"),
        (FileKind::CharacterDevice, 136..=143) => {
            format!("/dev/pts/{}", metadata.special_device.minor)
        }
        (FileKind::CharacterDevice, _) => String::from("/dev/console"),
        (FileKind::Fifo, _) => format!("pipe:[{}]", metadata.inode),
        (FileKind::Socket, _) => format!("socket:[{}]", metadata.inode),
        _ => format!("/dev/fd/{}", context.subject.descriptor),
    };
    let credentials = context.thread()?.credentials();
    let stream = Arc::new(OpenedAgain {
        file: open.file.clone(),
        owner: Owner {
            user: credentials.user.effective,
            group: credentials.group.effective,
        },
    });
    Ok(Path::detached(stream, label.as_bytes()))
}

/// The contents of `/proc/pid/fdinfo/N`.
pub(super) fn info(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    let number = context.subject.descriptor.cast_signed();
    let files = context.thread()?.files();
    let descriptor = files.descriptor(number).map_err(|_| Errno::ENOENT)?;
    let open = &descriptor.file;
    let mut flags = open.flags().bits();
    if descriptor.flags.contains(DescriptorFlags::CLOSE_ON_EXEC) {
        flags |= O_CLOEXEC;
    }
    // Not the lock's holder: a read may be under way.
    let position = open.position.try_lock().map_or(0, |position| *position);
    let mount = open.path().map_or(0, |path| path.mount().id());
    let inode = open.file.metadata().map_or(0, |metadata| metadata.inode);
    text.line(format_args!("pos:\t{position}"));
    text.line(format_args!("flags:\t0{flags:o}"));
    text.line(format_args!("mnt_id:\t{mount}"));
    text.line(format_args!("ino:\t{inode}"));
    if let Some(pid) = pid_of(open) {
        text.line(format_args!("Pid:\t{pid}\nNSpid:\t{pid}"));
    }
    if let Some(inotify) = (&*open.file as &dyn Any).downcast_ref::<Inotify>() {
        for watch in inotify.watched() {
            text.line(format_args!(
                "inotify wd:{:x} ino:{:x} sdev:{:x} mask:{:x} ignored_mask:0 ",
                watch.number, watch.inode, watch.device, watch.mask
            ));
        }
    }
    Ok(())
}

fn pid_of(open: &OpenFile) -> Option<u32> {
    let any: &dyn Any = &*open.file;
    let file = any.downcast_ref::<crate::files::PidFile>()?;
    Some(file.process().id)
}

/// The inode of an object that has none of its own: opening it gives the object again.
#[derive(Debug)]
struct OpenedAgain {
    file: Arc<dyn File>,
    owner: Owner,
}

impl Inode for OpenedAgain {
    fn metadata(&self) -> Result<Metadata, Errno> {
        self.file.metadata()
    }

    fn kind(&self) -> FileKind {
        // Not that of the host's object, which a driver of ours would be asked to open.
        FileKind::Anonymous
    }

    fn permissions(&self) -> Result<(Owner, u32), Errno> {
        Ok((self.owner, 0o600))
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        DetachedInode::anonymous("[stream]").file_system()
    }

    fn set_attributes(&self, _change: &AttributeChange) -> Result<(), Errno> {
        Ok(())
    }

    fn open(self: Arc<Self>, _flags: StatusFlags) -> Result<Arc<dyn File>, Errno> {
        Ok(self.file.clone())
    }
}
