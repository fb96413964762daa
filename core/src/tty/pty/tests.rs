//! Pairs of master and slave.

use super::{Master, PacketStatus, Slave, open_master};
use crate::fs::{File, FileKind, FileSystem, Owner, WriteAt};
use crate::io::{Destination, Source};
use crate::tty::devpts::Devpts;
use crate::tty::{Queues, TerminalChange, WindowSize};
use crate::wait::Events;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use capsid_platform::Errno;
use core::ops::ControlFlow;

fn master() -> Arc<Master> {
    crate::test_platform::install();
    let inode = Devpts.root().lookup(b"ptmx").unwrap();
    open_master(&inode, Owner::default()).unwrap()
}

fn pair() -> (Arc<Master>, Arc<Slave>) {
    let master = master();
    master.set_locked(false);
    let slave = master.open_slave().unwrap();
    (master, slave)
}

fn read(file: &dyn File) -> Result<String, Errno> {
    let mut bytes = vec![0; 100];
    let count = file.read(0, &mut Destination::kernel(&mut bytes))?;
    Ok(String::from_utf8_lossy(&bytes[..count]).into_owned())
}

fn write(file: &dyn File, bytes: &[u8]) -> Result<usize, Errno> {
    let at = WriteAt::Offset(0);
    file.write(at, &mut Source::kernel(bytes)).map(|(n, _)| n)
}

fn ok(text: &str) -> Result<String, Errno> {
    Ok(text.into())
}

#[test]
fn bytes_go_both_ways() {
    let (master, slave) = pair();
    assert_eq!(read(&*master), Err(Errno::EAGAIN));
    assert_eq!(write(&*master, b"hi\r"), Ok(3));
    assert_eq!(read(&*slave), ok("hi\n"));
    assert_eq!(write(&*slave, b"there\n"), Ok(6));
    assert_eq!(read(&*master), ok("hi\r\nthere\r\n"));
    assert_eq!(slave.readiness(), Events::WRITABLE);
    assert_eq!(master.readiness(), Events::WRITABLE);
}

#[test]
fn each_end_hears_of_the_others_end() {
    let (master, slave) = pair();
    write(&*slave, b"last words").unwrap();
    drop(slave);
    assert_eq!(read(&*master), ok("last words"));
    assert_eq!(read(&*master), Err(Errno::EIO));
    assert!(master.readiness().contains(Events::HUP));
    let slave = master.open_slave().unwrap();
    assert_eq!(read(&*master), Err(Errno::EAGAIN));
    let number = master.pty().number();
    drop(master);
    assert_eq!(read(&*slave), ok(""));
    assert_eq!(write(&*slave, b"x"), Err(Errno::EIO));
    assert!(slave.readiness().contains(Events::HUP | Events::ERR));
    assert!(super::find(number).is_none());
}

#[test]
fn slaves_open_once_unlocked() {
    let master = master();
    assert_eq!(master.open_slave().unwrap_err(), Errno::EIO);
    assert!(master.is_locked());
    // Before a slave was there, none has left.
    assert_eq!(read(&*master), Err(Errno::EAGAIN));
    master.set_locked(false);
    assert!(master.open_slave().is_ok());
}

#[test]
fn raw_input_waits_beyond_the_line() {
    let (master, slave) = pair();
    let mut termios = slave.terminal().unwrap().attributes().unwrap();
    termios.local = crate::tty::termios::LocalModes::empty();
    termios.input = crate::tty::termios::InputModes::empty();
    let change = TerminalChange::Now;
    let terminal = slave.terminal().unwrap();
    terminal.set_attributes(change, &termios).unwrap();
    let sent: Vec<u8> = (0..20_000u32).map(|n| n.to_le_bytes()[0]).collect();
    assert_eq!(write(&*master, &sent), Ok(sent.len()));
    let mut got: Vec<u8> = Vec::new();
    while got.len() < sent.len() {
        let mut bytes = vec![0; 3000];
        let count = slave.read(0, &mut Destination::kernel(&mut bytes)).unwrap();
        got.extend(&bytes[..count]);
    }
    assert!(got == sent);
    // And then there is an end to it.
    let mut total = 0;
    while let Ok(count) = write(&*master, &[0; 4096]) {
        total += count;
        assert!(total < 1 << 20);
    }
    assert!(!master.readiness().contains(Events::OUT));
    terminal.flush(Queues::INPUT).unwrap();
    assert!(master.readiness().contains(Events::OUT));
    assert_eq!(read(&*slave), Err(Errno::EAGAIN));
}

#[test]
fn packet_mode_tells_of_flow() {
    let (master, slave) = pair();
    master.set_packet_mode(true);
    write(&*slave, b"x").unwrap();
    assert_eq!(read(&*master), ok("\0x"));
    write(&*master, b"\x13").unwrap();
    assert!(master.readiness().contains(Events::PRI));
    let status = |status: PacketStatus| ok(&String::from(char::from(status.bits())));
    assert_eq!(read(&*master), status(PacketStatus::STOP));
    assert_eq!(write(&*slave, b"y"), Err(Errno::EAGAIN));
    write(&*master, b"\x11").unwrap();
    assert_eq!(read(&*master), status(PacketStatus::START));
    slave.terminal().unwrap().flush(Queues::OUTPUT).unwrap();
    assert_eq!(read(&*master), status(PacketStatus::FLUSH_WRITE));
    assert_eq!(read(&*master), Err(Errno::EAGAIN));
}

#[test]
fn nodes_come_and_go_with_masters() {
    let (master, slave) = pair();
    let name = alloc::format!("{}", master.pty().number());
    let root = Devpts.root();
    let mut names = Vec::new();
    let mut emit = |entry: crate::fs::DirectoryEntry<'_>| {
        names.push(entry.name.to_vec());
        ControlFlow::Continue(())
    };
    root.read_directory(0, &mut emit).unwrap();
    assert!(names.contains(&b"ptmx".to_vec()) && names.contains(&name.clone().into_bytes()));
    let node = root.lookup(name.as_bytes()).unwrap();
    let metadata = node.metadata().unwrap();
    assert_eq!(metadata.kind, FileKind::CharacterDevice);
    assert_eq!(metadata.special_device.minor, master.pty().number());
    assert!(node.is_same(&*slave.inode().unwrap()));
    let size = WindowSize {
        rows: 24,
        columns: 80,
        ..WindowSize::default()
    };
    master.terminal().set_window_size(size).unwrap();
    assert_eq!(slave.terminal().unwrap().window_size(), Ok(size));
    drop(master);
    assert_eq!(root.lookup(name.as_bytes()).unwrap_err(), Errno::ENOENT);
    for wrong in [&b"01"[..], b"x", b"", b"99999999999"] {
        assert_eq!(root.lookup(wrong).unwrap_err(), Errno::ENOENT);
    }
}
