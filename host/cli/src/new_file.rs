//! A file that appears whole, under its name, or not at all.

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// A file being written. Dropped without [`NewFile::publish`], it is gone.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    target: PathBuf,
    /// Its name for now; none at all where the file system allows it, so that an interrupted
    /// command leaves nothing behind.
    temporary: Option<PathBuf>,
}

impl NewFile {
    /// Starts a file that will be `target`, and replace what is there.
    pub fn create(target: &Path) -> Result<NewFile> {
        // Devices and FIFOs are not replaced by accident.
        if target.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            bail!(
                "cannot write {}: it is not a regular file",
                target.display()
            );
        }
        let directory = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let context = || format!("cannot write {}", target.display());
        let mode = Mode::from_raw_mode(0o666);
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        match openat(CWD, directory, flags | OFlags::TMPFILE, mode) {
            Ok(file) => Ok(NewFile {
                file: file.into(),
                target: target.to_owned(),
                temporary: None,
            }),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let temporary = temporary_name(target);
                let flags = flags | OFlags::CREATE | OFlags::EXCL;
                let file = openat(CWD, &temporary, flags, mode).with_context(context)?;
                Ok(NewFile {
                    file: file.into(),
                    target: target.to_owned(),
                    temporary: Some(temporary),
                })
            }
            Err(error) => Err(error).with_context(context),
        }
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name.
    pub fn publish(mut self) -> Result<()> {
        let context = || format!("cannot write {}", self.target.display());
        let temporary = match self.temporary.take() {
            Some(temporary) => temporary,
            None => {
                // A link cannot replace a file, a rename can.
                let temporary = temporary_name(&self.target);
                let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                let follow = AtFlags::SYMLINK_FOLLOW;
                linkat(CWD, path, CWD, &temporary, follow).with_context(context)?;
                temporary
            }
        };
        let renamed = std::fs::rename(&temporary, &self.target);
        if renamed.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        renamed.with_context(context)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            let _ = std::fs::remove_file(temporary);
        }
    }
}

/// A name beside the target that no other process uses.
fn temporary_name(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    // Names have at most 255 bytes.
    let name: String = name.chars().take(32).collect();
    target.with_file_name(format!(".{name}.{}.partial", std::process::id()))
}
