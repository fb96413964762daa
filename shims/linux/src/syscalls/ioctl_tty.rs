//! Controls of terminals: ioctl_tty(2), and of the masters of pseudo-terminals, pty(7).

use crate::call::{Call, CallResult};
use crate::files::DescriptorFlags;
use crate::terminal::{check_change, release, take_control};
use alloc::format;
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::fs::{LookupFlags, OpenFile, Place, StatusFlags};
use capsid_core::host_events;
use capsid_core::tty::pty::{self, Master};
use capsid_core::tty::{
    Flow, Queues, Terminal, TerminalChange, TerminalSignal, Termios, WindowSize, is_same,
};
use core::any::Any;
use linux_raw_sys::general::O_CLOEXEC;
use linux_raw_sys::ioctl as raw;

/// Arguments of `TCFLSH` and `TCXONC`, termios(3).
const TCIFLUSH: u64 = 0;
const TCOFLUSH: u64 = 1;
const TCIOFLUSH: u64 = 2;
const TCOOFF: u64 = 0;
const TCOON: u64 = 1;
const TCIOFF: u64 = 2;
const TCION: u64 = 3;
/// `struct winsize`, in bytes.
const WINSIZE_BYTES: usize = 8;
/// The one line discipline.
const N_TTY: u32 = 0;

/// Controls a terminal, or the terminal behind a master: `ENOTTY` for anything else.
pub fn control(call: &mut Call<'_>, file: &OpenFile, request: u32) -> CallResult {
    let any: &dyn Any = &*file.file;
    if let Some(master) = any.downcast_ref::<Master>() {
        if let Some(result) = control_master(call, master, request) {
            return result;
        }
        return control_terminal(call, file, &master.terminal(), Side::Master, request);
    }
    let terminal = file.file.terminal().ok_or(Errno::ENOTTY)?;
    if terminal.is_hung_up() {
        return Err(match request {
            raw::TIOCSPGRP => Errno::ENOTTY,
            _ => Errno::EIO,
        });
    }
    control_terminal(call, file, &terminal, Side::Slave, request)
}

/// At which side of a terminal a control was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Master,
    Slave,
}

/// Controls that only a master has; `None` for others.
fn control_master(call: &Call<'_>, master: &Master, request: u32) -> Option<CallResult> {
    let argument = call.pointer(2);
    let put = |value: u32| argument.write_u32(value).map(|()| 0);
    let get = || argument.read_u32();
    Some(match request {
        raw::TIOCGPTN => put(master.pty().number()),
        raw::TIOCSPTLCK => get().map(|value| {
            master.set_locked(value != 0);
            0
        }),
        raw::TIOCGPTLCK => put(master.is_locked().into()),
        raw::TIOCPKT => get().map(|value| {
            master.set_packet_mode(value != 0);
            0
        }),
        raw::TIOCGPKT => put(master.is_packet_mode().into()),
        raw::TIOCGPTPEER => open_peer(call, master),
        raw::TIOCSIG => signal_of(call.raw(2)).map(|signal| {
            master.send_signal(signal);
            0
        }),
        _ => return None,
    })
}

/// The signals that a master may send its foreground group.
fn signal_of(number: u64) -> Result<TerminalSignal, Errno> {
    match number {
        2 => Ok(TerminalSignal::Interrupt),
        3 => Ok(TerminalSignal::Quit),
        20 => Ok(TerminalSignal::Suspend),
        _ => Err(Errno::EINVAL),
    }
}

fn open_peer(call: &Call<'_>, master: &Master) -> CallResult {
    let flags = call.uint(2);
    let slave = master.open_slave()?;
    let known = StatusFlags::READ_WRITE | StatusFlags::WRITE_ONLY | StatusFlags::NONBLOCK;
    let status = StatusFlags::from_bits_truncate(flags) & known;
    let name = format!("/dev/pts/{}", master.pty().number());
    let place = call.with_view(|view, places| {
        let place = Place::new(&places.root, name.as_bytes());
        view.resolve(place, LookupFlags::FOLLOW)
    });
    let open = match place {
        Ok(path) => OpenFile::at(slave, status, path),
        // It works without a name, too.
        Err(_) => OpenFile::new(slave, status),
    };
    let mut descriptor_flags = DescriptorFlags::empty();
    descriptor_flags.set(DescriptorFlags::CLOSE_ON_EXEC, flags & O_CLOEXEC != 0);
    call.install(open, descriptor_flags)
}

