//! Makes EROFS images of directories and archives.

use crate::new_file::NewFile;
use anyhow::{Context, Result, bail};
use capsid_image::{ImageBuilder, OwnerPolicy, Progress, Summary};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const BUFFER_BYTES: usize = 256 << 10;

/// Turns `source` (a directory, an archive, or `-` for an archive on standard input) into the
/// image `output`.
pub fn import(source: &Path, output: &Path, owner: OwnerPolicy) -> Result<Summary> {
    let source = Source::open(source)?;
    let new = NewFile::create(output)?;
    let old = std::fs::metadata(output).ok();
    let summary = source.build(&new, old.as_ref(), owner)?;
    new.publish()?;
    Ok(summary)
}

/// Imports an archive and returns the open image. It is kept in the user's cache, and used again
/// as long as the archive stays the same file.
pub fn import_cached(path: &Path) -> Result<OwnedFd> {
    let archive = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let metadata = archive.metadata()?;
    let source = Source::Archive(archive, path.to_owned());
    let Some(cache) = cache_directory() else {
        return source.build_unnamed(&std::env::temp_dir());
    };
    let image = cache.join(cache_name(&metadata));
    if let Ok(file) = File::open(&image)
        && capsid_image::check_image(&image).is_ok()
    {
        return Ok(file.into());
    }
    let Ok(new) = NewFile::create(&image) else {
        return source.build_unnamed(&std::env::temp_dir());
    };
    source.build(&new, None, OwnerPolicy::Keep)?;
    // The sandbox gets a descriptor that cannot write.
    let readable = reopen(new.file())?;
    new.publish()?;
    forget_older(&cache, &image, &metadata);
    Ok(readable)
}

/// Removes images of what the archive was before.
fn forget_older(cache: &Path, image: &Path, archive: &Metadata) {
    let prefix = cache_prefix(archive);
    for entry in std::fs::read_dir(cache).into_iter().flatten().flatten() {
        let is_older = entry.file_name().to_string_lossy().starts_with(&prefix);
        if is_older && entry.path() != image {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Where images of archives are kept: in the user's cache directory.
fn cache_directory() -> Option<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME") {
        Some(path) if Path::new(&path).is_absolute() => PathBuf::from(path),
        _ => PathBuf::from(std::env::var_os("HOME")?).join(".cache"),
    };
    let directory = base.join("capsid/images");
    std::fs::create_dir_all(&directory).ok()?;
    Some(directory)
}

/// A name that changes when the archive does.
fn cache_name(archive: &Metadata) -> String {
    format!(
        "{}{:x}-{:x}.{:x}-{:x}.{:x}.erofs",
        cache_prefix(archive),
        archive.size(),
        archive.mtime(),
        archive.mtime_nsec(),
        archive.ctime(),
        archive.ctime_nsec(),
    )
}

/// What the names of all images of one archive start with.
fn cache_prefix(archive: &Metadata) -> String {
    format!("{:x}-{:x}-", archive.dev(), archive.ino())
}

fn reopen(file: &File) -> Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(File::open(path)
        .context("cannot open the new image")?
        .into())
}

/// What an image is made of.
enum Source {
    Directory(PathBuf),
    Archive(File, PathBuf),
    Stdin,
}

impl Source {
    fn open(path: &Path) -> Result<Source> {
        if path.as_os_str() == "-" {
            return Ok(Source::Stdin);
        }
        let context = || format!("cannot read {}", path.display());
        let metadata = std::fs::metadata(path).with_context(context)?;
        if metadata.is_dir() {
            return Ok(Source::Directory(path.to_owned()));
        }
        let file = File::open(path).with_context(context)?;
        Ok(Source::Archive(file, path.to_owned()))
    }

    fn name(&self) -> String {
        match self {
            Source::Directory(path) | Source::Archive(_, path) => path.display().to_string(),
            Source::Stdin => "standard input".to_owned(),
        }
    }

    /// Writes the image. `old` is what it will replace, which it shall not hold either.
    fn build(&self, new: &NewFile, old: Option<&Metadata>, owner: OwnerPolicy) -> Result<Summary> {
        let own = new.file().metadata()?;
        let mut builder = ImageBuilder::new(new.file()).owner(owner);
        for file in [Some(&own), old].into_iter().flatten() {
            builder = builder.exclude(file.dev(), file.ino());
        }
        let bar = self.progress_bar();
        let outcome = self.fill(builder, &bar);
        bar.finish_and_clear();
        outcome.with_context(|| format!("cannot import {}", self.name()))
    }

    fn build_unnamed(&self, directory: &Path) -> Result<OwnedFd> {
        let new = NewFile::create(&directory.join("image.erofs"))?;
        self.build(&new, None, OwnerPolicy::Keep)?;
        reopen(new.file())
    }

    fn fill(&self, builder: ImageBuilder<'_, &File>, bar: &ProgressBar) -> Result<Summary> {
        let report = |progress: Progress| {
            let (files, bytes) = (HumanCount(progress.files), HumanBytes(progress.bytes));
            if !bar.is_hidden() {
                bar.set_message(format!("{files} files, {bytes}"));
            }
        };
        let mut builder = builder.on_progress(report);
        match self {
            Source::Directory(path) => builder.add_directory(path)?,
            Source::Archive(file, _) => builder.add_archive(buffered(bar.wrap_read(file)))?,
            Source::Stdin => builder.add_archive(buffered(bar.wrap_read(io::stdin().lock())))?,
        }
        Ok(builder.finish()?.1)
    }

    /// A bar where the end is known. It is drawn on a terminal only.
    fn progress_bar(&self) -> ProgressBar {
        let length = match self {
            Source::Archive(file, _) => file.metadata().ok().map(|metadata| metadata.len()),
            Source::Directory(_) | Source::Stdin => None,
        };
        let (bar, template) = match length.filter(|length| *length > 0) {
            Some(length) => (
                ProgressBar::new(length),
                "{bar:30} {percent:>3}%  {msg}  {elapsed}",
            ),
            None => (ProgressBar::new_spinner(), "{spinner} {msg}  {elapsed}"),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }
}

fn buffered(reader: impl io::Read) -> impl BufRead {
    BufReader::with_capacity(BUFFER_BYTES, reader)
}

/// Parses `UID[:GID]`.
pub fn parse_owner(text: &str) -> Result<OwnerPolicy> {
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    match (user.parse(), group.parse()) {
        (Ok(user), Ok(group)) => Ok(OwnerPolicy::Set { user, group }),
        _ => bail!("wrong owner {text:?}: give UID or UID:GID as numbers"),
    }
}
