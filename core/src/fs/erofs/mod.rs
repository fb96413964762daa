//! EROFS: a read-only file system in one image, read in place.
//!
//! The modules below read plain bytes and know nothing of the rest of the library OS. Every
//! offset that the image holds is checked where it is used: a damaged or hostile image makes
//! errors (`EUCLEAN`), never a panic or an endless loop. The image may change at any time, so
//! nothing that was checked is read twice.

mod attribute;
mod directory;
pub mod format;
mod node;
mod superblock;

pub use attribute::Attribute;
pub use directory::{Entry, file_type};
pub use node::{Extent, Node};
pub use superblock::Image;
