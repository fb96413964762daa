//! What the tables of procfs are made of.

use crate::procfs::subject::Subject;
use crate::procfs::text::Text;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::fs::Path;

use crate::kernel::Kernel;

/// Makes the contents of a file.
pub(super) type Generate = fn(&Context<'_>, &mut Text) -> Result<(), Errno>;
/// Takes what was written to a file.
pub(super) type Accept = fn(&Context<'_>, &[u8]) -> Result<(), Errno>;
/// Finds where a link leads.
pub(super) type Resolve = fn(&Context<'_>) -> Result<Target, Errno>;

/// One name in a directory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) mode: u32,
    pub(super) node: Node,
}

/// What a name stands for.
#[derive(Debug)]
pub(super) enum Node {
    /// A file that is generated when it is opened.
    File(Generate),
    /// One that can be written to as well.
    Writable(Generate, Accept),
    /// A symlink.
    Link(Resolve),
    /// A directory with these names.
    Directory(&'static [Entry]),
    /// The root: these names, and the processes.
    Processes(&'static [Entry]),
    /// These names, and a directory for each processor.
    Processors(&'static [Entry]),
    /// The threads of a process.
    Threads,
    /// The descriptors of a thread: a link each.
    Descriptors,
    /// The descriptors of a thread: a file about each.
    DescriptorInfos,
    /// The link to what a descriptor has open.
    Descriptor,
    /// The file about a descriptor.
    DescriptorInfo,
}

/// Where a link leads.
#[derive(Debug)]
pub(super) enum Target {
    /// A path to walk.
    Text(Vec<u8>),
    /// A place, whatever its name is by now.
    Place(Path),
}

/// What generators work with.
pub(super) struct Context<'a> {
    pub(super) kernel: &'a Arc<Kernel>,
    pub(super) subject: &'a Subject,
}

impl Entry {
    pub(super) const fn new(name: &'static str, mode: u32, node: Node) -> Entry {
        Entry { name, mode, node }
    }

    /// A file that all may read.
    pub(super) const fn file(name: &'static str, generate: Generate) -> Entry {
        Entry::new(name, 0o444, Node::File(generate))
    }

    /// A file that only the owner may read.
    pub(super) const fn private(name: &'static str, generate: Generate) -> Entry {
        Entry::new(name, 0o400, Node::File(generate))
    }

    /// A file that the owner may write to.
    pub(super) const fn writable(name: &'static str, generate: Generate, accept: Accept) -> Entry {
        Entry::new(name, 0o644, Node::Writable(generate, accept))
    }

    /// A symlink.
    pub(super) const fn link(name: &'static str, resolve: Resolve) -> Entry {
        Entry::new(name, 0o777, Node::Link(resolve))
    }

    /// A directory that all may list.
    pub(super) const fn directory(name: &'static str, entries: &'static [Entry]) -> Entry {
        Entry::new(name, 0o555, Node::Directory(entries))
    }
}
