//! What a sandbox can and cannot do in an export.

use crate::client::{Client, Reply, Scratch, export, place};
use capsid_broker::export::{Export, Readers, Scope, Stability};
use capsid_wire::message::{
    DIRECTORY_END, LOOKUP_HANDLE, LOOKUP_OPEN, OPEN_NO_HANDLE, SET_MODE, SET_MTIME, SET_SIZE,
};
use capsid_wire::{HostStat, LookupReply, Operation};
use rustix::io::Errno;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};

const O_RDWR: u64 = 2;
const O_CREAT: u64 = 0o100;
const O_EXCL: u64 = 0o200;
const O_TRUNC: u64 = 0o1000;

fn client(writable: bool) -> (Scratch, Client) {
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.path("inside/dir/sub")).expect("directories");
    std::fs::write(scratch.path("inside/file"), "contents").expect("a file");
    std::fs::write(scratch.path("inside/dir/sub/deep"), "deep").expect("a file");
    std::fs::write(scratch.path("secret"), "secret").expect("a file");
    symlink("../secret", scratch.path("inside/link")).expect("a link");
    symlink("/", scratch.path("inside/dir/root")).expect("a link");
    let exports = vec![export(&scratch.path("inside"), writable)];
    (scratch, Client::start(exports, [None, None, None]))
}

fn error(reply: &Reply) -> Errno {
    Errno::from_raw_os_error(reply.error)
}

fn stats(reply: &Reply) -> (LookupReply, Vec<HostStat>, &[u8]) {
    assert_eq!(reply.error, 0);
    let outcome = LookupReply::from_value(reply.value);
    let length = outcome.components as usize * HostStat::BYTES;
    let stats = reply.data[..length]
        .chunks(HostStat::BYTES)
        .map(|bytes| HostStat::from_bytes(bytes).expect("attributes"))
        .collect();
    (outcome, stats, &reply.data[length..])
}

#[test]
fn one_look_up_walks_a_path() {
    let (_scratch, client) = client(false);
    let lookup = |path: &str, flags, skip| {
        client.call(Operation::Lookup, &[0, flags, skip], path.as_bytes())
    };
    let reply = lookup("dir/sub/deep", 0, 0);
    let (outcome, found, rest) = stats(&reply);
    assert_eq!((outcome.components, outcome.error), (3, 0));
    assert!(rest.is_empty());
    assert_eq!(found[0].mode & 0o170_000, 0o040_000);
    assert_eq!((found[2].mode & 0o170_000, found[2].size), (0o100_000, 4));

    let reply = lookup("dir/sub/deep", 0, 2);
    let (outcome, found, _) = stats(&reply);
    assert_eq!((outcome.components, found.len()), (1, 1));

    let reply = lookup("file", LOOKUP_OPEN, 0);
    let mut contents = String::new();
    let donated = reply.donated.expect("a descriptor");
    std::fs::File::from(donated)
        .read_to_string(&mut contents)
        .expect("readable");
    assert_eq!(contents, "contents");

    let reply = lookup("dir/none/x", 0, 0);
    let (outcome, ..) = stats(&reply);
    assert_eq!((outcome.components, outcome.error), (1, 2));
    let reply = lookup("file/x", 0, 0);
    let (outcome, ..) = stats(&reply);
    assert_eq!((outcome.components, outcome.error), (1, 0));
    let reply = lookup("link/x", 0, 0);
    let (outcome, _, target) = stats(&reply);
    assert_eq!((outcome.components, target), (1, &b"../secret"[..]));
    let reply = lookup("", 0, 0);
    assert_eq!(stats(&reply).0.components, 1);
    let reply = lookup("file", 0, u64::MAX);
    assert_eq!(stats(&reply).0.components, 0);
}

