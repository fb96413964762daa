//! Extended attributes: getxattr(2), setxattr(2), listxattr(2), removexattr(2) and their `l` and
//! `f` forms.

use crate::call::{Call, CallResult};
use crate::files::PathArgument;
use alloc::vec;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::fs::{LookupFlags, Path, View};
use capsid_platform::GuestAddr;
use linux_raw_sys::general as raw;

/// The longest name, in bytes.
const NAME_MAX: usize = 255;
/// The longest value, in bytes.
const SIZE_MAX: usize = 65_536;

/// How the first argument names the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// A path, whose last symlink is followed.
    Path,
    /// A path, whose last symlink is meant itself.
    Link,
    /// A descriptor.
    Descriptor,
}

fn with_file<T>(
    call: &Call<'_>,
    by: By,
    action: impl FnOnce(&View<'_>, &Path) -> Result<T, Errno>,
) -> Result<T, Errno> {
    if by == By::Descriptor {
        let file = call.usable_file(0)?;
        let path = file.path().ok_or(Errno::EOPNOTSUPP)?;
        return call.with_view(|view, _| action(view, path));
    }
    let path = PathArgument::read(call.pointer(0))?;
    let mut flags = LookupFlags::empty();
    flags.set(LookupFlags::FOLLOW, by == By::Path);
    call.with_place(raw::AT_FDCWD, &path, |view, place| {
        action(view, &view.resolve(place, flags)?)
    })
}

fn read_name(call: &Call<'_>) -> Result<PathArgument, Errno> {
    let name = match PathArgument::read(call.pointer(1)) {
        Err(Errno::ENAMETOOLONG) => return Err(Errno::ERANGE),
        result => result?,
    };
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(Errno::ERANGE);
    }
    Ok(name)
}

/// Gives the guest a value, or its length if the guest's buffer has none.
fn give(value: &[u8], address: GuestAddr, size: usize) -> CallResult {
    if size > 0 {
        if value.len() > size {
            return Err(Errno::ERANGE);
        }
        address.write(value)?;
    }
    Ok(value.len() as u64)
}

fn do_get(call: &Call<'_>, by: By) -> CallResult {
    let name = read_name(call)?;
    let value = with_file(call, by, |view, path| view.xattr(path, &name))?;
    give(&value, call.pointer(2), call.size(3))
}

fn do_set(call: &Call<'_>, by: By) -> CallResult {
    let flags = call.uint(4);
    if flags & !(raw::XATTR_CREATE | raw::XATTR_REPLACE) != 0 {
        return Err(Errno::EINVAL);
    }
    let name = read_name(call)?;
    if call.size(3) > SIZE_MAX {
        return Err(Errno::E2BIG);
    }
    let mut value = vec![0; call.size(3)];
    call.pointer(2).read(&mut value)?;
    let create = flags & raw::XATTR_CREATE != 0;
    let replace = flags & raw::XATTR_REPLACE != 0;
    with_file(call, by, |view, path| {
        view.set_xattr(path, &name, &value, create, replace)
    })?;
    Ok(0)
}

fn do_list(call: &Call<'_>, by: By) -> CallResult {
    let names = with_file(call, by, |view, path| view.xattr_names(path))?;
    let mut list = Vec::new();
    for name in names {
        list.extend_from_slice(&name);
        list.push(0);
    }
    give(&list, call.pointer(1), call.size(2))
}

fn do_remove(call: &Call<'_>, by: By) -> CallResult {
    let name = read_name(call)?;
    with_file(call, by, |view, path| view.remove_xattr(path, &name))?;
    Ok(0)
}

macro_rules! calls {
    ($($function:ident $page:literal = $do_it:ident $by:ident;)*) => {
        $(
            #[doc = concat!($page, "(2).")]
            pub fn $function(call: &mut Call<'_>) -> CallResult {
                $do_it(call, By::$by)
            }
        )*
    };
}

calls! {
    sys_getxattr "getxattr" = do_get Path;
    sys_lgetxattr "lgetxattr" = do_get Link;
    sys_fgetxattr "fgetxattr" = do_get Descriptor;
    sys_setxattr "setxattr" = do_set Path;
    sys_lsetxattr "lsetxattr" = do_set Link;
    sys_fsetxattr "fsetxattr" = do_set Descriptor;
    sys_listxattr "listxattr" = do_list Path;
    sys_llistxattr "llistxattr" = do_list Link;
    sys_flistxattr "flistxattr" = do_list Descriptor;
    sys_removexattr "removexattr" = do_remove Path;
    sys_lremovexattr "lremovexattr" = do_remove Link;
    sys_fremovexattr "fremovexattr" = do_remove Descriptor;
}
