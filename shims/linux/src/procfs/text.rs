//! Generated contents.

use crate::kernel::Kernel;
use crate::procfs::entry::{Accept, Context};
use crate::procfs::subject::Subject;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::fs::{File, Inode, WriteAt};
use capsid_core::io::{Destination, Source};
use core::fmt;

/// The longest write that is taken, in bytes.
const WRITE_BYTES_MAX: usize = 4096;

/// Contents in the making.
#[derive(Debug, Default)]
pub(super) struct Text(pub(super) Vec<u8>);

impl Text {
    /// Adds bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Adds formatted text. Memory is all that could fail, and does not.
    pub(super) fn add(&mut self, arguments: fmt::Arguments<'_>) {
        let _ = fmt::Write::write_fmt(self, arguments);
    }

    /// Adds formatted text and ends the line.
    pub(super) fn line(&mut self, arguments: fmt::Arguments<'_>) {
        self.add(arguments);
        self.0.push(b'\n');
    }

    /// Adds a path with the bytes escaped that would break a line of fields.
    pub(super) fn escaped(&mut self, path: &[u8]) {
        for &byte in path {
            match byte {
                b' ' | b'\t' | b'\n' | b'\\' => self.add(format_args!("\\{byte:03o}")),
                _ => self.0.push(byte),
            }
        }
    }

    /// Fills the line with spaces up to a column.
    pub(super) fn pad_to(&mut self, line_start: usize, column: usize) {
        let width = (self.0.len() - line_start).max(column);
        self.0.resize(line_start + width, b' ');
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

/// An open generated file.
#[derive(Debug)]
pub(super) struct TextFile {
    pub(super) inode: Arc<dyn Inode>,
    pub(super) kernel: Arc<Kernel>,
    pub(super) subject: Subject,
    pub(super) contents: Vec<u8>,
    pub(super) accept: Option<Accept>,
}

impl File for TextFile {
    fn read(&self, offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        destination.put(self.contents.get(start..).unwrap_or_default())
    }

    fn write(&self, _at: WriteAt, source: &mut Source<'_>) -> Result<(usize, u64), Errno> {
        let accept = self.accept.ok_or(Errno::EIO)?;
        let mut bytes = vec![0; source.remaining().min(WRITE_BYTES_MAX)];
        let taken = source.take(&mut bytes)?;
        bytes.truncate(taken);
        let context = Context {
            kernel: &self.kernel,
            subject: &self.subject,
        };
        accept(&context, &bytes)?;
        Ok((taken, taken as u64))
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn paths_are_escaped_and_columns_filled() {
        let mut text = Text::default();
        text.escaped(b"/a b\\");
        assert_eq!(text.0, b"/a\\040b\\134");
        let start = text.0.len();
        text.add(format_args!("x"));
        text.pad_to(start, 3);
        text.pad_to(start, 2);
        assert_eq!(&text.0[start..], b"x  ");
    }
}