#[test]
fn a_look_up_can_open_what_it_finds() {
    let (_scratch, client) = client(false);
    let look = |path: &str| {
        let flags = LOOKUP_OPEN | LOOKUP_HANDLE;
        client.call(Operation::Lookup, &[0, flags, 0], path.as_bytes())
    };
    let handle = |reply: &Reply| {
        let (outcome, _, rest) = stats(reply);
        assert_eq!((outcome.components, outcome.error), (1, 0));
        assert!(reply.donated.is_some());
        u64::from_le_bytes(rest.try_into().expect("a handle"))
    };
    let handles = [look("file"), look("file")].map(|reply| handle(&reply));
    assert_ne!(handles[0], handles[1]);
    let stat = client.call(Operation::StatHandle, &[handles[1]], b"");
    assert_eq!(stat.error, 0);
    // Both are closed by one request, whatever else it names.
    let more = [u64::MAX, handles[1]].map(u64::to_le_bytes).concat();
    let closed = client.call(Operation::Close, &[handles[0]], &more);
    assert_eq!(error(&closed), Errno::BADF);
    for handle in handles {
        let stat = client.call(Operation::StatHandle, &[handle], b"");
        assert_eq!(error(&stat), Errno::BADF);
    }
    for path in ["dir", "link", "none"] {
        assert!(look(path).donated.is_none(), "{path}");
    }
}

#[test]
fn no_path_leads_out() {
    let (_scratch, client) = client(true);
    for path in [
        "../secret",
        "/etc/passwd",
        "dir/../../secret",
        "dir/root/etc/passwd",
        "link",
        "link/x",
        "dir/root",
    ] {
        let reply = client.call(Operation::Open, &[0, 0, 0, 0], path.as_bytes());
        assert_ne!(reply.error, 0, "{path}");
        assert!(reply.donated.is_none());
        let reply = client.call(
            Operation::Open,
            &[0, O_RDWR | O_CREAT | O_TRUNC, 0o600, 0],
            path.as_bytes(),
        );
        assert_ne!(reply.error, 0, "{path}");
    }
    for path in ["dir/root/tmp/x", "../x", "link/x"] {
        for operation in [
            Operation::MakeDirectory,
            Operation::Unlink,
            Operation::MakeNode,
        ] {
            let reply = client.call(operation, &[0, 0o100_644], path.as_bytes());
            assert_ne!(reply.error, 0, "{operation:?} {path}");
        }
        let reply = client.call(
            Operation::SetAttributes,
            &[0, SET_MODE, 0o777],
            path.as_bytes(),
        );
        assert_ne!(reply.error, 0, "{path}");
        let both = [b"file", path.as_bytes()].concat();
        assert_ne!(client.call(Operation::Rename, &[0, 4, 0], &both).error, 0);
        assert_ne!(client.call(Operation::Link, &[0, 4], &both).error, 0);
        assert_ne!(client.call(Operation::Symlink, &[0, 4], &both).error, 0);
    }
}

#[test]
fn a_read_only_export_stays_as_it_is() {
    let (scratch, client) = client(false);
    let refused = |operation, args: &[u64], data: &[u8]| {
        assert_eq!(
            error(&client.call(operation, args, data)),
            Errno::ROFS,
            "{operation:?}"
        );
    };
    refused(Operation::MakeDirectory, &[0, 0o755], b"new");
    refused(Operation::MakeNode, &[0, 0o010_644], b"new");
    refused(Operation::Unlink, &[0, 0], b"file");
    refused(Operation::Unlink, &[0, 1], b"dir/sub");
    refused(Operation::Rename, &[0, 4, 0], b"filenew");
    refused(Operation::Link, &[0, 4], b"filenew");
    refused(Operation::Symlink, &[0, 4], b"filenew");
    refused(
        Operation::SetAttributes,
        &[0, SET_MODE | SET_SIZE | SET_MTIME, 0],
        b"file",
    );
    for flags in [1, 2, O_TRUNC, O_CREAT, O_CREAT | O_EXCL, 0o2000] {
        refused(Operation::Open, &[0, flags, 0o644, 0], b"file");
    }
    let opened = client.call(Operation::Open, &[0, 0, 0, 0], b"file");
    refused(
        Operation::SetHandleAttributes,
        &[opened.value, SET_SIZE, 0],
        b"",
    );
    let allocated = client.call(Operation::Allocate, &[opened.value, 0, 0, 1 << 20], b"");
    assert_eq!(error(&allocated), Errno::BADF);
    let mut file = std::fs::File::from(opened.donated.expect("a descriptor"));
    assert!(file.write_all(b"x").is_err());
    assert!(file.set_len(0).is_err());
    assert_eq!(
        std::fs::read(scratch.path("inside/file")).expect("readable"),
        b"contents"
    );
    assert_eq!(
        std::fs::read_dir(scratch.path("inside"))
            .expect("readable")
            .count(),
        3
    );
}

