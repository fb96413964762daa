//! `--rootfs`: what the root directory is made of.

use crate::host_programs::HostPrograms;
use crate::volume::open_place;
use anyhow::{Context, Result, bail};
use capsid_broker::{ExportSource, Readers, Scope};
use capsid_wire::{ExportAccess, RootKind, RootSymlink};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where the superblock of an EROFS image lies, and what it starts with.
const EROFS_MAGIC_AT: u64 = 1024;
const EROFS_MAGIC: [u8; 4] = [0xe2, 0xe1, 0xf5, 0xe0];

/// A root directory.
#[derive(Debug, Default)]
pub struct Root {
    /// Its kind.
    pub kind: RootKind,
    /// The image, for [`RootKind::Image`].
    pub image: Option<OwnedFd>,
    /// Exports that belong to it.
    pub exports: Vec<ExportSource>,
    /// Symlinks to make in it.
    pub symlinks: Vec<RootSymlink>,
}

impl Root {
    /// Opens what `--rootfs` names, or this machine's programs.
    pub fn open(path: Option<&Path>) -> Result<Root> {
        let Some(path) = path else {
            let programs = HostPrograms::find()?;
            return Ok(Root {
                exports: programs.exports,
                symlinks: programs.symlinks,
                ..Root::default()
            });
        };
        let metadata = std::fs::metadata(path)
            .with_context(|| format!("cannot use {} as root", path.display()))?;
        if metadata.is_dir() {
            return Root::directory(path);
        }
        if !metadata.is_file() {
            bail!(
                "cannot use {} as root: it is neither a directory nor a file",
                path.display()
            );
        }
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        if is_erofs(&file) {
            capsid_image::check_image(path)?;
            return Ok(Root::image(file.into()));
        }
        Ok(Root::image(crate::import::import_cached(path)?))
    }

    fn directory(path: &Path) -> Result<Root> {
        // A directory that cannot be listed would look like an empty root to the program.
        std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
        let export = ExportSource {
            host: open_place(path)?,
            mount_point: b"/".to_vec(),
            access: ExportAccess::ReadOnly,
            stable: true,
            scope: Scope::Everything,
            readers: Readers::Broker,
        };
        Ok(Root {
            kind: RootKind::Export,
            exports: vec![export],
            ..Root::default()
        })
    }

    fn image(image: OwnedFd) -> Root {
        Root {
            kind: RootKind::Image,
            image: Some(image),
            ..Root::default()
        }
    }
}

fn is_erofs(file: &File) -> bool {
    let mut magic = [0; 4];
    file.read_exact_at(&mut magic, EROFS_MAGIC_AT).is_ok() && magic == EROFS_MAGIC
}
