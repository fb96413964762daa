//! The parts of an ELF file that loading needs, elf(5), for x86-64.

use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_platform::Protection;
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// `Elf64_Ehdr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
struct FileHeader {
    ident: [u8; 16],
    kind: u16,
    machine: u16,
    version: u32,
    entry: u64,
    program_headers_at: u64,
    section_headers_at: u64,
    flags: u32,
    header_bytes: u16,
    program_header_bytes: u16,
    program_headers: u16,
    section_header_bytes: u16,
    section_headers: u16,
    names_section: u16,
}

/// `Elf64_Phdr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    physical_address: u64,
    file_bytes: u64,
    memory_bytes: u64,
    alignment: u64,
}

const MAGIC: [u8; 4] = *b"\x7fELF";
const MACHINE_X86_64: u16 = 62;
const KIND_EXECUTABLE: u16 = 2;
const KIND_SHARED: u16 = 3;
const LOAD: u32 = 1;
const INTERPRETER: u32 = 3;
const PROGRAM_HEADERS: u32 = 6;
const GNU_STACK: u32 = 0x6474_e551;
/// The most bytes of program headers that Linux reads.
const TABLE_BYTES_MAX: usize = 65_536;
/// The longest path of an interpreter, `PATH_MAX`.
const INTERPRETER_BYTES_MAX: u64 = 4096;

/// Size of the file header, in bytes.
pub const HEADER_BYTES: usize = size_of::<FileHeader>();

/// One part of the file to map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where in the file.
    pub offset: u64,
    /// Where in memory, before the load bias.
    pub address: u64,
    /// Bytes from the file.
    pub file_bytes: u64,
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Access.
    pub protection: Protection,
    /// Alignment in memory.
    pub alignment: u64,
}

/// What to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elf {
    /// It can be loaded anywhere.
    pub relocatable: bool,
    /// The entry point, before the load bias.
    pub entry: u64,
    /// Where its program headers are in memory, before the load bias.
    pub headers_address: u64,
    /// How many program headers there are.
    pub headers: u16,
    /// What to map, in the order of the file.
    pub segments: Vec<Segment>,
    /// Where the interpreter's path is in the file: offset and length with the terminator.
    pub interpreter: Option<(u64, usize)>,
    /// Whether the stack is executable, if the file says so.
    pub executable_stack: Option<bool>,
}

/// Where the program headers are: offset and length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderTable {
    /// Offset in the file.
    pub offset: u64,
    /// Length, in bytes.
    pub length: usize,
}

/// Checks what Linux checks: not the class and the byte order, which the machine implies.
fn header(bytes: &[u8]) -> Result<FileHeader, Errno> {
    let (header, _) = FileHeader::read_from_prefix(bytes).map_err(|_| Errno::ENOEXEC)?;
    let right = header.ident[..4] == MAGIC
        && header.machine == MACHINE_X86_64
        && matches!(header.kind, KIND_EXECUTABLE | KIND_SHARED)
        && usize::from(header.program_header_bytes) == size_of::<ProgramHeader>();
    if right {
        Ok(header)
    } else {
        Err(Errno::ENOEXEC)
    }
}

/// Checks a file header and says where the program headers are: `ENOEXEC`.
pub fn program_headers(file_header: &[u8]) -> Result<HeaderTable, Errno> {
    let header = header(file_header)?;
    let length = usize::from(header.program_headers) * size_of::<ProgramHeader>();
    if length == 0 || length > TABLE_BYTES_MAX {
        return Err(Errno::ENOEXEC);
    }
    Ok(HeaderTable {
        offset: header.program_headers_at,
        length,
    })
}