fn control_terminal(
    call: &Call<'_>,
    file: &OpenFile,
    terminal: &Arc<dyn Terminal>,
    side: Side,
    request: u32,
) -> CallResult {
    let argument = call.pointer(2);
    match request {
        raw::TCGETS => argument.write(&terminal.attributes()?.to_bytes())?,
        raw::TCGETS2 => argument.write(&terminal.attributes()?.to_bytes2())?,
        raw::TCGETA => argument.write(&terminal.attributes()?.to_old_bytes())?,
        raw::TCSETS | raw::TCSETSW | raw::TCSETSF => {
            let new = Termios::from_bytes(&argument.read_array()?);
            let when = change_of(request - raw::TCSETS);
            set_attributes(call, terminal, when, &new)?;
        }
        raw::TCSETS2 | raw::TCSETSW2 | raw::TCSETSF2 => {
            let new = Termios::from_bytes2(&argument.read_array()?);
            let when = change_of(request - raw::TCSETS2);
            set_attributes(call, terminal, when, &new)?;
        }
        raw::TCSETA | raw::TCSETAW | raw::TCSETAF => {
            let new = terminal
                .attributes()?
                .with_old_bytes(&argument.read_array()?);
            let when = change_of(request - raw::TCSETA);
            set_attributes(call, terminal, when, &new)?;
        }
        raw::TIOCGWINSZ => argument.write(&encode_size(terminal.window_size()?))?,
        raw::TIOCSWINSZ => terminal.set_window_size(decode_size(&argument.read_array()?))?,
        // What was written has arrived, and there is no line to break.
        raw::TCSBRK | raw::TCSBRKP | raw::TIOCSBRK | raw::TIOCCBRK => {
            check_change(call, terminal)?;
        }
        raw::TCXONC => flow(call, terminal)?,
        raw::TCFLSH => flush(call, terminal, side)?,
        // Typing for others is how programs escape through a terminal they share: as Linux since
        // 6.2, with `dev.tty.legacy_tiocsti` off.
        raw::TIOCSTI => return Err(Errno::EIO),
        raw::TIOCGETD => argument.write_u32(N_TTY)?,
        raw::TIOCSETD if argument.read_u32()? == N_TTY => {}
        raw::TIOCSETD => return Err(Errno::EINVAL),
        raw::TIOCGDEV => {
            let device = terminal.device();
            argument.write_u32(device.major << 8 | device.minor)?;
        }
        raw::TIOCEXCL | raw::TIOCNXCL | raw::TIOCGEXCL => exclusive(call, terminal, request)?,
        _ => return control_jobs(call, file, terminal, side, request),
    }
    Ok(0)
}

fn change_of(place: u32) -> TerminalChange {
    match place {
        0 => TerminalChange::Now,
        1 => TerminalChange::Drain,
        _ => TerminalChange::Flush,
    }
}

fn set_attributes(
    call: &Call<'_>,
    terminal: &Arc<dyn Terminal>,
    when: TerminalChange,
    new: &Termios,
) -> Result<(), Errno> {
    check_change(call, terminal)?;
    terminal.set_attributes(when, new)
}