#[test]
fn a_writable_export_can_be_changed() {
    let (scratch, client) = client(true);
    let done = |operation, args: &[u64], data: &[u8]| {
        let reply = client.call(operation, args, data);
        assert_eq!(reply.error, 0, "{operation:?}");
        reply
    };
    done(Operation::MakeDirectory, &[0, 0o750], b"made");
    let opened = done(
        Operation::Open,
        &[0, O_RDWR | O_CREAT | O_EXCL, 0o4640, 0],
        b"made/file",
    );
    let mut file = std::fs::File::from(opened.donated.expect("a descriptor"));
    file.write_all(b"hello").expect("writable");
    let stat = HostStat::from_bytes(&done(Operation::StatHandle, &[opened.value], b"").data);
    let stat = stat.expect("attributes");
    assert_eq!(stat.size, 5);
    // A set-user-id program must not appear on the host.
    assert_eq!(stat.mode & 0o4000, 0);
    done(
        Operation::SetAttributes,
        &[0, SET_MODE | SET_SIZE, 0o4600 | 3 << 12],
        b"made/file",
    );
    let path = scratch.path("inside/made/file");
    assert_eq!(std::fs::read(&path).expect("readable"), b"hel");
    assert_eq!(
        std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode()
            & 0o7777,
        0o600
    );
    done(
        Operation::SetHandleAttributes,
        &[opened.value, SET_MTIME, 0, 0, 0, 5_000_000_007],
        b"",
    );
    done(Operation::Sync, &[opened.value, 1], b"");
    done(Operation::Rename, &[0, 9, 0], b"made/filemoved");
    done(Operation::Link, &[0, 5], b"movedmade/again");
    done(Operation::Symlink, &[0, 6], b"/wheremade/link");
    assert_eq!(
        done(Operation::ReadLink, &[0], b"made/link").data,
        b"/where"
    );
    assert_eq!(
        std::fs::metadata(scratch.path("inside/moved"))
            .expect("there")
            .len(),
        3
    );
    done(Operation::Unlink, &[0, 0], b"moved");
    done(Operation::MakeNode, &[0, 0o010_600], b"made/fifo");
    // FIFOs are the library OS's: the broker must not open one and be stuck.
    let reply = client.call(Operation::Open, &[0, 0, 0, 0], b"made/fifo");
    assert_eq!(error(&reply), Errno::NXIO);
    let reply = client.call(Operation::MakeNode, &[0, 0o020_600, 0x103], b"made/null");
    assert_eq!(error(&reply), Errno::PERM);
    done(Operation::Close, &[opened.value], b"");
    assert_eq!(
        error(&client.call(Operation::Close, &[opened.value], b"")),
        Errno::BADF
    );
    assert_eq!(done(Operation::FileSystemStat, &[0], b"").data.len(), 64);
}

fn names(client: &Client, path: &str) -> Vec<String> {
    let opened = client.call(Operation::Open, &[0, 0o200_000, 0, 0], path.as_bytes());
    assert_eq!(opened.error, 0);
    assert!(opened.donated.is_none(), "a directory is never donated");
    let mut names = Vec::new();
    let mut cookie = 0;
    loop {
        let reply = client.call(Operation::ReadDirectory, &[opened.value, cookie], b"");
        assert_eq!(reply.error, 0);
        let mut rest = &reply.data[..];
        while !rest.is_empty() {
            cookie = u64::from_le_bytes(rest[8..16].try_into().expect("8 bytes"));
            let end = 18 + usize::from(rest[17]);
            names.push(String::from_utf8(rest[18..end].to_vec()).expect("a name"));
            rest = &rest[end..];
        }
        if reply.value & DIRECTORY_END != 0 {
            break;
        }
    }
    client.call(Operation::Close, &[opened.value], b"");
    names.sort();
    names
}

#[test]
fn long_directories_are_listed_whole() {
    let (scratch, client) = client(false);
    let expected: Vec<String> = (0..5000)
        .map(|number| format!("{number:04}-{}", "x".repeat(40)))
        .collect();
    for name in &expected {
        std::fs::write(scratch.path("inside/dir/sub").join(name), "").expect("a file");
    }
    std::fs::remove_file(scratch.path("inside/dir/sub/deep")).expect("removed");
    assert_eq!(names(&client, "dir/sub"), expected);
    assert_eq!(names(&client, ""), ["dir", "file", "link"]);
}

