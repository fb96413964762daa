//! Terminals over the ring.

use crate::client::Client;
use capsid_wire::Operation;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{SpecialCodeIndex, Winsize, tcgetattr, tcsetwinsize};
use std::os::fd::OwnedFd;

const POLLIN: u64 = 1;
/// Where the kernel's `struct termios` has its flags of local modes, and `VMIN`.
const LOCAL_MODES: usize = 12;
const MINIMUM: usize = 17 + 6;

/// A terminal, and a client whose stream `place` it is.
fn terminal(place: usize) -> (OwnedFd, OwnedFd, Client) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a master");
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let name = ptsname(&master, Vec::new()).expect("a name");
    let slave = |flags| {
        open(
            &name,
            flags | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .expect("open")
    };
    let mut streams = [None, None, None];
    streams[place] = Some(slave(OFlags::RDWR));
    let client = Client::start(vec![], streams);
    (master, slave(OFlags::RDWR), client)
}

fn read_all(master: &OwnedFd, wanted: &[u8]) {
    let mut got = Vec::new();
    let mut buffer = [0; 64];
    while got.len() < wanted.len() {
        let count = rustix::io::read(master, &mut buffer).expect("read");
        got.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(got, wanted);
}

#[test]
fn any_stream_that_is_a_terminal_reads_and_writes() {
    for place in 0..3 {
        let (master, _slave, client) = terminal(place);
        let place = place as u64;
        let read = |stream: u64| client.call(Operation::ReadInput, &[100, stream], b"");
        assert_eq!(read(place).error, Errno::AGAIN.raw_os_error());
        let write = client.call(Operation::WriteOutput, &[place, 3], b"abc");
        assert_eq!((write.error, write.value), (0, 3));
        read_all(&master, b"abc");
        rustix::io::write(&master, b"line\n").expect("typed");
        let poll = |events: u64| client.call(Operation::PollStream, &[place, events], b"");
        while poll(POLLIN).value == 0 {
            std::thread::yield_now();
        }
        assert_eq!(read(place).data, b"line\n");
        for other in [3, u64::MAX] {
            assert_eq!(read(other).error, Errno::BADF.raw_os_error());
        }
    }
}

#[test]
fn no_read_waits_whatever_the_attributes() {
    let (master, slave, client) = terminal(0);
    let attributes =
        |action: u64, data: &[u8]| client.call(Operation::TerminalAttributes, &[0, action], data);
    let mut termios = attributes(0, b"").data;
    assert_eq!(termios.len(), 36);
    termios[LOCAL_MODES] = 0;
    termios[MINIMUM] = 200;
    assert_eq!(attributes(1, &termios).error, 0);
    let host = tcgetattr(&slave).expect("attributes");
    assert_eq!(host.special_codes[SpecialCodeIndex::VMIN], 1);
    assert_eq!(host.special_codes[SpecialCodeIndex::VTIME], 0);
    // Somebody else takes what was typed between the look and the read.
    let read = || client.call(Operation::ReadInput, &[100, 0], b"");
    assert_eq!(read().error, Errno::AGAIN.raw_os_error());
    rustix::io::write(&master, b"x").expect("typed");
    let mut byte = [0; 1];
    assert_eq!(rustix::io::read(&slave, &mut byte), Ok(1));
    assert_eq!(read().error, Errno::AGAIN.raw_os_error());
    for (action, data) in [(1, &termios[..35]), (9, &termios[..]), (u64::MAX, &termios)] {
        assert_eq!(attributes(action, data).error, Errno::INVAL.raw_os_error());
    }
}

#[test]
fn attributes_are_put_back_at_the_end() {
    let (_master, slave, client) = terminal(0);
    let before = tcgetattr(&slave).expect("attributes");
    let mut termios = client
        .call(Operation::TerminalAttributes, &[0, 0], b"")
        .data;
    // All modes off, and other keys.
    termios[..8].fill(0);
    termios[LOCAL_MODES..16].fill(0);
    termios[17..19].fill(b'x');
    (termios[MINIMUM], termios[MINIMUM - 1]) = (1, 0);
    let set = client.call(Operation::TerminalAttributes, &[0, 3], &termios);
    assert_eq!(set.error, 0);
    let again = client.call(Operation::TerminalAttributes, &[0, 0], b"");
    assert_eq!(again.data, termios);
    let during = tcgetattr(&slave).expect("attributes");
    assert_ne!(during.local_modes, before.local_modes);
    drop(client);
    let after = tcgetattr(&slave).expect("attributes");
    assert_eq!(after.local_modes, before.local_modes);
    assert_eq!(after.input_modes, before.input_modes);
    assert_eq!(after.output_modes, before.output_modes);
}

#[test]
fn the_window_has_a_size_and_stopping_needs_job_control() {
    let (master, _slave, client) = terminal(1);
    let size = Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 640,
        ws_ypixel: 480,
    };
    tcsetwinsize(&master, size).expect("set");
    let reply = client.call(Operation::WindowSize, &[1], b"");
    assert_eq!(reply.value, 24 | 80 << 16 | 640 << 32 | 480 << 48);
    let missing = client.call(Operation::WindowSize, &[0], b"");
    assert_eq!(missing.error, Errno::BADF.raw_os_error());
    let stopped = client.call(Operation::Stopped, &[20], b"");
    assert_eq!(stopped.error, Errno::PERM.raw_os_error());
    assert!(!client.shared.outcome.take_stop());
}
