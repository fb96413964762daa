//! Trees of files with everything in them that an image can hold.

use rustix::fs::{CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, mknodat, utimensat};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Bytes that look random, the same for each seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn path(top: &Path, name: &[u8]) -> PathBuf {
    top.join(OsStr::from_bytes(name))
}

/// Makes a tree of every kind of file. Device nodes only if this user may.
pub fn everything(top: &Path) {
    fs::create_dir(top).unwrap();
    for (seed, size) in [
        0, 1, 511, 512, 4095, 4096, 4097, 8191, 8192, 65_536, 300_000,
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(top.join(format!("size-{size}")), noise(seed as u64, size)).unwrap();
    }
    names(top);
    links(top);
    attributes(top);
    directories(top);
    sparse(&top.join("sparse"), 3 << 20);
    special(top);
}

/// Makes a tree with something of each layout, whose image is small.
pub fn small(top: &Path) {
    fs::create_dir(top).unwrap();
    for size in [0, 1, 4097] {
        fs::write(top.join(format!("size-{size}")), noise(1, size)).unwrap();
    }
    fs::create_dir(top.join("links")).unwrap();
    for length in [1, 300, 4090] {
        symlink("x".repeat(length), top.join(format!("links/{length}"))).unwrap();
    }
    fs::hard_link(top.join("size-1"), top.join("links/hard")).unwrap();
    many(&top.join("many"), 300);
    sparse(&top.join("chunked"), 64 << 20);
    special(top);
    for name in ["user.one", "trusted.two", "security.three"] {
        // Not all file systems have them.
        let file = top.join("size-1");
        let _ = rustix::fs::setxattr(file, name, &noise(2, 50), XattrFlags::empty());
    }
}

fn names(top: &Path) {
    for name in [
        &b"\xff\xfe not utf-8"[..],
        b"new\nline",
        b"!before dots",
        b"-",
        b"...",
        b".hidden",
        b"a",
        b"ab",
        b"\xc3\xa9t\xc3\xa9",
    ] {
        fs::write(path(top, name), name).unwrap();
    }
    fs::write(path(top, &[b'n'; 255]), b"long name").unwrap();
}

fn links(top: &Path) {
    fs::create_dir(top.join("links")).unwrap();
    let links = top.join("links");
    fs::hard_link(top.join("size-4097"), links.join("hard")).unwrap();
    fs::hard_link(top.join("size-4097"), top.join("also hard")).unwrap();
    symlink("size-1", top.join("short")).unwrap();
    symlink("/absolute/../nowhere", links.join("dangling")).unwrap();
    // 4,032 bytes are the most that fit behind an inode.
    for length in [4031, 4032, 4033, 4095] {
        let target = "x".repeat(length);
        symlink(target, links.join(format!("target-{length}"))).unwrap();
    }
}

fn attributes(top: &Path) {
    let file = top.join("attributes");
    fs::write(&file, b"#!/bin/sh\n").unwrap();
    let set = |name: &str, value: &[u8]| {
        // Not all file systems have them.
        let _ = rustix::fs::setxattr(&file, name, value, XattrFlags::empty());
    };
    set("user.empty", b"");
    set("user.binary", b"a\nb\0c=d\n");
    set("user.large", &noise(1, 1500));
    set("trusted.overlay.opaque", b"y");
    // cap_net_bind_service=ep, as setcap(8) writes it.
    set(
        "security.capability",
        b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    );
    let _ = rustix::fs::setxattr(top, "user.root", b"1", XattrFlags::empty());
    // Only the superuser reads what nobody may.
    let none = if super::is_root() { 0o000 } else { 0o400 };
    for (name, mode) in [("setuid", 0o4755), ("setgid", 0o2755), ("none", none)] {
        fs::write(top.join(name), b"").unwrap();
        fs::set_permissions(top.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    if super::is_root() {
        std::os::unix::fs::chown(top.join("setgid"), Some(70_000), Some(u32::MAX - 1)).unwrap();
        fs::set_permissions(top.join("setgid"), fs::Permissions::from_mode(0o2711)).unwrap();
    }
    for (name, seconds, nanoseconds) in [
        ("time-0", 0, 0),
        ("time-past", -1, 1),
        ("time-ns", 1_700_000_000, 999_999_999),
        ("time-2106", 1 << 33, 5),
    ] {
        fs::write(top.join(name), b"").unwrap();
        set_mtime(&top.join(name), seconds, nanoseconds);
    }
}

pub fn set_mtime(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn directories(top: &Path) {
    fs::create_dir(top.join("empty")).unwrap();
    let mut deep = top.join("deep");
    for level in 0..200 {
        fs::create_dir(&deep).unwrap();
        fs::write(deep.join("file"), level.to_string()).unwrap();
        deep.push(format!("level {level}"));
    }
    // Around what fits in one block: 12 bytes an entry, and the name.
    for count in [250, 251, 252, 253, 254, 255] {
        let directory = top.join(format!("entries-{count}"));
        fs::create_dir(&directory).unwrap();
        for index in 0..count {
            fs::write(directory.join(format!("{index:04}")), b"").unwrap();
        }
    }
}

/// Makes a file with data in a few places.
pub fn sparse(path: &Path, size: u64) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    file.write_all_at(b"start", 0).unwrap();
    file.write_all_at(b"middle", size / 2 + 12_345).unwrap();
}

fn special(top: &Path) {
    let mode = Mode::from_raw_mode(0o640);
    mknodat(CWD, top.join("fifo"), FileType::Fifo, mode, 0).unwrap();
    mknodat(CWD, top.join("socket"), FileType::Socket, mode, 0).unwrap();
    let device = rustix::fs::makedev(1, 3);
    let made = mknodat(
        CWD,
        top.join("null"),
        FileType::CharacterDevice,
        mode,
        device,
    );
    if made.is_ok() {
        let large = rustix::fs::makedev(0xfff, 0xf_ffff);
        mknodat(CWD, top.join("block"), FileType::BlockDevice, mode, large).unwrap();
    }
}

/// Makes a directory with this many files.
pub fn many(top: &Path, count: usize) {
    fs::create_dir(top).unwrap();
    for index in 0..count {
        fs::write(top.join(format!("file number {index}")), b"").unwrap();
    }
}
