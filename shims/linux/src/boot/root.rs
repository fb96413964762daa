//! The tree of files that a sandbox starts with.

use super::{place, view};
use crate::kernel::Kernel;
use crate::procfs::{Mountable, Procfs};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::credentials::Credentials;
use capsid_core::fs::erofs::Erofs;
use capsid_core::fs::hostfs::HostFileSystem;
use capsid_core::fs::overlay::Overlay;
use capsid_core::fs::tmpfs::{Tmpfs, TmpfsOptions};
use capsid_core::fs::{
    CreationFlags, FileSystem, LookupFlags, MountFlags, MountNamespace, OpenOptions, Path,
    StatusFlags, View, devfs,
};
use capsid_core::tty::devpts::Devpts;
use capsid_platform::platform;
use capsid_wire::{BootConfig, Export, ExportAccess, RootKind};

/// Directories of an empty root: path, permission bits.
const DIRECTORIES: [(&[u8], u32); 12] = [
    (b"/dev", 0o755),
    (b"/etc", 0o755),
    (b"/home", 0o755),
    (b"/mnt", 0o755),
    (b"/opt", 0o755),
    (b"/proc", 0o555),
    (b"/root", 0o700),
    (b"/run", 0o755),
    (b"/sys", 0o555),
    (b"/tmp", 0o1777),
    (b"/var", 0o755),
    (b"/var/tmp", 0o1777),
];

/// Directories that every root has.
const MOUNT_POINTS: [(&[u8], u32); 4] = [
    (b"/dev", 0o755),
    (b"/proc", 0o555),
    (b"/sys", 0o555),
    (b"/tmp", 0o1777),
];

/// Builds the tree: the root, the exports, `/dev`.
pub fn build(config: &BootConfig) -> Result<Arc<MountNamespace>, Errno> {
    let namespace = MountNamespace::new(
        root_file_system(config)?,
        MountFlags::RELATIVE_ACCESS_TIME,
        b"root",
    );
    let root = namespace.root();
    let credentials = Credentials::new(0, 0);
    let view = view(&namespace, &root, &credentials);
    let directories = match config.root {
        RootKind::Empty => &DIRECTORIES[..],
        // What a file system for programs may lack; the rest is its own affair.
        RootKind::Image | RootKind::Export => &MOUNT_POINTS,
    };
    for &(path, mode) in directories {
        make_directories(&view, &root, path, mode)?;
    }
    for (index, export) in config.exports.iter().enumerate() {
        if index == 0 && config.root == RootKind::Export {
            continue;
        }
        mount_export(&view, &root, index, export)?;
    }
    for link in &config.symlinks {
        make_parent(&view, &root, &link.path)?;
        match view.make_symlink(&link.target, place(&root, &link.path)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error),
        }
    }
    let at = view.resolve(place(&root, b"/dev"), LookupFlags::DIRECTORY)?;
    namespace.mount(devfs::new()?, &at, MountFlags::NO_SET_ID, b"dev")?;
    let at = view.resolve(place(&root, b"/dev/pts"), LookupFlags::DIRECTORY)?;
    let flags = MountFlags::NO_SET_ID | MountFlags::NO_EXECUTE;
    namespace.mount(Arc::new(Devpts), &at, flags, b"devpts")?;
    Ok(namespace)
}

/// Mounts `/proc` and `/sys`.
pub fn mount_procfs(kernel: &Arc<Kernel>) -> Result<(), Errno> {
    let namespace = &kernel.namespace;
    let root = namespace.root();
    let credentials = Credentials::new(0, 0);
    let view = view(namespace, &root, &credentials);
    let flags = MountFlags::NO_SET_ID | MountFlags::NO_DEVICES | MountFlags::NO_EXECUTE;
    for (path, name, fs) in [
        (&b"/proc"[..], &b"proc"[..], Procfs::new(kernel)),
        (b"/sys", b"sysfs", Procfs::sysfs(kernel)),
    ] {
        let at = view.resolve(place(&root, path), LookupFlags::DIRECTORY)?;
        namespace.mount(Arc::new(Mountable(fs)), &at, flags, name)?;
    }
    Ok(())
}

