//! Standard streams over the ring.

use crate::client::Client;
use capsid_wire::Operation;
use capsid_wire::layout::{DATA_BYTES, STATE_ACCEPTED, STATE_CANCEL};
use capsid_wire::message::EVENT_STREAM;
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

const POLLIN: u64 = 1;
const POLLOUT: u64 = 4;

fn pipes() -> (OwnedFd, OwnedFd, Client) {
    let (input, their_input) = rustix::pipe::pipe()
        .map(|(read, write)| (write, read))
        .expect("a pipe");
    let (output, their_output) = rustix::pipe::pipe().expect("a pipe");
    let client = Client::start(vec![], [Some(their_input), Some(their_output), None]);
    (input, output, client)
}

#[test]
fn input_is_read_when_there_is_some() {
    let (input, _output, client) = pipes();
    let read = |length: u64| client.call(Operation::ReadInput, &[length], b"");
    assert_eq!(read(10).error, Errno::AGAIN.raw_os_error());
    rustix::io::write(&input, b"hello").expect("written");
    assert_eq!(read(4).data, b"hell");
    assert_eq!(read(u64::MAX).data, b"o");
    drop(input);
    let end = read(10);
    assert_eq!((end.error, end.value), (0, 0));
}

#[test]
fn output_is_taken_as_far_as_it_fits() {
    let (_input, output, client) = pipes();
    let block = vec![7; DATA_BYTES];
    let mut sent = 0;
    loop {
        let reply = client.call(Operation::WriteOutput, &[1, DATA_BYTES as u64], &block);
        if reply.error == Errno::AGAIN.raw_os_error() {
            break;
        }
        assert_eq!(reply.error, 0);
        sent += usize::try_from(reply.value).expect("fits");
    }
    let mut received = 0;
    let mut buffer = vec![0; 4096];
    while received < sent {
        received += rustix::io::read(&output, &mut buffer).expect("read");
    }
    assert_eq!(received, sent);
    let write = |stream: u64| client.call(Operation::WriteOutput, &[stream, 1], b"x");
    assert_eq!(write(1).value, 1);
    assert_eq!(write(0).error, Errno::BADF.raw_os_error());
    assert_eq!(write(2).error, Errno::BADF.raw_os_error());
    drop(output);
    assert_eq!(write(1).error, Errno::PIPE.raw_os_error());
}

#[test]
fn watched_streams_are_announced_once() {
    let (input, output, client) = pipes();
    let poll = |stream: u64, events: u64, watch: u64| {
        client
            .call(Operation::PollStream, &[stream, events, watch], b"")
            .value
    };
    assert_eq!(poll(1, POLLOUT, 1), POLLOUT);
    assert_eq!(poll(0, POLLIN, 1), 0);
    client.submit(5, Operation::WaitEvents as u32, &[], b"", 0);
    std::thread::sleep(Duration::from_millis(20));
    rustix::io::write(&input, b"x").expect("written");
    assert_eq!(client.wait(5).value, EVENT_STREAM);
    assert_eq!(poll(0, POLLIN, 0), POLLIN);
    // A signal is announced too, also when nobody waits yet.
    client.shared.events.announce(1 << 2);
    client.submit(5, Operation::WaitEvents as u32, &[], b"", 0);
    assert_eq!(client.wait(5).value, 1 << 2);
    drop(output);
}

#[test]
fn a_wait_can_be_cancelled_and_there_is_only_one() {
    let (_input, _output, client) = pipes();
    client.submit(5, Operation::WaitEvents as u32, &[], b"", 0);
    let state = &client.memory.slots()[5].state;
    while state.load(Ordering::SeqCst) != STATE_ACCEPTED {
        std::hint::spin_loop();
    }
    assert_eq!(
        client.call(Operation::WaitEvents, &[], b"").error,
        Errno::BUSY.raw_os_error()
    );
    client.memory.slots()[5]
        .state
        .fetch_or(STATE_CANCEL, Ordering::SeqCst);
    client.ring(1 << 5);
    assert_eq!(client.wait(5).error, Errno::INTR.raw_os_error());
}

#[test]
fn pipes_have_no_terminal() {
    let (_input, _output, client) = pipes();
    let reply = client.call(Operation::TerminalAttributes, &[0, 0], &[0; 36]);
    assert_eq!(reply.error, Errno::NOTTY.raw_os_error());
    let reply = client.call(Operation::WindowSize, &[1], b"");
    assert_eq!(reply.error, Errno::NOTTY.raw_os_error());
}