fn encode_size(size: WindowSize) -> [u8; WINSIZE_BYTES] {
    let words = [size.rows, size.columns, size.x_pixels, size.y_pixels];
    let mut bytes = [0; WINSIZE_BYTES];
    for (chunk, word) in bytes.chunks_exact_mut(2).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn decode_size(bytes: &[u8; WINSIZE_BYTES]) -> WindowSize {
    let [rows, columns, x_pixels, y_pixels] =
        [0, 2, 4, 6].map(|at| u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    WindowSize {
        rows,
        columns,
        x_pixels,
        y_pixels,
    }
}

fn flow(call: &Call<'_>, terminal: &Arc<dyn Terminal>) -> Result<(), Errno> {
    check_change(call, terminal)?;
    match call.raw(2) {
        TCOOFF => terminal.set_output_flow(Flow::Stop),
        TCOON => terminal.set_output_flow(Flow::Start),
        TCIOFF => terminal.send_flow_key(Flow::Stop),
        TCION => terminal.send_flow_key(Flow::Start),
        _ => Err(Errno::EINVAL),
    }
}

fn flush(call: &Call<'_>, terminal: &Arc<dyn Terminal>, side: Side) -> Result<(), Errno> {
    check_change(call, terminal)?;
    let queues = match call.raw(2) {
        TCIFLUSH => Queues::INPUT,
        TCOFLUSH => Queues::OUTPUT,
        TCIOFLUSH => Queues::all(),
        _ => return Err(Errno::EINVAL),
    };
    // What the master reads is what the slave wrote.
    terminal.flush(match side {
        Side::Slave => queues,
        Side::Master if queues == Queues::INPUT => Queues::OUTPUT,
        Side::Master if queues == Queues::OUTPUT => Queues::INPUT,
        Side::Master => queues,
    })
}

fn exclusive(call: &Call<'_>, terminal: &Arc<dyn Terminal>, request: u32) -> Result<(), Errno> {
    let Some(pty) = pty::find(terminal.device().minor) else {
        return Ok(());
    };
    match request {
        raw::TIOCGEXCL => call.pointer(2).write_u32(pty.is_exclusive().into())?,
        _ => pty.set_exclusive(request == raw::TIOCEXCL),
    }
    Ok(())
}

/// Controls that concern sessions and process groups.
fn control_jobs(
    call: &Call<'_>,
    file: &OpenFile,
    terminal: &Arc<dyn Terminal>,
    side: Side,
    request: u32,
) -> CallResult {
    let argument = call.pointer(2);
    let is_own = || {
        let own = call.process().terminal();
        own.is_some_and(|own| is_same(&own, terminal))
    };
    let readable = side == Side::Master || is_own();
    match request {
        raw::TIOCSCTTY if side == Side::Slave => {
            take_control(call, file, terminal, call.raw(2) == 1)?;
        }
        raw::TIOCNOTTY if side == Side::Slave => release(call, terminal)?,
        raw::TIOCGPGRP if readable => argument.write_u32(terminal.jobs().foreground())?,
        raw::TIOCGSID if readable => match terminal.jobs().session() {
            0 => return Err(Errno::ENOTTY),
            session => argument.write_u32(session)?,
        },
        raw::TIOCSPGRP => {
            check_change(call, terminal).map_err(|error| match error {
                Errno::EIO => Errno::ENOTTY,
                error => error,
            })?;
            let group = argument.read_u32()?;
            if !is_own() || terminal.jobs().session() != call.process().session_id() {
                return Err(Errno::ENOTTY);
            }
            set_foreground(call, terminal, group)?;
        }
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}

fn set_foreground(call: &Call<'_>, terminal: &Arc<dyn Terminal>, group: u32) -> Result<(), Errno> {
    if group.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    let tree = call.kernel().tree.lock();
    let mut members = tree
        .nodes()
        .filter(|node| node.process.group_id() == group)
        .peekable();
    if members.peek().is_none() {
        return Err(Errno::ESRCH);
    }
    let session = call.process().session_id();
    if !members.any(|node| node.process.session_id() == session) {
        return Err(Errno::EPERM);
    }
    drop(members);
    drop(tree);
    terminal.jobs().set_foreground(group);
    // From now on keys are for whoever is in the foreground, not for capsid.
    host_events::listen();
    Ok(())
}
