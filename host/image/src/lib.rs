//! Builds root file-system images: a directory or a tar archive becomes one EROFS image.
//!
//! The images are plain: no compression, blocks of 4 KiB, and every file in consecutive blocks of
//! its own, so that a sandbox can map any page of it. The same source gives the same bytes.
//!
//! The bytes of files are written as they come, and only names and attributes are kept in memory,
//! within [`MEMORY_LIMIT_BYTES`]. An archive may come from anyone: whatever it holds, the outcome
//! is an image or an [`ImageError`].
#![forbid(unsafe_code)]

mod archive;
mod attributes;
mod builder;
mod check;
mod directory;
mod directory_block;
mod error;
mod file_data;
mod layout;
mod metadata;
mod output;
mod tree;

pub use archive::{SourceKind, detect};
pub use attributes::{Attributes, Device, Timestamp, Xattr};
pub use builder::{ImageBuilder, OwnerPolicy, Progress, Summary};
pub use check::check_image;
pub use error::{ImageError, Refusal};
pub use tree::MEMORY_LIMIT_BYTES;
