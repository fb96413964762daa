//! Pipes, counters and epoll, with real threads.

extern crate std;

use crate::fs::{File, OpenFile, Owner, StatusFlags, WriteAt};
use crate::io::{Destination, Source};
use crate::ipc::epoll::{Epoll, Interest, WatchFlags};
use crate::ipc::{EventCounter, EventMode, TimerFile, TimerSetting, pipe};
use crate::test_platform::install;
use crate::wait::{Events, Parker, Waiter};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use capsid_platform::{Clock, Errno, platform};

/// A thread that nobody signals.
#[derive(Default)]
struct Sleeper(Arc<Parker>);

impl Waiter for Sleeper {
    fn parker(&self) -> &Arc<Parker> {
        &self.0
    }

    fn interrupted(&self) -> bool {
        false
    }

    fn kicked(&self) {}
}

impl Sleeper {
    /// Tries until it does not say `EAGAIN`, as a blocking call does.
    fn block<T>(
        &self,
        file: &dyn File,
        mut attempt: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let queue = file.wait_queue().unwrap();
        let _place = queue.register(self.0.clone(), Events::all());
        let deadline = platform().now(Clock::Monotonic) + 30_000_000_000;
        self.wait_until(Some(deadline), || match attempt() {
            Err(Errno::EAGAIN) => None,
            result => Some(result),
        })?
    }
}

fn open(file: impl File) -> Arc<OpenFile> {
    Arc::new(OpenFile::new(Arc::new(file), StatusFlags::READ_WRITE))
}

fn write(file: &dyn File, bytes: &[u8]) -> Result<usize, Errno> {
    let mut source = Source::kernel(bytes);
    file.write(WriteAt::Offset(0), &mut source)
        .map(|(count, _)| count)
}

fn read(file: &dyn File, count: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; count];
    let got = file.read(0, &mut Destination::kernel(&mut bytes))?;
    bytes.truncate(got);
    Ok(bytes)
}

fn interest(events: u32, data: u64) -> Interest {
    Interest { events, data }
}

fn wait(epoll: &Epoll) -> Vec<(u32, u64)> {
    let mut got = Vec::new();
    let count = epoll.collect(16, |events, data| {
        got.push((events, data));
        Ok(())
    });
    assert_eq!(count, Ok(got.len()));
    got
}

const IN: u32 = Events::IN.bits();

#[test]
fn a_pipe_keeps_small_writes_whole_and_ends_with_its_writers() {
    install();
    let (reader, writer) = pipe::pair(Owner::default());
    assert_eq!(read(&reader, 10), Err(Errno::EAGAIN));
    assert_eq!(write(&writer, &[7; 65_000]), Ok(65_000));
    assert_eq!(write(&writer, &[8; 600]), Err(Errno::EAGAIN));
    assert!(!writer.readiness().contains(Events::OUT));
    assert_eq!(write(&writer, &[8; 5000]), Ok(536));
    assert_eq!(read(&reader, 65_536).map(|bytes| bytes.len()), Ok(65_536));
    drop(writer);
    assert_eq!(reader.readiness(), Events::HUP);
    assert_eq!(read(&reader, 10), Ok(vec![]));
}

#[test]
fn writing_without_readers_is_an_error() {
    install();
    let (reader, writer) = pipe::pair(Owner::default());
    drop(reader);
    assert!(writer.readiness().contains(Events::ERR));
    assert_eq!(write(&writer, b"x"), Err(Errno::EPIPE));
}

