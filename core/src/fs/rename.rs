//! Renaming, rename(2), renameat2(2).

use crate::fs::dentry::Dentry;
use crate::fs::names::check_length;
use crate::fs::notify::{self, Moved};
use crate::fs::permission::{self, Access};
use crate::fs::view::{Place, View, lock_both};
use crate::fs::walk::LastKind;
use crate::fs::{FileKind, Path, RenameFlags};
use alloc::sync::Arc;
use capsid_platform::Errno;

/// One side of a rename.
struct Side<'a> {
    directory: &'a Path,
    name: &'a [u8],
    slashes: bool,
}

impl View<'_> {
    /// Moves a name, replacing what has the new one; or exchanges two.
    pub fn rename(&self, from: Place<'_>, to: Place<'_>, flags: RenameFlags) -> Result<(), Errno> {
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        if exchange && flags.intersects(RenameFlags::NOREPLACE | RenameFlags::WHITEOUT) {
            return Err(Errno::EINVAL);
        }
        let old_parent = self.parent(from)?;
        let new_parent = self.parent(to)?;
        if !Arc::ptr_eq(old_parent.directory.mount(), new_parent.directory.mount()) {
            return Err(Errno::EXDEV);
        }
        let LastKind::Name(old_name) = old_parent.kind else {
            return Err(Errno::EBUSY);
        };
        let LastKind::Name(new_name) = new_parent.kind else {
            return Err(if flags.contains(RenameFlags::NOREPLACE) {
                Errno::EEXIST
            } else {
                Errno::EBUSY
            });
        };
        check_length(old_name)?;
        check_length(new_name)?;
        permission::check_writable(&old_parent.directory)?;
        let old = Side {
            directory: &old_parent.directory,
            name: old_name,
            slashes: old_parent.slashes,
        };
        let new = Side {
            directory: &new_parent.directory,
            name: new_name,
            slashes: new_parent.slashes,
        };
        self.rename_sides(&old, &new, flags)
    }

    fn rename_sides(
        &self,
        old: &Side<'_>,
        new: &Side<'_>,
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        let (old_home, new_home) = (old.directory.dentry(), new.directory.dentry());
        let same_home = Arc::ptr_eq(old_home, new_home);
        let tree = old.directory.mount().tree();
        let _moves = (!same_home).then(|| tree.directory_moves.lock());
        let (old_names, other_names) = lock_both(old_home, new_home);
        let new_names = other_names.as_ref().unwrap_or(&old_names);

        let source = old_names.child(old.name)?;
        let target = match new_names.child(new.name) {
            Ok(target) => Some(target),
            Err(Errno::ENOENT) => None,
            Err(error) => return Err(error),
        };
        check_shape(&source, target.as_ref(), old, new, flags)?;
        if let Some(target) = &target
            && (Arc::ptr_eq(source.inode(), target.inode())
                || source.inode().is_same(&**target.inode()))
        {
            // Two names of one file: rename(2) leaves both.
            return Ok(());
        }
        self.check_rename(&source, target.as_ref(), old, new, exchange)?;

        old_home
            .inode()
            .rename(old.name, new_home.inode(), new.name, flags)?;
        if exchange {
            if let Some(target) = target {
                old_names.vacate(old.name);
                new_names.vacate(new.name);
                new_names.adopt(new.name, &source);
                old_names.adopt(old.name, &target);
                notify::renamed(&moved(old, new, &source, None));
                notify::renamed(&moved(new, old, &target, None));
            }
            return Ok(());
        }
        new_names.missing(new.name);
        if flags.contains(RenameFlags::WHITEOUT) {
            old_names.forget(old.name);
        } else {
            old_names.vacate(old.name);
        }
        new_names.adopt(new.name, &source);
        notify::renamed(&moved(old, new, &source, target.as_ref()));
        Ok(())
    }

    /// Checks permissions and mounts.
    fn check_rename(
        &self,
        source: &Arc<Dentry>,
        target: Option<&Arc<Dentry>>,
        old: &Side<'_>,
        new: &Side<'_>,
        exchange: bool,
    ) -> Result<(), Errno> {
        let is_directory = |dentry: &Dentry| dentry.inode().kind() == FileKind::Directory;
        permission::check_remove(old.directory, source.inode(), self.credentials)?;
        if new.directory.dentry().is_unlinked() {
            return Err(Errno::ENOENT);
        }
        match target {
            None => permission::check(new.directory, Access::CHANGE_NAMES, self.credentials)?,
            Some(target) => {
                permission::check_remove(new.directory, target.inode(), self.credentials)?;
                if !exchange {
                    match (is_directory(source), is_directory(target)) {
                        (true, false) => return Err(Errno::ENOTDIR),
                        (false, true) => return Err(Errno::EISDIR),
                        _ => {}
                    }
                }
            }
        }
        // A directory's `..` changes when it moves to another parent.
        if !Arc::ptr_eq(old.directory.dentry(), new.directory.dentry()) {
            let mut moved = alloc::vec![source];
            moved.extend(target.filter(|_| exchange));
            for dentry in moved {
                if is_directory(dentry) {
                    permission::check_inode(&**dentry.inode(), Access::WRITE, self.credentials)?;
                }
            }
        }
        if source.is_mount_point() || target.is_some_and(|target| target.is_mount_point()) {
            return Err(Errno::EBUSY);
        }
        Ok(())
    }
}

/// The move of `source` from one side to the other, for those who watch.
fn moved<'a>(
    from: &'a Side<'_>,
    to: &'a Side<'_>,
    source: &'a Arc<Dentry>,
    replaced: Option<&'a Arc<Dentry>>,
) -> Moved<'a> {
    Moved {
        from: (from.directory.dentry(), from.name),
        to: (to.directory.dentry(), to.name),
        inode: source.inode(),
        replaced: replaced.map(|replaced| replaced.inode()),
    }
}

/// Checks existence, slashes and loops.
fn check_shape(
    source: &Arc<Dentry>,
    target: Option<&Arc<Dentry>>,
    old: &Side<'_>,
    new: &Side<'_>,
    flags: RenameFlags,
) -> Result<(), Errno> {
    let is_directory = |dentry: &Dentry| dentry.inode().kind() == FileKind::Directory;
    let exchange = flags.contains(RenameFlags::EXCHANGE);
    if flags.contains(RenameFlags::NOREPLACE) && target.is_some() {
        return Err(Errno::EEXIST);
    }
    if exchange {
        let target = target.ok_or(Errno::ENOENT)?;
        if new.slashes && !is_directory(target) {
            return Err(Errno::ENOTDIR);
        }
    }
    if !is_directory(source) && (old.slashes || (!exchange && new.slashes)) {
        return Err(Errno::ENOTDIR);
    }
    if is_directory(source) && source.is_ancestor_of(new.directory.dentry()) {
        return Err(Errno::EINVAL);
    }
    if let Some(target) = target
        && is_directory(target)
        && target.is_ancestor_of(old.directory.dentry())
    {
        return Err(if exchange {
            Errno::EINVAL
        } else {
            Errno::ENOTEMPTY
        });
    }
    Ok(())
}
