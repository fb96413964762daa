//! What the tests of images share: trees, snapshots of them, and the tools of erofs-utils.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod hostile;
pub mod snapshot;
pub mod tools;
pub mod trees;

use capsid_image::ImageBuilder;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that is removed in the end.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "capsid-image-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The image of a directory.
pub fn image_of_directory(path: &Path) -> Vec<u8> {
    let mut builder = ImageBuilder::new(Cursor::new(Vec::new()));
    builder.add_directory(path).unwrap();
    builder.finish().unwrap().0.into_inner()
}

/// The image of an archive.
pub fn image_of_archive(archive: &[u8]) -> Result<Vec<u8>, capsid_image::ImageError> {
    let mut builder = ImageBuilder::new(Cursor::new(Vec::new()));
    builder.add_archive(archive)?;
    Ok(builder.finish()?.0.into_inner())
}

/// Prints why a test does not run here.
pub fn skip(reason: &str) {
    println!("skipped: {reason}");
}

/// Whether this is the superuser.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