/// Two writers and a reader of odd sizes: every byte arrives once and in its writer's order.
#[test]
fn a_pipe_under_stress_loses_nothing() {
    install();
    const RECORDS: u32 = 20_000;
    let (reader, writer) = pipe::pair(Owner::default());
    let writer = Arc::new(writer);
    let writers: Vec<_> = (0..2u32)
        .map(|id| {
            let writer = writer.clone();
            std::thread::spawn(move || {
                let sleeper = Sleeper::default();
                for number in 0..RECORDS {
                    let record = (id << 31 | number).to_le_bytes();
                    let done = sleeper.block(&*writer, || write(&*writer, &record));
                    assert_eq!(done, Ok(4));
                }
            })
        })
        .collect();
    drop(writer);
    let sleeper = Sleeper::default();
    let mut bytes = Vec::new();
    for size in (1..).map(|step: usize| step * 37 % 9001 + 1) {
        let more = sleeper.block(&reader, || read(&reader, size)).unwrap();
        if more.is_empty() {
            break;
        }
        bytes.extend(more);
    }
    let mut next = [0u32; 2];
    for record in bytes.chunks(4) {
        let value = u32::from_le_bytes(record.try_into().unwrap());
        let id = usize::try_from(value >> 31).unwrap();
        assert_eq!(value & 0x7fff_ffff, next[id]);
        next[id] += 1;
    }
    assert_eq!(next, [RECORDS; 2]);
    for writer in writers {
        writer.join().unwrap();
    }
}

#[test]
fn splicing_between_pipes_moves_and_tee_copies() {
    install();
    let (from, fill) = pipe::pair(Owner::default());
    let (drain, to) = pipe::pair(Owner::default());
    assert_eq!(
        pipe::transfer(&from, &to, 9, pipe::Keep::Leave),
        Err(Errno::EAGAIN)
    );
    write(&fill, b"capsid").unwrap();
    assert_eq!(pipe::transfer(&from, &to, 3, pipe::Keep::Leave), Ok(3));
    assert_eq!(pipe::transfer(&from, &to, 99, pipe::Keep::Consume), Ok(6));
    assert_eq!(read(&drain, 99), Ok(b"capcapsid".to_vec()));
    drop(fill);
    assert_eq!(pipe::transfer(&from, &to, 9, pipe::Keep::Consume), Ok(0));
}

#[test]
fn counters_add_up_and_overflow_blocks() {
    install();
    let counter = EventCounter::new(3, EventMode::Counter);
    assert_eq!(write(&counter, &4u64.to_ne_bytes()), Ok(8));
    assert_eq!(read(&counter, 8), Ok(7u64.to_ne_bytes().to_vec()));
    assert_eq!(read(&counter, 8), Err(Errno::EAGAIN));
    assert_eq!(read(&counter, 7), Err(Errno::EINVAL));
    assert_eq!(write(&counter, &u64::MAX.to_ne_bytes()), Err(Errno::EINVAL));
    assert_eq!(write(&counter, &(u64::MAX - 1).to_ne_bytes()), Ok(8));
    assert_eq!(write(&counter, &1u64.to_ne_bytes()), Err(Errno::EAGAIN));
    assert!(!counter.readiness().contains(Events::OUT));
    let semaphore = EventCounter::new(2, EventMode::Semaphore);
    for _ in 0..2 {
        assert_eq!(read(&semaphore, 8), Ok(1u64.to_ne_bytes().to_vec()));
    }
    assert_eq!(read(&semaphore, 8), Err(Errno::EAGAIN));
}

#[test]
fn levels_repeat_and_edges_do_not() {
    install();
    let epoll = Epoll::new();
    let level = open(EventCounter::new(0, EventMode::Counter));
    let edge = open(EventCounter::new(0, EventMode::Counter));
    epoll.add(3, &level, interest(IN, 1)).unwrap();
    epoll
        .add(4, &edge, interest(IN | WatchFlags::EDGE.bits(), 2))
        .unwrap();
    assert_eq!(epoll.add(3, &level, interest(IN, 1)), Err(Errno::EEXIST));
    assert_eq!(wait(&epoll), []);
    for file in [&level, &edge] {
        write(&*file.file, &1u64.to_ne_bytes()).unwrap();
    }
    assert_eq!(wait(&epoll), [(IN, 1), (IN, 2)]);
    assert_eq!(wait(&epoll), [(IN, 1)]);
    write(&*edge.file, &1u64.to_ne_bytes()).unwrap();
    assert_eq!(wait(&epoll), [(IN, 1), (IN, 2)]);
    read(&*level.file, 8).unwrap();
    assert_eq!(wait(&epoll), []);
}

