//! Device controls: ioctl(2), ioctl_tty(2), ioctl_fionread(2).

use crate::call::{Call, CallResult};
use crate::files::{DescriptorFlags, change_async};
use capsid_core::Errno;
use capsid_core::fs::stdio::{StandardStream, TerminalChange};
use capsid_core::fs::{OpenFile, StatusFlags};
use core::any::Any;
use core::sync::atomic::{AtomicU32, Ordering};
use linux_raw_sys::ioctl as raw;

// Requests that the generated list lacks.
const FIOCLEX: u32 = 0x5451;
const FIONCLEX: u32 = 0x5450;

/// The terminal's foreground process group; 0 before anybody set it.
static FOREGROUND: AtomicU32 = AtomicU32::new(0);

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
        raw::TIOCOUTQ if terminal_of(&file).is_none() => {
            argument.write_u32(clamp(file.file.bytes_unsent()?))?;
            Ok(0)
        }
        raw::FICLONE | raw::FICLONERANGE => Err(Errno::EOPNOTSUPP),
        request => {
            let terminal = terminal_of(&file).ok_or(Errno::ENOTTY)?;
            terminal_control(call, terminal, request)
        }
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

fn terminal_of(file: &OpenFile) -> Option<StandardStream> {
    let stream = (&*file.file as &dyn Any).downcast_ref::<StandardStream>()?;
    stream.is_terminal().then_some(*stream)
}

fn terminal_control(call: &Call<'_>, terminal: StandardStream, request: u32) -> CallResult {
    let argument = call.pointer(2);
    match request {
        raw::TCGETS => argument.write(&terminal.terminal_attributes()?)?,
        raw::TCSETS | raw::TCSETSW | raw::TCSETSF => {
            let when = match request {
                raw::TCSETS => TerminalChange::Now,
                raw::TCSETSW => TerminalChange::Drain,
                _ => TerminalChange::Flush,
            };
            terminal.set_terminal_attributes(when, &argument.read_array()?)?;
        }
        raw::TIOCGWINSZ => {
            let (rows, columns) = terminal.window_size()?;
            let mut size = [0; 8];
            size[..2].copy_from_slice(&rows.to_le_bytes());
            size[2..4].copy_from_slice(&columns.to_le_bytes());
            argument.write(&size)?;
        }
        // The size is the host terminal's, and flow control its own affair.
        raw::TIOCSWINSZ | raw::TCSBRK | raw::TCSBRKP | raw::TCXONC | raw::TCFLSH => {}
        raw::TIOCSCTTY | raw::TIOCNOTTY => {}
        raw::TIOCGPGRP => {
            let group = match FOREGROUND.load(Ordering::Relaxed) {
                0 => call.process().group_id(),
                group => group,
            };
            argument.write_u32(group)?;
        }
        raw::TIOCSPGRP => {
            let group = argument.read_u32()?;
            if group.cast_signed() <= 0 {
                return Err(Errno::EINVAL);
            }
            FOREGROUND.store(group, Ordering::Relaxed);
        }
        raw::TIOCGSID => argument.write_u32(call.process().session_id())?,
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}

/// The terminal's foreground process group, if a shell set one.
#[must_use]
pub fn foreground_group() -> Option<u32> {
    Some(FOREGROUND.load(Ordering::Relaxed)).filter(|&group| group != 0)
}
