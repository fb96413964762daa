//! What can go wrong, in one line that names the file. The causes are sources of the errors, and
//! not repeated in their texts.

use std::io;
use std::path::PathBuf;

/// Why no image was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A file of the source could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The image could not be written.
    #[error("cannot write the image")]
    Write(#[source] io::Error),
    /// The archive is cut short or its bytes make no sense.
    #[error("the archive is damaged {}", after(place))]
    Damaged {
        /// The last member that was found; empty at the start.
        place: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// The source is none of the formats that are known.
    #[error("{0}")]
    Format(&'static str),
    /// An image that no sandbox can use.
    #[error("cannot use {}: {reason}", path.display())]
    Unusable {
        /// The image.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// One file of the source cannot be in an image.
    #[error("{}: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: Refusal,
    },
    /// More bytes than block numbers can count.
    #[error("the image would be larger than 16 TiB")]
    ImageTooLarge,
    /// More names and attributes than are kept in memory.
    #[error("the source has too many files: their names and attributes take more than {} MiB",
        crate::MEMORY_LIMIT_BYTES >> 20)]
    TooManyFiles,
}

fn after(place: &std::path::Path) -> String {
    if place.as_os_str().is_empty() {
        "at its start".to_owned()
    } else {
        format!("at {}", place.display())
    }
}

/// Why a file cannot be in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A component has more than 255 bytes.
    #[error("a name is longer than 255 bytes")]
    NameTooLong,
    /// The path has more than 4095 bytes.
    #[error("the path is longer than 4095 bytes")]
    PathTooLong,
    /// A name has a byte that none can have.
    #[error("a name holds a zero byte")]
    ZeroByte,
    /// It goes up by `..`.
    #[error("the path goes up by `..`")]
    GoesUp,
    /// It stands below something that is no directory.
    #[error("it lies below something that is not a directory")]
    BelowNonDirectory,
    /// Symlinks lead in a circle.
    #[error("too many symbolic links on the way to it")]
    SymlinkLoop,
    /// It would replace a directory.
    #[error("it would replace a directory that is not empty")]
    ReplacesDirectory,
    /// A hard link to nothing, or to a directory.
    #[error("it is a hard link to something that is not there, or is a directory")]
    BadHardLink,
    /// An empty symlink, or too long a one.
    #[error("the target of the symbolic link is empty, or longer than 4095 bytes")]
    BadSymlink,
    /// Extended attributes that the format cannot hold.
    #[error("its extended attributes are too large")]
    XattrsTooLarge,
    /// A device number that the format cannot hold.
    #[error("its device number is out of range")]
    DeviceNumber,
    /// A number in the archive is wrong.
    #[error("a number in its header is wrong")]
    BadNumber,
    /// The map of a sparse file is wrong.
    #[error("the map of the sparse file is wrong")]
    BadSparseMap,
    /// The extended header is wrong.
    #[error("its extended header is wrong or too large")]
    BadExtendedHeader,
    /// The member continues in another archive.
    #[error("it is part of an archive of several volumes")]
    MultiVolume,
    /// The file became something else while it was read.
    #[error("it changed while it was read")]
    Changed,
}

/// The outcome of this crate's functions.
pub type Result<T> = std::result::Result<T, ImageError>;
