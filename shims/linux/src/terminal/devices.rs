//! The device nodes of terminals: `/dev/tty`, `/dev/console`, `/dev/ptmx`, `/dev/pts/N`.

use crate::kernel::Kernel;
use crate::procfs::calling_thread;
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::fs::special::{DeviceDriver, register_driver};
use capsid_core::fs::{DeviceId, File, Inode, Owner, StatusFlags};
use capsid_core::tty::host::{self, HostTerminalFile};
use capsid_core::tty::pty::{self, Slave};
use capsid_core::tty::{ALTERNATE_MAJOR, SLAVE_MAJOR, Terminal};

/// Minor numbers of major 5.
const TTY: u32 = 0;
const CONSOLE: u32 = 1;
const PTMX: u32 = 2;
/// The group that Debian calls `tty`: it owns the terminals in `/dev/pts`.
const TERMINAL_GROUP: u32 = 5;

/// Makes the nodes open what they stand for.
pub fn register_drivers() {
    register_driver(ALTERNATE_MAJOR, &Alternates);
    register_driver(SLAVE_MAJOR, &Slaves);
}

/// Drives major 136.
struct Slaves;

impl DeviceDriver for Slaves {
    fn open(
        &self,
        device: DeviceId,
        inode: &Arc<dyn Inode>,
        _flags: StatusFlags,
    ) -> Result<Arc<dyn File>, Errno> {
        open_numbered(device.minor, inode)
    }
}

fn open_numbered(number: u32, inode: &Arc<dyn Inode>) -> Result<Arc<dyn File>, Errno> {
    if host::is_number(number) {
        return Ok(Arc::new(HostTerminalFile::open(inode)?));
    }
    let pty = pty::find(number).ok_or(Errno::EIO)?;
    Ok(Slave::open(&pty, inode)?)
}

/// Opens a terminal again, through another node.
pub fn open_terminal_of(
    terminal: &Arc<dyn Terminal>,
    inode: &Arc<dyn Inode>,
) -> Result<Arc<dyn File>, Errno> {
    if terminal.is_hung_up() {
        return Err(Errno::EIO);
    }
    open_numbered(terminal.device().minor, inode)
}

/// Drives major 5.
struct Alternates;

impl DeviceDriver for Alternates {
    fn open(
        &self,
        device: DeviceId,
        inode: &Arc<dyn Inode>,
        _flags: StatusFlags,
    ) -> Result<Arc<dyn File>, Errno> {
        match device.minor {
            TTY => {
                let caller = calling_thread(&*kernel()?).ok_or(Errno::ENXIO)?;
                let terminal = caller.process.terminal().ok_or(Errno::ENXIO)?;
                open_terminal_of(&terminal, inode)
            }
            CONSOLE => Ok(Arc::new(HostTerminalFile::open(inode)?)),
            PTMX => {
                let caller = calling_thread(&*kernel()?).ok_or(Errno::ENXIO)?;
                let owner = Owner {
                    user: caller.credentials().user.file_system,
                    group: TERMINAL_GROUP,
                };
                Ok(pty::open_master(inode, owner)?)
            }
            _ => Err(Errno::ENXIO),
        }
    }
}

/// Drivers are not told who opens.
fn kernel() -> Result<Arc<Kernel>, Errno> {
    crate::boot::kernel().ok_or(Errno::ENXIO)
}
