//! Making pipes: pipe(2), pipe2(2).

use crate::call::{Call, CallResult};
use crate::files::DescriptorFlags;
use capsid_core::Errno;
use capsid_core::fs::{OpenFile, StatusFlags};
use capsid_core::ipc::pipe;
use linux_raw_sys::general as raw;

/// pipe(2).
pub fn sys_pipe(call: &mut Call<'_>) -> CallResult {
    do_pipe(call, 0)
}

/// pipe2(2).
pub fn sys_pipe2(call: &mut Call<'_>) -> CallResult {
    do_pipe(call, call.uint(1))
}

fn do_pipe(call: &Call<'_>, flags: u32) -> CallResult {
    if flags & !(raw::O_CLOEXEC | raw::O_NONBLOCK | raw::O_DIRECT) != 0 {
        return Err(Errno::EINVAL);
    }
    let (reader, writer) = pipe::pair(call.new_owner());
    let status = StatusFlags::from_bits_truncate(flags & raw::O_NONBLOCK);
    let reader = OpenFile::new(alloc::sync::Arc::new(reader), status);
    let writer = OpenFile::new(
        alloc::sync::Arc::new(writer),
        status | StatusFlags::from_bits_truncate(flags & raw::O_DIRECT) | StatusFlags::WRITE_ONLY,
    );
    install_pair(call, [reader, writer], flags, call.pointer(0))
}

/// Gives two descriptions descriptors and tells the guest, or does neither.
pub fn install_pair(
    call: &Call<'_>,
    [first, second]: [OpenFile; 2],
    flags: u32,
    address: capsid_platform::GuestAddr,
) -> CallResult {
    let mut descriptor_flags = DescriptorFlags::empty();
    descriptor_flags.set(DescriptorFlags::CLOSE_ON_EXEC, flags & raw::O_CLOEXEC != 0);
    let close = |fd: u64| {
        let fd = i32::try_from(fd).map_err(|_| Errno::EBADF);
        let files = call.thread.files();
        if let Ok(descriptor) = fd.and_then(|fd| files.remove(fd)) {
            files.close(descriptor);
        }
    };
    let one = call.install(first, descriptor_flags)?;
    let two = match call.install(second, descriptor_flags) {
        Ok(two) => two,
        Err(error) => {
            close(one);
            return Err(error);
        }
    };
    // Two little-endian ints.
    if let Err(error) = address.write_u64(one | two << 32) {
        close(one);
        close(two);
        return Err(error);
    }
    Ok(0)
}
