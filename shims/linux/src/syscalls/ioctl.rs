//! Controls that every descriptor has: ioctl(2), ioctl_fionread(2). Those of terminals are in
//! [`super::ioctl_tty`].

use super::ioctl_tty;
use crate::call::{Call, CallResult};
use crate::files::{DescriptorFlags, change_async};
use capsid_core::Errno;
use capsid_core::fs::{OpenFile, StatusFlags};
use linux_raw_sys::ioctl as raw;

// Requests that the generated list lacks.
const FIOCLEX: u32 = 0x5451;
const FIONCLEX: u32 = 0x5450;

/// ioctl(2).
pub fn sys_ioctl(call: &mut Call<'_>) -> CallResult {
    let fd = call.int(0);
    let file = call.usable_file(0)?;
    let argument = call.pointer(2);
    match call.uint(1) {
        FIOCLEX => set_close_on_exec(call, fd, DescriptorFlags::CLOSE_ON_EXEC),
        FIONCLEX => set_close_on_exec(call, fd, DescriptorFlags::empty()),
        raw::FIONBIO => set_status(&file, StatusFlags::NONBLOCK, argument.read_u32()? != 0),
        raw::FIOASYNC => {
            let on = argument.read_u32()? != 0;
            change_async(&file, call.kernel(), fd, on)?;
            set_status(&file, StatusFlags::ASYNC, on)
        }
        raw::FIONREAD => {
            argument.write_u32(clamp(bytes_ready(&file)?))?;
            Ok(0)
        }
        raw::TIOCOUTQ => {
            argument.write_u32(clamp(file.file.bytes_unsent()?))?;
            Ok(0)
        }
        raw::FICLONE | raw::FICLONERANGE => Err(Errno::EOPNOTSUPP),
        request => ioctl_tty::control(call, &file, request),
    }
}

fn clamp(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(i32::MAX.cast_unsigned())
}

fn set_close_on_exec(call: &Call<'_>, fd: i32, flags: DescriptorFlags) -> CallResult {
    call.thread.files().set_flags(fd, flags)?;
    Ok(0)
}

fn set_status(file: &OpenFile, flag: StatusFlags, on: bool) -> CallResult {
    let mut flags = file.flags();
    flags.set(flag, on);
    file.set_flags(flags);
    Ok(0)
}

/// For regular files what lies behind the position, else what the object says.
fn bytes_ready(file: &OpenFile) -> Result<usize, Errno> {
    let metadata = file.file.metadata()?;
    if metadata.kind == capsid_core::fs::FileKind::Regular {
        let position = *file.position.lock();
        let left = metadata.size.saturating_sub(position);
        return Ok(usize::try_from(left).unwrap_or(usize::MAX));
    }
    file.file.bytes_ready()
}
