//! Random and forged messages against a live ring thread: it neither panics nor hangs, and nothing
//! outside its exports changes. Seeds are fixed, so that a failure can be repeated.

use crate::client::{Client, Scratch, export};
use capsid_wire::Operation;
use capsid_wire::layout::{DATA_BYTES, SLOTS};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::Ordering;

/// Everything below a directory: path, kind and size, and contents of files.
fn snapshot(root: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("readable").flatten() {
            let path = entry.path();
            let metadata = path.symlink_metadata().expect("there");
            let contents = if metadata.is_file() {
                std::fs::read(&path).expect("readable")
            } else {
                Vec::new()
            };
            let name = path.to_string_lossy().into_owned();
            found.insert(name, (metadata.mode(), contents));
            if metadata.is_dir() {
                directories.push(path);
            }
        }
    }
    found
}

fn pick<T: Copy>(random: &mut ChaCha8Rng, choices: &[T]) -> T {
    choices[random.next_u32() as usize % choices.len()]
}

fn path(random: &mut ChaCha8Rng) -> Vec<u8> {
    const WORDS: &[&[u8]] = &[
        b"a", b"b", b"link", b"up", b"root", b"..", b".", b"", b"/", b"outside", b"f\0g", b"\xff",
        b"etc", b"passwd",
    ];
    let mut path = Vec::new();
    for index in 0..random.next_u32() % 6 {
        if index > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(pick(random, WORDS));
    }
    if random.next_u32().is_multiple_of(64) {
        path = vec![b'x'; 5000];
    }
    path
}

fn number(random: &mut ChaCha8Rng, known: &[u64]) -> u64 {
    match random.next_u32() % 6 {
        0 => pick(random, known),
        1 => random.next_u64(),
        2 => u64::MAX - u64::from(random.next_u32() % 3),
        3 => 1 << (random.next_u32() % 64),
        _ => u64::from(random.next_u32() % 8),
    }
}

/// Operations that would end the test: the kick goes to this process's own threads, and Log
/// writes on its standard error.
fn is_left_out(operation: u32) -> bool {
    [Operation::Kick, Operation::Log]
        .iter()
        .any(|left_out| *left_out as u32 == operation)
}

fn run(seed: u64, rounds: usize) {
    let scratch = Scratch::new();
    for directory in ["outside/a", "writable/a/b", "readable/a/b"] {
        std::fs::create_dir_all(scratch.path(directory)).expect("a directory");
    }
    for file in [
        "outside/passwd",
        "outside/a/b",
        "writable/a/f",
        "readable/a/f",
    ] {
        std::fs::write(scratch.path(file), file).expect("a file");
    }
    for export in ["writable", "readable"] {
        symlink("../outside", scratch.path(export).join("up")).expect("a link");
        symlink("/", scratch.path(export).join("a/root")).expect("a link");
        symlink("a/f", scratch.path(export).join("link")).expect("a link");
    }
    let before = [
        snapshot(&scratch.path("outside")),
        snapshot(&scratch.path("readable")),
    ];
    let null = || {
        Some(
            File::options()
                .read(true)
                .write(true)
                .open("/dev/null")
                .expect("null")
                .into(),
        )
    };
    let exports = vec![
        export(&scratch.path("writable"), true),
        export(&scratch.path("readable"), false),
    ];
    let client = Client::start(exports, [null(), null(), None]);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut known = vec![0, 1, 2, 0o100, 0o1102, 0o200_000, 4096];
    for _ in 0..rounds {
        let operation = match random.next_u32() % 8 {
            0 => random.next_u32(),
            _ => random.next_u32() % 52,
        };
        if is_left_out(operation) {
            continue;
        }
        let args: [u64; 6] = std::array::from_fn(|_| number(&mut random, &known));
        let mut data = path(&mut random);
        if random.next_u32().is_multiple_of(2) {
            data.extend(path(&mut random));
        }
        let length = match random.next_u32() % 8 {
            0 => random.next_u32(),
            1 => u32::try_from(DATA_BYTES).expect("fits") + 1,
            _ => u32::try_from(data.len()).expect("fits"),
        };
        let slot = random.next_u32() as usize % SLOTS;
        client.submit(slot, operation, &args, &data, length);
        if operation == Operation::WaitEvents as u32 {
            continue;
        }
        // Meddle while the broker works.
        if random.next_u32().is_multiple_of(4) {
            let slots = client.memory.slots();
            slots[slot].args[0].store(random.next_u64(), Ordering::Relaxed);
            slots[slot]
                .data_len
                .store(random.next_u32(), Ordering::Relaxed);
            client.memory.write_data(slot, &path(&mut random));
            client.ring(random.next_u64());
        }
        if random.next_u32().is_multiple_of(16) {
            // A state out of nothing, and no answer waited for.
            let state = &client.memory.slots()[slot].state;
            state.store(random.next_u32() % 0x400, Ordering::SeqCst);
            client.ring(random.next_u64());
            continue;
        }
        let reply = client.wait_for_any(slot);
        if let Some(value) = reply
            && known.len() < 64
        {
            known.push(value);
        }
        client.drop_donations();
    }
    // It still works.
    client.drop_donations();
    let reply = client.call(Operation::Lookup, &[1, 0, 0], b"a/f");
    assert_eq!(reply.error, 0);
    let after = [
        snapshot(&scratch.path("outside")),
        snapshot(&scratch.path("readable")),
    ];
    assert_eq!(before, after);
}

#[test]
fn random_requests() {
    for seed in 0..6 {
        run(seed, 4000);
    }
}

#[test]
fn a_sandbox_that_takes_no_donations_is_refused_more() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path("file"), "x").expect("a file");
    let client = Client::start(vec![export(&scratch.0, false)], [None, None, None]);
    let mut refused = false;
    for _ in 0..5000 {
        client.submit(0, Operation::Open as u32, &[0, 0, 0, 2], b"file", 4);
        refused |= client.wait_for_any(0).is_none();
    }
    assert!(refused, "the socket took everything");
    client.drop_donations();
    assert_eq!(
        client.call(Operation::Open, &[0, 0, 0, 2], b"file").error,
        0
    );
}

#[test]
fn handles_are_bounded() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path("file"), "x").expect("a file");
    let client = Client::start(vec![export(&scratch.0, false)], [None, None, None]);
    let errors = (0..200)
        .filter(|_| client.call(Operation::Open, &[0, 0, 0, 1], b"file").error != 0)
        .count();
    assert_eq!(errors, 200 - 64);
}
