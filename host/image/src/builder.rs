//! Builds one image from one or more sources.

use crate::attributes::Attributes;
use crate::error::{ImageError, Refusal, Result};
use crate::file_data::FileWriter;
use crate::output::Output;
use crate::tree::{Contents, NodeId, Slot, Tree, refused};
use crate::{archive, directory, metadata};
use std::fmt;
use std::io::{BufRead, Read, Seek, Write};
use std::path::Path;

/// How much is passed on at once, in bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// How far a build has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files of every type.
    pub files: u64,
    /// Bytes of regular files.
    pub bytes: u64,
}

/// What was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Inodes of the image.
    pub inodes: u64,
    /// Bytes of regular files that were read.
    pub bytes: u64,
}

/// Who owns the files of the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OwnerPolicy {
    /// Their owners in the source.
    #[default]
    Keep,
    /// This user and group own all.
    Set {
        /// User id.
        user: u32,
        /// Group id.
        group: u32,
    },
}

/// Builds an image into a writer, which must be empty: a new file.
pub struct ImageBuilder<'a, W: Write + Seek> {
    pub(crate) tree: Tree,
    pub(crate) output: Output<W>,
    pub(crate) excluded: Vec<(u64, u64)>,
    owner: OwnerPolicy,
    progress: Progress,
    report: Box<dyn FnMut(Progress) + 'a>,
    buffer: Vec<u8>,
}

impl<W: Write + Seek> fmt::Debug for ImageBuilder<'_, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageBuilder")
            .field("owner", &self.owner)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

impl<'a, W: Write + Seek> ImageBuilder<'a, W> {
    /// Starts an image with an empty root directory.
    pub fn new(writer: W) -> ImageBuilder<'a, W> {
        ImageBuilder {
            tree: Tree::new(),
            output: Output::new(writer),
            excluded: Vec::new(),
            owner: OwnerPolicy::Keep,
            progress: Progress::default(),
            report: Box::new(|_| {}),
            buffer: vec![0; CHUNK_BYTES],
        }
    }

    /// Sets who owns the files.
    #[must_use]
    pub fn owner(mut self, owner: OwnerPolicy) -> Self {
        self.owner = owner;
        self
    }

    /// Calls `report` for every file, and now and then within large ones.
    #[must_use]
    pub fn on_progress(mut self, report: impl FnMut(Progress) + 'a) -> Self {
        self.report = Box::new(report);
        self
    }

    /// Leaves out the file with this device and inode number: the image itself, when it is
    /// written into the directory it is made of.
    #[must_use]
    pub fn exclude(mut self, device: u64, inode: u64) -> Self {
        self.excluded.push((device, inode));
        self
    }

    /// Adds the files of a directory. Symlinks are kept, not followed; of pseudo file systems
    /// that are mounted in it, such as procfs, only the empty directories are taken.
    pub fn add_directory(&mut self, path: &Path) -> Result<()> {
        directory::add(self, path)
    }

    /// Adds the members of a tar archive, plain or compressed by gzip, zstd or xz, as unpacking
    /// it would: a member that comes twice is the last one, and links on the way are followed,
    /// inside the image.
    pub fn add_archive(&mut self, archive: impl BufRead) -> Result<()> {
        archive::add(self, archive)
    }

    /// Writes the rest of the image, and hands the writer back.
    pub fn finish(self) -> Result<(W, Summary)> {
        let (writer, inodes) = metadata::write(&self.tree, self.output)?;
        let bytes = self.progress.bytes;
        Ok((writer, Summary { inodes, bytes }))
    }

    /// Names a new node. `path` is for errors.
    pub(crate) fn insert(
        &mut self,
        path: &[u8],
        slot: Slot,
        attributes: Attributes,
        contents: Contents,
    ) -> Result<NodeId> {
        let attributes = self.prepare(path, attributes)?;
        let inserted = self.tree.insert(slot, attributes, contents)?;
        self.count_file();
        inserted.map_err(|reason| refused(path, reason))
    }

    /// Attributes as the image will have them.
    pub(crate) fn prepare(&self, path: &[u8], mut attributes: Attributes) -> Result<Attributes> {
        if let OwnerPolicy::Set { user, group } = self.owner {
            (attributes.user, attributes.group) = (user, group);
        }
        let normalised = attributes.normalise();
        normalised.map_err(|reason: Refusal| refused(path, reason))?;
        Ok(attributes)
    }

    /// Starts a file of about `expected` bytes.
    pub(crate) fn begin_file(&self, expected: u64) -> FileWriter {
        FileWriter::new(&self.output, expected)
    }

    /// Copies `length` bytes of a file to the image; returns how many there were.
    pub(crate) fn copy(
        &mut self,
        file: &mut FileWriter,
        reader: &mut dyn Read,
        length: u64,
        read_error: impl Fn(std::io::Error) -> ImageError,
    ) -> Result<u64> {
        let mut done = 0;
        while done < length {
            let room = usize::try_from(length - done).unwrap_or(usize::MAX);
            let room = room.min(self.buffer.len());
            let count = match reader.read(&mut self.buffer[..room]) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(read_error(error)),
            };
            file.write(&mut self.output, &self.buffer[..count])?;
            done += count as u64;
            self.progress.bytes += count as u64;
            (self.report)(self.progress);
        }
        Ok(done)
    }

    pub(crate) fn count_file(&mut self) {
        self.progress.files += 1;
        (self.report)(self.progress);
    }
}
