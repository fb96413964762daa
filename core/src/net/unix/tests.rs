//! Unix sockets without a guest.

extern crate std;

use super::{Name, Outgoing, ReceiveFlags, Received, Rights, UnixSocket, find_abstract};
use crate::fs::{File, OpenFile, Owner, StatusFlags};
use crate::io::{Destination, Source};
use crate::ipc::{EventCounter, EventMode};
use crate::net::{Shutdown, SocketCredentials, SocketKind};
use crate::test_platform::install;
use crate::wait::Events;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use capsid_platform::Errno;

const ME: SocketCredentials = SocketCredentials {
    process: 7,
    user: 1000,
    group: 100,
};

fn pair(kind: SocketKind) -> [Arc<UnixSocket>; 2] {
    install();
    UnixSocket::pair(kind, Owner::default(), ME)
}

fn socket(kind: SocketKind) -> Arc<UnixSocket> {
    install();
    UnixSocket::new(kind, Owner::default())
}

fn send(socket: &UnixSocket, bytes: &[u8]) -> Result<usize, Errno> {
    socket.send(&mut Source::kernel(bytes), &mut Outgoing::default(), None)
}

fn receive(socket: &UnixSocket, room: usize) -> Result<(Vec<u8>, Received), Errno> {
    let mut bytes = vec![0; room];
    let mut destination = Destination::kernel(&mut bytes);
    let received = socket.receive(&mut destination, ReceiveFlags::empty())?;
    bytes.truncate(received.bytes);
    Ok((bytes, received))
}

fn bytes(result: Result<(Vec<u8>, Received), Errno>) -> Result<Vec<u8>, Errno> {
    result.map(|(bytes, _)| bytes)
}

fn description(file: impl File) -> Arc<OpenFile> {
    Arc::new(OpenFile::new(Arc::new(file), StatusFlags::READ_WRITE))
}

fn open(socket: &Arc<UnixSocket>) -> Arc<OpenFile> {
    Arc::new(OpenFile::new(socket.clone(), StatusFlags::READ_WRITE))
}

#[test]
fn streams_run_together_and_end() {
    let [one, two] = pair(SocketKind::Stream);
    assert_eq!(bytes(receive(&two, 9)), Err(Errno::EAGAIN));
    assert_eq!(send(&one, b"cap"), Ok(3));
    assert_eq!(send(&one, b"sid"), Ok(3));
    assert_eq!(bytes(receive(&two, 4)), Ok(b"caps".to_vec()));
    one.shut_down(Shutdown::SEND);
    assert_eq!(send(&one, b"x"), Err(Errno::EPIPE));
    assert!(two.readiness().contains(Events::RDHUP));
    assert_eq!(bytes(receive(&two, 4)), Ok(b"id".to_vec()));
    assert_eq!(bytes(receive(&two, 4)), Ok(vec![]));
    assert_eq!(send(&two, b"back"), Ok(4));
    assert_eq!(bytes(receive(&one, 9)), Ok(b"back".to_vec()));
}

#[test]
fn closing_with_unread_bytes_resets() {
    let [one, two] = pair(SocketKind::Stream);
    let (file, other) = (open(&one), open(&two));
    send(&two, b"never read").unwrap();
    drop(file);
    assert!(two.readiness().contains(Events::HUP | Events::ERR));
    assert_eq!(bytes(receive(&two, 1)), Err(Errno::ECONNRESET));
    assert_eq!(bytes(receive(&two, 1)), Ok(vec![]));
    assert_eq!(send(&two, b"x"), Err(Errno::EPIPE));
    drop(other);
    assert_eq!(
        Arc::strong_count(&one),
        1,
        "closed sockets let go of each other"
    );
}

#[test]
fn a_full_stream_blocks_until_much_of_it_is_read() {
    let [one, two] = pair(SocketKind::Stream);
    let room = one.options.send_bytes();
    let filler = vec![1; room + 1];
    assert_eq!(send(&one, &filler), Ok(room));
    assert_eq!(send(&one, b"x"), Err(Errno::EAGAIN));
    assert!(!one.readiness().contains(Events::OUT));
    receive(&two, room - 100).unwrap();
    assert!(one.readiness().contains(Events::OUT));
}

#[test]
fn messages_keep_their_bounds() {
    for kind in [SocketKind::Datagram, SocketKind::SequencedPacket] {
        let [one, two] = pair(kind);
        send(&one, b"first").unwrap();
        send(&one, b"").unwrap();
        send(&one, b"third").unwrap();
        let (got, received) = receive(&two, 3).unwrap();
        assert_eq!((&*got, received.full_bytes), (&b"fir"[..], 5));
        assert_eq!(bytes(receive(&two, 9)), Ok(vec![]));
        assert_eq!(bytes(receive(&two, 9)), Ok(b"third".to_vec()));
        assert_eq!(bytes(receive(&two, 9)), Err(Errno::EAGAIN));
        let huge = vec![0; one.options.send_bytes()];
        assert_eq!(send(&one, &huge), Err(Errno::EMSGSIZE));
    }
}

