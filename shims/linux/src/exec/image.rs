//! An executable file: opened, and its headers read.

use crate::exec::elf::{self, Elf, HEADER_BYTES};
use crate::exec::script::LINE_BYTES;
use crate::task::Thread;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::fs::notify::{FileEvents, file_event};
use capsid_core::fs::write_access::Hold;
use capsid_core::fs::{Access, FileKind, MountFlags, OpenFile, Path, StatusFlags, permission};
use capsid_core::io::Destination;

/// An ELF file to load.
#[derive(Debug)]
pub struct Image {
    /// The file, open for reading.
    pub file: Arc<OpenFile>,
    /// Keeps it from being written.
    pub hold: Option<Arc<Hold>>,
    /// Its headers.
    pub elf: Elf,
}

/// Opens a file to execute it, and keeps it from being written: `EACCES` if it may not be
/// executed, `ETXTBSY` if somebody can write it.
pub fn open(thread: &Thread, path: Path) -> Result<(Arc<OpenFile>, Option<Arc<Hold>>), Errno> {
    if path.kind() != FileKind::Regular || path.mount().flags().contains(MountFlags::NO_EXECUTE) {
        return Err(Errno::EACCES);
    }
    permission::check(&path, Access::EXECUTE, &thread.credentials())?;
    let flags = StatusFlags::LARGEFILE;
    let hold = Hold::to_execute(path.inode())?.map(Arc::new);
    let file = path.inode().clone().open(flags)?;
    let file = OpenFile::at(file, flags, path);
    file_event(&file, FileEvents::OPEN);
    Ok((Arc::new(file), hold))
}

/// Reads the start of a file, as much as tells what it is.
pub fn read_start(file: &OpenFile) -> Result<Vec<u8>, Errno> {
    read(file, 0, LINE_BYTES)
}

/// Reads up to `length` bytes at `offset`; fewer at the end of the file.
pub fn read(file: &OpenFile, offset: u64, length: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; length];
    let mut done = 0;
    while done < length {
        let mut destination = Destination::kernel(&mut bytes[done..]);
        match file.file.read(offset + done as u64, &mut destination)? {
            0 => break,
            count => done += count.min(length - done),
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

impl Image {
    /// Reads the headers of a file whose start is known: `ENOEXEC`.
    pub fn read(
        file: Arc<OpenFile>,
        hold: Option<Arc<Hold>>,
        start: &[u8],
    ) -> Result<Image, Errno> {
        let header = start.get(..HEADER_BYTES).ok_or(Errno::ENOEXEC)?;
        let place = elf::program_headers(header)?;
        let end = usize::try_from(place.offset)
            .ok()
            .and_then(|offset| Some((offset, offset.checked_add(place.length)?)));
        let table = match end.and_then(|(from, to)| start.get(from..to)) {
            Some(table) => table.to_vec(),
            None => {
                place
                    .offset
                    .checked_add(place.length as u64)
                    .ok_or(Errno::ENOEXEC)?;
                read(&file, place.offset, place.length)?
            }
        };
        if table.len() < place.length {
            return Err(Errno::ENOEXEC);
        }
        let elf = elf::parse(header, &table)?;
        Ok(Image { file, hold, elf })
    }

    /// The path of the interpreter that the file asks for: `ENOEXEC`.
    pub fn interpreter(&self) -> Result<Option<Vec<u8>>, Errno> {
        let Some((offset, length)) = self.elf.interpreter else {
            return Ok(None);
        };
        let mut path = read(&self.file, offset, length)?;
        if path.len() < length {
            return Err(Errno::EIO);
        }
        if path.pop() != Some(0) {
            return Err(Errno::ENOEXEC);
        }
        let end = path.iter().position(|byte| *byte == 0);
        path.truncate(end.unwrap_or(path.len()));
        Ok(Some(path))
    }
}
