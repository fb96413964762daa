//! Looking up paths: the attributes of every component in one request.

use crate::attributes::{append, file_type, stat_at, to_wire};
use crate::export::{Export, Tools, read_link};
use crate::paths::ExportPath;
use capsid_wire::LookupReply;
use capsid_wire::message::{LOOKUP_COMPONENTS, LOOKUP_OPEN};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

impl Export {
    /// Looks at the components of `path` after the first `skip`, appending to `reply` as
    /// [`capsid_wire::Operation::Lookup`] says. Returns a descriptor to donate if one was wanted.
    pub fn lookup(
        &self,
        path: ExportPath<'_>,
        flags: u64,
        skip: usize,
        tools: &Tools,
        reply: &mut Vec<u8>,
    ) -> (LookupReply, Option<OwnedFd>) {
        let mut outcome = LookupReply::default();
        let donated = self.walk(path, flags, skip, tools, reply, &mut outcome.components);
        let donated = donated.unwrap_or_else(|error| {
            outcome.error = u16::try_from(error.raw_os_error()).unwrap_or(u16::MAX);
            None
        });
        (outcome, donated)
    }

    fn walk(
        &self,
        path: ExportPath<'_>,
        flags: u64,
        skip: usize,
        tools: &Tools,
        reply: &mut Vec<u8>,
        looked_at: &mut u32,
    ) -> Result<Option<OwnedFd>, Errno> {
        if path.is_root() {
            append(reply, self.directory_at(path)?, tools.ids)?;
            *looked_at = 1;
            return Ok(None);
        }
        if !self.is_directory() {
            return Err(Errno::NOTDIR);
        }
        let mut current = self.directory_at(path.leading(skip))?;
        let mut rest = path.components().skip(skip).peekable();
        let mut depth = skip;
        while let Some(name) = rest.next() {
            depth = depth.saturating_add(1);
            self.check_scope(path.leading(depth))?;
            let attributes = stat_at(current.as_fd(), name)?;
            let kind = file_type(&attributes);
            let attributes = to_wire(&attributes, tools.ids);
            reply.extend_from_slice(&attributes.to_bytes());
            *looked_at = looked_at.saturating_add(1);
            match kind {
                FileType::Directory if rest.peek().is_some() && *looked_at < LOOKUP_COMPONENTS => {
                    current = self.directory_at(path.leading(depth))?;
                }
                FileType::Symlink => {
                    reply.extend_from_slice(&read_link(current.as_fd(), name)?);
                    break;
                }
                FileType::RegularFile if rest.peek().is_none() && flags & LOOKUP_OPEN != 0 => {
                    // Whoever cannot read the file can still look at it.
                    return Ok(self
                        .check_readable(&attributes)
                        .and_then(|()| {
                            self.open_regular(current.as_fd(), name, OFlags::RDONLY, tools)
                        })
                        .map(|(file, _)| file)
                        .ok());
                }
                _ => break,
            }
        }
        Ok(None)
    }
}