/// Parses a file header and its program headers: `ENOEXEC`. Addresses and lengths of segments are
/// not checked: a wrong one fails when it is mapped, as on Linux.
pub fn parse(file_header: &[u8], table: &[u8]) -> Result<Elf, Errno> {
    let header = header(file_header)?;
    let mut elf = Elf {
        relocatable: header.kind == KIND_SHARED,
        entry: header.entry,
        headers_address: 0,
        headers: header.program_headers,
        segments: Vec::new(),
        interpreter: None,
        executable_stack: None,
    };
    let mut headers_entry = None;
    for bytes in table.chunks_exact(size_of::<ProgramHeader>()) {
        let program = ProgramHeader::read_from_bytes(bytes).map_err(|_| Errno::ENOEXEC)?;
        match program.kind {
            LOAD => {
                let at = header.program_headers_at;
                let end = program.offset.saturating_add(program.file_bytes);
                if elf.headers_address == 0 && program.offset <= at && at < end {
                    elf.headers_address = (at - program.offset).wrapping_add(program.address);
                }
                elf.segments.push(segment(&program));
            }
            INTERPRETER if elf.interpreter.is_none() => {
                if program.file_bytes < 2 || program.file_bytes > INTERPRETER_BYTES_MAX {
                    return Err(Errno::ENOEXEC);
                }
                let length = usize::try_from(program.file_bytes).map_err(|_| Errno::ENOEXEC)?;
                elf.interpreter = Some((program.offset, length));
            }
            PROGRAM_HEADERS => headers_entry = Some(program.address),
            GNU_STACK => elf.executable_stack = Some(program.flags & 1 != 0),
            _ => {}
        }
    }
    if let Some(address) = headers_entry {
        elf.headers_address = address;
    }
    Ok(elf)
}

fn segment(program: &ProgramHeader) -> Segment {
    let mut protection = Protection::empty();
    protection.set(Protection::EXECUTE, program.flags & 1 != 0);
    protection.set(Protection::WRITE, program.flags & 2 != 0);
    protection.set(Protection::READ, program.flags & 4 != 0);
    Segment {
        offset: program.offset,
        address: program.address,
        file_bytes: program.file_bytes,
        memory_bytes: program.memory_bytes,
        protection,
        alignment: program.alignment,
    }
}

#[cfg(test)]
mod tests {
    use super::{HEADER_BYTES, parse, program_headers};
    use alloc::vec::Vec;
    use capsid_core::Errno;
    use proptest::prelude::*;

    fn header(kind: u16, headers: u16) -> Vec<u8> {
        let mut bytes = Vec::from(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        bytes.extend(kind.to_le_bytes());
        bytes.extend(62u16.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(0x40_1000u64.to_le_bytes());
        bytes.extend(64u64.to_le_bytes());
        bytes.extend([0; 12]);
        for half in [64, 56, headers, 0, 0, 0] {
            bytes.extend(u16::to_le_bytes(half));
        }
        bytes
    }

    fn load(offset: u64, address: u64, file: u64, memory: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(5u32.to_le_bytes());
        for word in [offset, address, address, file, memory, 0x1000] {
            bytes.extend(word.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn a_plain_executable_is_understood() {
        let head = header(2, 1);
        assert_eq!(head.len(), HEADER_BYTES);
        let table = program_headers(&head).unwrap();
        assert_eq!((table.offset, table.length), (64, 56));
        let elf = parse(&head, &load(0, 0x40_0000, 0x2000, 0x3000)).unwrap();
        assert!(!elf.relocatable);
        assert_eq!(elf.headers_address, 0x40_0040);
        assert_eq!(elf.segments[0].memory_bytes, 0x3000);
    }

    #[test]
    fn other_files_are_refused() {
        assert_eq!(program_headers(b"#!/bin/sh"), Err(Errno::ENOEXEC));
        assert_eq!(program_headers(&header(1, 1)), Err(Errno::ENOEXEC));
        assert_eq!(program_headers(&header(2, 0)), Err(Errno::ENOEXEC));
        assert_eq!(program_headers(&header(2, 2000)), Err(Errno::ENOEXEC));
        assert_eq!(program_headers(&header(3, 1)[..40]), Err(Errno::ENOEXEC));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(
            kind in 0u16..5,
            headers in 0u16..40,
            junk in proptest::collection::vec(any::<u8>(), 0..64),
            table in proptest::collection::vec(any::<u8>(), 0..56 * 40),
        ) {
            let mut head = header(kind, headers);
            let _ = program_headers(&junk);
            let _ = parse(&head, &table);
            for (byte, junk) in head[24..].iter_mut().zip(junk) {
                *byte = junk;
            }
            let _ = parse(&head, &table);
        }
    }
}
