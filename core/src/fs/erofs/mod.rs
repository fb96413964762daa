//! EROFS: a read-only file system in one image, read in place.
//!
//! [`Image`], [`Node`] and what hangs on them read plain bytes, and know nothing of mounts or
//! descriptors; [`Erofs`] makes a file system of them. Every offset that the image holds is checked where it is used: a damaged or hostile image makes
//! errors (`EUCLEAN`), never a panic or an endless loop. The image may change at any time, so
//! nothing that was checked is read twice.

mod attribute;
mod directory;
mod file;
mod file_system;
pub mod format;
mod inode;
mod node;
mod superblock;

pub use attribute::Attribute;
pub use directory::{Entry, file_type};
pub use file_system::Erofs;
pub use node::{Extent, Node};
pub use superblock::Image;
