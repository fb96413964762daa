//! Files in memory: memfd_create(2).

use crate::call::{Call, CallResult};
use crate::files::{DescriptorFlags, PathArgument};
use capsid_core::Errno;
use capsid_core::fs::memfd::{self, Seals};
use linux_raw_sys::general as raw;

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 249;

/// memfd_create(2).
pub fn sys_memfd_create(call: &mut Call<'_>) -> CallResult {
    let flags = call.uint(1);
    let known = raw::MFD_CLOEXEC | raw::MFD_ALLOW_SEALING | raw::MFD_NOEXEC_SEAL | raw::MFD_EXEC;
    let both = raw::MFD_NOEXEC_SEAL | raw::MFD_EXEC;
    if flags & !known != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let name = match PathArgument::read(call.pointer(0)) {
        Err(Errno::ENAMETOOLONG) => return Err(Errno::EINVAL),
        name => name?,
    };
    if name.len() > NAME_BYTES_MAX {
        return Err(Errno::EINVAL);
    }
    let label = [b"/memfd:", &*name, b" (deleted)"].concat();
    let (permissions, seals) = if flags & raw::MFD_NOEXEC_SEAL != 0 {
        (0o666, Seals::EXECUTE)
    } else if flags & raw::MFD_ALLOW_SEALING != 0 {
        (0o777, Seals::empty())
    } else {
        (0o777, Seals::SEAL)
    };
    let file = memfd::create(&label, permissions, call.new_owner(), seals)?;
    let mut descriptor_flags = DescriptorFlags::empty();
    descriptor_flags.set(
        DescriptorFlags::CLOSE_ON_EXEC,
        flags & raw::MFD_CLOEXEC != 0,
    );
    call.install(file, descriptor_flags)
}