#[test]
fn connections_go_through_the_backlog() {
    let listener = socket(SocketKind::Stream);
    assert_eq!(listener.listen(1, ME), Err(Errno::EINVAL));
    listener.bind_abstract(b"test-backlog").unwrap();
    let other = socket(SocketKind::Stream);
    assert_eq!(other.bind_abstract(b"test-backlog"), Err(Errno::EADDRINUSE));
    let target = find_abstract(SocketKind::Stream, b"test-backlog").unwrap();
    let connect = |client: &UnixSocket| client.connect(&target, Owner::default(), ME);
    assert_eq!(connect(&other), Err(Errno::ECONNREFUSED));
    listener.listen(1, ME).unwrap();
    let clients: Vec<_> = (0..3).map(|_| socket(SocketKind::Stream)).collect();
    assert_eq!(connect(&clients[0]), Ok(()));
    assert_eq!(connect(&clients[1]), Ok(()));
    assert_eq!(connect(&clients[2]), Err(Errno::EAGAIN));
    // The backlog is looked at first, as on Linux.
    assert_eq!(connect(&clients[0]), Err(Errno::EAGAIN));
    send(&clients[0], b"early").unwrap();
    let server = listener.accept().unwrap();
    assert_eq!(connect(&clients[0]), Err(Errno::EISCONN));
    assert_eq!(bytes(receive(&server, 9)), Ok(b"early".to_vec()));
    assert_eq!(server.peer_credentials(), ME);
    assert_eq!(
        clients[0].peer_name(),
        Ok(Name::Abstract((*b"test-backlog").into()))
    );
    listener.close();
    assert_eq!(bytes(receive(&clients[1], 1)), Err(Errno::ECONNRESET));
    assert!(find_abstract(SocketKind::Stream, b"test-backlog").is_err());
    send(&clients[0], b"still").unwrap();
    assert_eq!(bytes(receive(&server, 9)), Ok(b"still".to_vec()));
}

#[test]
fn datagrams_name_their_sender_and_refuse_strangers() {
    let [target, one, two] = [(); 3].map(|()| socket(SocketKind::Datagram));
    one.bind_automatically().unwrap();
    let mut outgoing = Outgoing::default();
    let mut source = Source::kernel(b"hello");
    assert_eq!(one.send(&mut source, &mut outgoing, Some(&target)), Ok(5));
    let (_, received) = receive(&target, 9).unwrap();
    assert_eq!(received.from, one.name());
    target.connect(&one, Owner::default(), ME).unwrap();
    let mut source = Source::kernel(b"no");
    let refused = two.send(&mut source, &mut outgoing, Some(&target));
    assert_eq!(refused, Err(Errno::EPERM));
    one.close();
    assert_eq!(send(&target, b"x"), Err(Errno::ECONNREFUSED));
    assert_eq!(send(&target, b"x"), Err(Errno::ENOTCONN));
}

#[test]
fn rights_come_with_their_bytes() {
    let [one, two] = pair(SocketKind::Stream);
    let counter = description(EventCounter::new(0, EventMode::Counter));
    send(&one, b"plain").unwrap();
    let mut outgoing = Outgoing {
        rights: Rights::new(vec![counter.clone()]).unwrap(),
        ..Outgoing::default()
    };
    one.send(&mut Source::kernel(b"with"), &mut outgoing, None)
        .unwrap();
    send(&one, b"after").unwrap();
    let (got, received) = receive(&two, 3).unwrap();
    assert_eq!((&*got, received.rights.files().len()), (&b"pla"[..], 0));
    let mut buffer = vec![0; 99];
    let mut destination = Destination::kernel(&mut buffer);
    let peeked = two.receive(&mut destination, ReceiveFlags::PEEK).unwrap();
    assert_eq!((peeked.bytes, peeked.rights.files().len()), (6, 1));
    // What follows bytes with rights is received apart.
    let (got, received) = receive(&two, 99).unwrap();
    assert_eq!(got, b"inwith");
    assert!(Arc::ptr_eq(&received.rights.files()[0], &counter));
    assert_eq!(bytes(receive(&two, 99)), Ok(b"after".to_vec()));
    drop((peeked, received, outgoing));
    assert_eq!(Arc::strong_count(&counter), 1);
}

#[test]
fn credentials_split_a_stream_by_sender() {
    let [one, two] = pair(SocketKind::Stream);
    two.options.set_pass_credentials(true);
    for (process, text) in [(1, b"aa"), (1, b"bb"), (2, b"cc")] {
        let mut outgoing = Outgoing {
            sender: Some(SocketCredentials { process, ..ME }),
            ..Outgoing::default()
        };
        one.send(&mut Source::kernel(text), &mut outgoing, None)
            .unwrap();
    }
    let (got, received) = receive(&two, 99).unwrap();
    assert_eq!(got, b"aabb");
    assert_eq!(received.credentials.unwrap().process, 1);
    let (got, received) = receive(&two, 99).unwrap();
    assert_eq!(
        (&*got, received.credentials.unwrap().process),
        (&b"cc"[..], 2)
    );
}

/// A chain in which each socket lies in the queue of the next ends without a deep stack.
#[test]
fn long_chains_of_sockets_in_flight_end() {
    install();
    let mut carried: Option<Arc<OpenFile>> = None;
    for _ in 0..5000 {
        let [one, two] = pair(SocketKind::Stream);
        let (one_file, two_file) = (open(&one), open(&two));
        let mut outgoing = Outgoing::default();
        if let Some(file) = carried.take() {
            outgoing.rights = Rights::new(vec![file]).unwrap();
        }
        one.send(&mut Source::kernel(b"x"), &mut outgoing, None)
            .unwrap();
        drop(one_file);
        carried = Some(two_file);
    }
    std::thread::Builder::new()
        .stack_size(64 << 10)
        .spawn(move || drop(carried))
        .unwrap()
        .join()
        .unwrap();
}