#[test]
fn a_listed_export_shows_the_listed_names_only() {
    let scratch = Scratch::new();
    for path in [
        "ssl/certs/a.pem",
        "ssl/private/key",
        "passwd",
        "shadow",
        "alternatives/x",
    ] {
        let path = scratch.path(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(path, "x").expect("a file");
    }
    std::fs::set_permissions(
        scratch.path("ssl/certs/a.pem"),
        PermissionsExt::from_mode(0o600),
    )
    .expect("chmod");
    let listed = ["passwd", "ssl/certs", "alternatives"].map(|name| name.as_bytes().to_vec());
    let export = Export::new(
        place(&scratch.0),
        true,
        Scope::Listed(listed.to_vec()),
        Readers::Everyone,
        Stability::Stable,
    );
    let client = Client::start(vec![export.expect("an export")], [None, None, None]);
    assert_eq!(names(&client, ""), ["alternatives", "passwd", "ssl"]);
    assert_eq!(names(&client, "ssl"), ["certs"]);
    let open =
        |path: &str| client.call(Operation::Open, &[0, 0, 0, OPEN_NO_HANDLE], path.as_bytes());
    assert_eq!(open("passwd").error, 0);
    assert_eq!(error(&open("shadow")), Errno::NOENT);
    assert_eq!(error(&open("ssl/private")), Errno::NOENT);
    assert_eq!(error(&open("ssl/private/key")), Errno::NOENT);
    assert_eq!(error(&open("passwdx")), Errno::NOENT);
    // Private to its owner, and so not for a sandbox of whoever runs capsid.
    assert_eq!(error(&open("ssl/certs/a.pem")), Errno::ACCESS);
    let reply = client.call(Operation::Lookup, &[0, 0, 0], b"ssl/private/key");
    let (outcome, ..) = stats(&reply);
    assert_eq!((outcome.components, outcome.error), (1, 2));
    assert_eq!(
        error(&client.call(Operation::Unlink, &[0, 0], b"passwd")),
        Errno::ROFS
    );
}

#[test]
fn a_single_file_can_be_exported() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path("file"), "one").expect("a file");
    let client = Client::start(
        vec![export(&scratch.path("file"), true)],
        [None, None, None],
    );
    let opened = client.call(Operation::Open, &[0, O_RDWR, 0, 0], b"");
    let file: OwnedFd = opened.donated.expect("a descriptor");
    std::fs::File::from(file)
        .write_all(b"two")
        .expect("writable");
    assert_eq!(
        std::fs::read(scratch.path("file")).expect("readable"),
        b"two"
    );
    for path in ["x", "file"] {
        let reply = client.call(Operation::Open, &[0, 0, 0, 0], path.as_bytes());
        assert_eq!(error(&reply), Errno::NOTDIR);
    }
}

/// While the export's directories are exchanged for symlinks out of it, no open may succeed on
/// what lies outside.
#[test]
fn races_with_renames_and_symlinks_do_not_lead_out() {
    let scratch = Scratch::new();
    for path in ["inside/a/b", "outside/b"] {
        std::fs::create_dir_all(scratch.path(path)).expect("directories");
    }
    std::fs::write(scratch.path("inside/a/b/file"), "in").expect("a file");
    std::fs::write(scratch.path("outside/b/file"), "out").expect("a file");
    symlink(scratch.path("outside"), scratch.path("inside/evil")).expect("a link");
    let client = Client::start(
        vec![export(&scratch.path("inside"), true)],
        [None, None, None],
    );
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let root = place(&scratch.path("inside"));
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(&root, "a", &root, "evil", exchange).expect("renamed");
            }
        });
        let mut inside = 0;
        for round in 0..4_000 {
            let reply = client.call(Operation::Open, &[0, 0, 0, OPEN_NO_HANDLE], b"a/b/file");
            if let Some(file) = reply.donated {
                let mut contents = String::new();
                std::fs::File::from(file)
                    .read_to_string(&mut contents)
                    .expect("readable");
                assert_eq!(contents, "in");
                inside += 1;
            }
            let name = format!("a/b/new{round}");
            let reply = client.call(
                Operation::Open,
                &[0, O_CREAT | O_RDWR, 0o600, OPEN_NO_HANDLE],
                name.as_bytes(),
            );
            drop(reply);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(inside > 0);
    });
    let outside: Vec<_> = std::fs::read_dir(scratch.path("outside/b"))
        .expect("readable")
        .collect();
    assert_eq!(outside.len(), 1, "something was created outside");
}