#[test]
fn one_shots_rest_until_they_are_armed_again() {
    install();
    let epoll = Epoll::new();
    let file = open(EventCounter::new(1, EventMode::Counter));
    let once = IN | WatchFlags::ONESHOT.bits();
    epoll.add(3, &file, interest(once, 1)).unwrap();
    assert_eq!(wait(&epoll), [(IN, 1)]);
    assert_eq!(wait(&epoll), []);
    epoll.modify(3, &file, interest(once, 9)).unwrap();
    assert_eq!(wait(&epoll), [(IN, 9)]);
    epoll.remove(3, &file).unwrap();
    assert_eq!(epoll.remove(3, &file), Err(Errno::ENOENT));
}

#[test]
fn closed_descriptions_drop_out() {
    install();
    let epoll = Epoll::new();
    let (reader, writer) = pipe::pair(Owner::default());
    let (reader, writer) = (open(reader), open(writer));
    epoll.add(3, &reader, interest(IN, 1)).unwrap();
    epoll
        .add(4, &writer, interest(Events::OUT.bits(), 2))
        .unwrap();
    assert_eq!(wait(&epoll), [(Events::OUT.bits(), 2)]);
    drop(writer);
    assert_eq!(wait(&epoll), [(Events::HUP.bits(), 1)]);
    drop(reader);
    assert_eq!((wait(&epoll), epoll.watched()), (vec![], 0));
}

#[test]
fn instances_nest_without_loops() {
    install();
    let chain: Vec<_> = (0..6).map(|_| open(Epoll::new())).collect();
    let of = |index: usize| Epoll::of(&chain[index]).unwrap();
    for index in 0..4 {
        of(index)
            .add(0, &chain[index + 1], interest(IN, 5))
            .unwrap();
    }
    assert_eq!(of(4).add(0, &chain[5], interest(IN, 5)), Err(Errno::ELOOP));
    assert_eq!(of(3).add(1, &chain[0], interest(IN, 5)), Err(Errno::ELOOP));
    assert_eq!(of(0).add(1, &chain[0], interest(IN, 5)), Err(Errno::EINVAL));
    let counter = open(EventCounter::new(0, EventMode::Counter));
    of(4).add(9, &counter, interest(IN, 6)).unwrap();
    assert_eq!(wait(of(0)), []);
    write(&*counter.file, &1u64.to_ne_bytes()).unwrap();
    assert_eq!(wait(of(0)), [(IN, 5)]);
    read(&*counter.file, 8).unwrap();
    assert_eq!(wait(of(0)), []);
}

#[test]
fn a_sleeping_epoll_is_woken_by_another_thread() {
    install();
    let epoll = Arc::new(Epoll::new());
    let counter = open(EventCounter::new(0, EventMode::Counter));
    epoll.add(3, &counter, interest(IN, 1)).unwrap();
    let waker = std::thread::spawn({
        let counter = counter.clone();
        move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            write(&*counter.file, &1u64.to_ne_bytes()).unwrap();
        }
    });
    let sleeper = Sleeper::default();
    let got = sleeper.block(&*epoll, || match wait(&epoll) {
        list if list.is_empty() => Err(Errno::EAGAIN),
        list => Ok(list),
    });
    assert_eq!(got, Ok(vec![(IN, 1)]));
    waker.join().unwrap();
}

#[test]
fn timers_are_seen_through_epoll() {
    install();
    let epoll = Epoll::new();
    let timer = open(TimerFile::new(Clock::Monotonic));
    let file: &TimerFile = (&*timer.file as &dyn core::any::Any)
        .downcast_ref()
        .unwrap();
    let edge = IN | WatchFlags::EDGE.bits();
    epoll.add(3, &timer, interest(edge, 1)).unwrap();
    assert_eq!(epoll.refresh(), None);
    file.set(
        TimerSetting {
            value: 5_000_000,
            interval: 0,
        },
        false,
    );
    assert!(epoll.refresh().is_some());
    assert_eq!(wait(&epoll), []);
    std::thread::sleep(std::time::Duration::from_millis(10));
    assert_eq!(wait(&epoll), [(IN, 1)]);
    assert_eq!(wait(&epoll), []);
    assert_eq!(read(&*timer.file, 8), Ok(1u64.to_ne_bytes().to_vec()));
    assert_eq!(read(&*timer.file, 8), Err(Errno::EAGAIN));
}
