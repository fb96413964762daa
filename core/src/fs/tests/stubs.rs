//! File systems that are not like tmpfs: one whose names must be asked for each time, and one
//! with a magic link.

use super::World;
use super::operations::operations;
use crate::fs::tmpfs::{Tmpfs, TmpfsOptions};
use crate::fs::*;
use alloc::sync::Arc;
use capsid_platform::Errno;
use proptest::prelude::*;

/// A tmpfs whose names may change at any time.
#[derive(Debug)]
struct Changing(Arc<Tmpfs>);

impl FileSystem for Changing {
    fn root(&self) -> Arc<dyn Inode> {
        self.0.root()
    }

    fn statistics(&self) -> Result<FileSystemStatistics, Errno> {
        self.0.statistics()
    }

    fn type_name(&self) -> &'static str {
        "changing"
    }

    fn magic(&self) -> u64 {
        0
    }

    fn caches_names(&self) -> bool {
        false
    }

    fn unmounted(&self) {
        self.0.unmounted();
    }
}

fn changing() -> (World, Arc<Tmpfs>) {
    crate::test_platform::install();
    let tmpfs = Tmpfs::new(TmpfsOptions::default());
    (World::over(Arc::new(Changing(tmpfs.clone()))), tmpfs)
}

proptest! {
    #![proptest_config(crate::test_platform::proptest_config(200))]
    #[test]
    fn names_that_are_not_kept_make_the_same_tree(operations in operations(60)) {
        let (changing, _) = changing();
        let plain = World::new();
        for operation in &operations {
            let result = changing.apply(operation);
            prop_assert_eq!(result, plain.apply(operation), "{:?}", operation);
        }
        prop_assert_eq!(changing.snapshot(), plain.snapshot());
    }
}

#[test]
fn changes_behind_the_back_are_seen() {
    let (world, tmpfs) = changing();
    let root = tmpfs.root();
    assert_eq!(world.stat("/late").unwrap_err(), Errno::ENOENT);
    let owner = Owner::default();
    let directory = root
        .create(b"late", NewNode::Directory, 0o755, owner)
        .unwrap();
    let held = world.find("/late").unwrap();
    assert!(world.find("/late").unwrap().is_same(&held));
    root.remove_directory(b"late").unwrap();
    assert_eq!(world.stat("/late").unwrap_err(), Errno::ENOENT);
    assert!(held.dentry().is_unlinked());
    drop(directory);
    root.create(b"late", NewNode::Regular, 0o644, owner)
        .unwrap();
    assert_eq!(world.stat("/late").unwrap().kind, FileKind::Regular);
}

/// A root directory that holds one magic link, `/link`.
#[derive(Debug)]
struct Magic(Path);

#[derive(Debug)]
struct MagicInode {
    target: Path,
    kind: FileKind,
}

impl FileSystem for Magic {
    fn root(&self) -> Arc<dyn Inode> {
        Arc::new(MagicInode {
            target: self.0.clone(),
            kind: FileKind::Directory,
        })
    }

    fn statistics(&self) -> Result<FileSystemStatistics, Errno> {
        Err(Errno::ENOSYS)
    }

    fn type_name(&self) -> &'static str {
        "magic"
    }

    fn magic(&self) -> u64 {
        0
    }
}

impl Inode for MagicInode {
    fn metadata(&self) -> Result<Metadata, Errno> {
        let metadata = self.target.inode().metadata()?;
        Ok(Metadata {
            kind: self.kind,
            ..metadata
        })
    }

    fn kind(&self) -> FileKind {
        self.kind
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        Arc::new(Magic(self.target.clone()))
    }

    fn set_attributes(&self, _: &AttributeChange) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        if name != b"link" {
            return Err(Errno::ENOENT);
        }
        Ok(Arc::new(MagicInode {
            target: self.target.clone(),
            kind: FileKind::Symlink,
        }))
    }

    fn follow(&self) -> Result<Option<Path>, Errno> {
        Ok(Some(self.target.clone()))
    }

    fn open(self: Arc<Self>, _: StatusFlags) -> Result<Arc<dyn File>, Errno> {
        Err(Errno::ENXIO)
    }
}

#[test]
fn magic_links_lead_where_no_path_does() {
    let world = World::new();
    world.write("/gone", b"still here").unwrap();
    world.mkdir("/magic").unwrap();
    let target = world.find("/gone").unwrap();
    let at = world.find("/magic").unwrap();
    let flags = MountFlags::empty();
    let magic = Arc::new(Magic(target));
    world.namespace.mount(magic, &at, flags, b"magic").unwrap();
    world.unlink("/gone").unwrap();
    assert_eq!(world.read("/magic/link").unwrap(), b"still here");
    let text = world.view().read_link(world.at("/magic/link")).unwrap();
    assert_eq!(text, b"/gone (deleted)");
    let truncating = world.open(
        "/magic/link",
        StatusFlags::WRITE_ONLY,
        CreationFlags::CREATE,
    );
    assert!(truncating.is_ok());
    for (flag, error) in [
        (LookupFlags::NO_MAGIC_LINKS, Errno::ELOOP),
        (LookupFlags::NO_SYMLINKS, Errno::ELOOP),
        (LookupFlags::BENEATH, Errno::EXDEV),
        (LookupFlags::IN_ROOT, Errno::EXDEV),
        (LookupFlags::NO_MOUNTS, Errno::EXDEV),
    ] {
        let flags = flag | LookupFlags::FOLLOW;
        let place = Place::new(&world.root, b"magic/link");
        assert_eq!(world.view().resolve(place, flags).unwrap_err(), error);
    }
}

#[test]
fn names_nobody_uses_are_forgotten_in_the_end() {
    let world = World::new();
    for i in 0..40_000 {
        let path = alloc::format!("/missing{i}");
        assert_eq!(world.stat(&path).unwrap_err(), Errno::ENOENT);
    }
    assert!(remembered_names() < 30_000);
}
