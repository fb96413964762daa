//! `/proc/pid/mounts` and `mountinfo`, and `/proc/filesystems`.

use crate::procfs::entry::Context;
use crate::procfs::text::Text;
use alloc::string::String;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::fs::{DeviceId, Mount, MountFlags};

/// Where a mount is, from the namespace's root.
fn point(context: &Context<'_>, mount: &Mount) -> Vec<u8> {
    let root = context.kernel.namespace.root();
    match mount.point() {
        Some(path) => path.text(&root).0,
        None => b"/".to_vec(),
    }
}

fn options(flags: MountFlags) -> String {
    let mut options = String::from(if flags.contains(MountFlags::READ_ONLY) {
        "ro"
    } else {
        "rw"
    });
    for (flag, name) in [
        (MountFlags::NO_SET_ID, ",nosuid"),
        (MountFlags::NO_DEVICES, ",nodev"),
        (MountFlags::NO_EXECUTE, ",noexec"),
        (MountFlags::NO_ACCESS_TIME, ",noatime"),
        (MountFlags::NO_DIRECTORY_ACCESS_TIME, ",nodiratime"),
        (MountFlags::RELATIVE_ACCESS_TIME, ",relatime"),
    ] {
        if flags.contains(flag) {
            options.push_str(name);
        }
    }
    options
}

pub(super) fn mounts(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    for mount in context.kernel.namespace.mounts() {
        text.escaped(mount.source());
        text.bytes(b" ");
        text.escaped(&point(context, &mount));
        text.line(format_args!(
            " {} {} 0 0",
            mount.file_system().type_name(),
            options(mount.flags())
        ));
    }
    Ok(())
}

pub(super) fn mountinfo(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    for mount in context.kernel.namespace.mounts() {
        let parent = mount.point().map_or(mount.id(), |path| path.mount().id());
        let device = mount.root().inode().metadata().map_or(0, |m| m.device);
        let device = DeviceId::decode(device);
        let mut inside = Vec::new();
        let mut at = mount.root().clone();
        while let Some(above) = at.parent() {
            inside.splice(0..0, [b"/", &*at.name()].concat());
            at = above;
        }
        if inside.is_empty() {
            inside.push(b'/');
        }
        text.add(format_args!(
            "{} {parent} {}:{} ",
            mount.id(),
            device.major,
            device.minor
        ));
        text.escaped(&inside);
        text.bytes(b" ");
        text.escaped(&point(context, &mount));
        let options = options(mount.flags());
        text.add(format_args!(
            " {options} - {} ",
            mount.file_system().type_name()
        ));
        text.escaped(mount.source());
        let writable = !mount.flags().contains(MountFlags::READ_ONLY);
        text.line(format_args!(" {}", if writable { "rw" } else { "ro" }));
    }
    Ok(())
}

pub(super) fn filesystems(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    for name in [
        "sysfs", "tmpfs", "proc", "devtmpfs", "devpts", "overlay", "pipefs", "sockfs",
    ] {
        text.line(format_args!("nodev\t{name}"));
    }
    text.bytes(b"\terofs\n");
    Ok(())
}
