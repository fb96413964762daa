//! Programs from anyone, through all of execve(2): found, parsed, mapped, and their stack made.

use capsid_core::credentials::Credentials;
use capsid_core::fs::{CreationFlags, LookupFlags, OpenOptions, Place, StatusFlags, View, WriteAt};
use capsid_core::io::Source;
use capsid_linux::exec::{self, Request};
use capsid_linux::task::Thread;
use capsid_platform::{Registers, platform};
use capsid_wire::BootConfig;
use std::sync::{Arc, OnceLock};

const PROGRAM: &[u8] = b"/tmp/program";

/// Executes a file with these bytes. Where it names an interpreter, that can be itself.
pub fn run(bytes: &[u8]) {
    let thread = thread();
    let kernel = &thread.process.kernel;
    let root = kernel.namespace.root();
    let credentials = Credentials::new(0, 0);
    let view = View {
        namespace: &kernel.namespace,
        root: &root,
        credentials: &credentials,
        umask: 0,
    };
    // The one that runs cannot be written to.
    let _ = view.unlink(Place::new(&root, PROGRAM));
    let mut options = OpenOptions::new(StatusFlags::WRITE_ONLY);
    options.creation = CreationFlags::CREATE;
    options.mode = 0o755;
    let file = view
        .open(Place::new(&root, PROGRAM), &options)
        .expect("the file can be made");
    let mut source = Source::kernel(bytes);
    let (written, _) = file
        .file
        .write(WriteAt::Offset(0), &mut source)
        .expect("the file can be written");
    assert_eq!(written, bytes.len());
    drop(file);
    let request = Request {
        start: None,
        descriptor: None,
        path: PROGRAM.to_vec(),
        flags: LookupFlags::FOLLOW,
        arguments: vec![b"program".to_vec(), bytes[..bytes.len().min(10)].to_vec()],
        environment: vec![b"A=1".to_vec()],
    };
    if let Ok(prepared) = exec::prepare(thread, request) {
        exec::commit(thread, &mut Registers::default(), *prepared);
    }
}

/// One thread, whose program is replaced again and again.
fn thread() -> &'static Arc<Thread> {
    static THREAD: OnceLock<Arc<Thread>> = OnceLock::new();
    THREAD.get_or_init(|| {
        capsid_platform_threads::install();
        let config = BootConfig {
            process_limit: 64,
            ..BootConfig::default()
        };
        let thread = capsid_linux::start(&config).expect("the kernel starts");
        *thread.token.lock() = Some(platform().current_thread());
        thread
    })
}

/// Makes an ELF file with these program headers: type, flags, offset, address, file bytes, memory
/// bytes, alignment.
fn file(kind: u16, entry: u64, headers: &[[u64; 7]], rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend(kind.to_le_bytes());
    bytes.extend(62u16.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(entry.to_le_bytes());
    bytes.extend(64u64.to_le_bytes());
    bytes.extend([0; 12]);
    for half in [64, 56, headers.len() as u16, 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    for [kind, flags, offset, address, file, memory, alignment] in headers {
        bytes.extend((*kind as u32).to_le_bytes());
        bytes.extend((*flags as u32).to_le_bytes());
        for word in [offset, address, address, file, memory, alignment] {
            bytes.extend(word.to_le_bytes());
        }
    }
    bytes.extend_from_slice(rest);
    bytes
}

/// Programs of each kind, and scripts.
pub fn seeds() -> Vec<Vec<u8>> {
    let (load, interpreter, phdr, stack) = (1, 3, 6, 0x6474_e551);
    let text = [load, 5, 0, 0x40_0000, 0x100, 0x100, 0x1000];
    let data = [load, 6, 0x80, 0x40_1080, 0x60, 0x3000, 0x1000];
    let moved = |mut header: [u64; 7]| {
        header[3] -= 0x40_0000;
        header
    };
    let name = [
        interpreter,
        4,
        64 + 56 * 3,
        0,
        PROGRAM.len() as u64 + 1,
        13,
        1,
    ];
    let named = [PROGRAM, b"\0"].concat();
    let stack = [stack, 7, 0, 0, 0, 0, 16];
    vec![
        file(2, 0x40_0040, &[text, data], &[0x90; 200]),
        file(3, 0x40, &[moved(text), moved(data), stack], &[0x90; 200]),
        file(3, 0x40, &[name, moved(text), moved(data)], &named),
        file(3, 0x40, &[[phdr, 4, 64, 64, 112, 112, 8], moved(text)], &[]),
        file(2, 0, &[[load, 7, 0, 0x1_0000, 0x40, 1 << 46, 1 << 21]], &[]),
        b"#!/tmp/program argument\n".to_vec(),
        b"#! /dev/null \t x\n".to_vec(),
    ]
}