/// What lies at the root.
fn root_file_system(config: &BootConfig) -> Result<Arc<dyn FileSystem>, Errno> {
    match config.root {
        RootKind::Empty => Ok(Tmpfs::new(TmpfsOptions::default())),
        RootKind::Image => Ok(over(Erofs::new(platform().image())?)),
        RootKind::Export => {
            let export = config.exports.first().ok_or(Errno::ENODEV)?;
            Ok(over(HostFileSystem::new(0, export)))
        }
    }
}

/// A file system that is not written to, under a writable layer in memory.
fn over(lower: Arc<dyn FileSystem>) -> Arc<dyn FileSystem> {
    Overlay::new(Tmpfs::new(TmpfsOptions::default()), vec![lower])
}

/// Makes a directory and those above it; existing ones stay as they are.
fn make_directories(view: &View<'_>, root: &Path, path: &[u8], mode: u32) -> Result<(), Errno> {
    let ends = path
        .iter()
        .enumerate()
        .filter(|(index, byte)| **byte == b'/' && *index > 0)
        .map(|(index, _)| index);
    for end in ends {
        make_directory(view, root, &path[..end], 0o755)?;
    }
    make_directory(view, root, path, mode)
}

fn make_directory(view: &View<'_>, root: &Path, path: &[u8], mode: u32) -> Result<(), Errno> {
    match view.make_directory(place(root, path), mode) {
        // A read-only place that has it all the same is fine.
        Ok(()) | Err(Errno::EEXIST | Errno::EROFS) => Ok(()),
        Err(error) => Err(error),
    }
}

fn make_parent(view: &View<'_>, root: &Path, path: &[u8]) -> Result<(), Errno> {
    match path.iter().rposition(|byte| *byte == b'/') {
        None | Some(0) => Ok(()),
        Some(end) => make_directories(view, root, &path[..end], 0o755),
    }
}

/// Mounts an export, making its mount point if it is missing.
fn mount_export(view: &View<'_>, root: &Path, index: usize, export: &Export) -> Result<(), Errno> {
    let path = &export.mount_point;
    let place = place(root, path);
    if export.directory {
        make_directories(view, root, path, 0o755)?;
    } else {
        make_parent(view, root, path)?;
        let mut options = OpenOptions::new(StatusFlags::WRITE_ONLY);
        options.creation = CreationFlags::CREATE;
        options.mode = 0o644;
        match view.open(place, &options) {
            Ok(_) | Err(Errno::EROFS) => {}
            Err(error) => return Err(error),
        }
    }
    let at = view.resolve(place, LookupFlags::FOLLOW)?;
    let mut flags = MountFlags::NO_SET_ID | MountFlags::NO_DEVICES;
    flags.set(
        MountFlags::READ_ONLY,
        export.access == ExportAccess::ReadOnly,
    );
    let file_system = HostFileSystem::new(index, export);
    view.namespace.mount(file_system, &at, flags, b"capsid")?;
    Ok(())
}

/// The working directory, made if it is missing; the root if none is configured.
pub fn working_directory(
    namespace: &MountNamespace,
    root: &Path,
    config: &BootConfig,
    credentials: &Credentials,
) -> Result<Path, Errno> {
    let path: Vec<u8> = config.working_directory.clone();
    if path.is_empty() {
        return Ok(root.clone());
    }
    let administrator = Credentials::new(0, 0);
    let making = view(namespace, root, &administrator);
    make_directories(&making, root, &path, 0o755)?;
    let view = view(namespace, root, credentials);
    view.resolve(
        place(root, &path),
        LookupFlags::FOLLOW | LookupFlags::DIRECTORY,
    )
}
