//! Inodes of procfs: directories, links and files by table.

use crate::kernel::Kernel;
use crate::procfs::descriptors;
use crate::procfs::entry::{Accept, Context, Entry, Generate, Node, Target};
use crate::procfs::process;
use crate::procfs::subject::Subject;
use crate::procfs::sysfs;
use crate::procfs::text::{Text, TextFile};
use crate::procfs::{Mountable, Procfs};
use crate::task::ProcessorSet;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::fs::{
    AttributeChange, DeviceId, DirectoryEntry, File, FileKind, FileSystem, Inode, Metadata, Owner,
    Path, StatusFlags,
};
use capsid_platform::{Clock, platform};
use core::ops::ControlFlow;

/// A name of procfs, for one subject.
#[derive(Clone, Debug)]
pub(super) struct ProcInode {
    fs: Arc<Procfs>,
    entry: &'static Entry,
    subject: Subject,
}

/// A directory of one process, and of one thread: nobody looks at their names.
static PROCESS: Entry = Entry::new("", 0o555, Node::Directory(process::ENTRIES));
static THREAD: Entry = Entry::new("", 0o555, Node::Directory(process::THREAD_ENTRIES));
static PROCESSOR: Entry = Entry::new("", 0o555, Node::Directory(sysfs::PROCESSOR));
static DESCRIPTOR: Entry = Entry::new("", 0o700, Node::Descriptor);
static DESCRIPTOR_INFO: Entry = Entry::new("", 0o400, Node::DescriptorInfo);

/// The process that a directory of procfs is about; `None` for other inodes.
pub fn process_of_directory(inode: &dyn Inode) -> Option<u32> {
    let any: &dyn core::any::Any = inode;
    let inode = any.downcast_ref::<ProcInode>()?;
    core::ptr::eq(inode.entry, &PROCESS).then_some(inode.subject.process)
}

/// Positions of listed numbers start here, behind those of the table.
const NUMBERS: u64 = 1 << 16;

impl ProcInode {
    pub(super) fn new(fs: Arc<Procfs>, entry: &'static Entry, subject: Subject) -> ProcInode {
        ProcInode { fs, entry, subject }
    }

    fn kernel(&self) -> Result<Arc<Kernel>, Errno> {
        self.fs.kernel.upgrade().ok_or(Errno::ESRCH)
    }

    fn with_context<T>(
        &self,
        action: impl FnOnce(&Context<'_>) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let kernel = self.kernel()?;
        action(&Context {
            kernel: &kernel,
            subject: &self.subject,
        })
    }

    fn child(&self, entry: &'static Entry, subject: Subject) -> Arc<dyn Inode> {
        Arc::new(ProcInode::new(self.fs.clone(), entry, subject))
    }

    /// The names that the directory has by its table.
    fn table(&self) -> &'static [Entry] {
        match self.entry.node {
            Node::Directory(entries) | Node::Processes(entries) | Node::Processors(entries) => {
                entries
            }
            _ => &[],
        }
    }

    /// The numbers that it lists.
    fn numbers(&self) -> Result<Vec<u32>, Errno> {
        self.with_context(|context| {
            Ok(match self.entry.node {
                Node::Processes(_) => {
                    let processes = context.kernel.processes();
                    processes.iter().map(|process| process.id).collect()
                }
                Node::Threads => {
                    let threads = context.process()?.threads();
                    let mut ids: Vec<u32> = threads.iter().map(|thread| thread.id()).collect();
                    ids.sort_unstable();
                    ids
                }
                Node::Descriptors | Node::DescriptorInfos => descriptors::numbers(context)?,
                Node::Processors(_) => ProcessorSet::all().iter().collect(),
                _ => Vec::new(),
            })
        })
    }

    /// What a number in this directory stands for; whether it exists was found before.
    fn numbered(&self, number: u32) -> Option<Arc<dyn Inode>> {
        let mut subject = self.subject;
        let entry = match self.entry.node {
            Node::Processes(_) => {
                subject.process = number;
                &PROCESS
            }
            Node::Threads => {
                subject.thread = number;
                &THREAD
            }
            Node::Descriptors => {
                subject.descriptor = number;
                &DESCRIPTOR
            }
            Node::DescriptorInfos => {
                subject.descriptor = number;
                &DESCRIPTOR_INFO
            }
            Node::Processors(_) => {
                subject.processor = number;
                &PROCESSOR
            }
            _ => return None,
        };
        Some(self.child(entry, subject))
    }

    fn number_exists(&self, number: u32) -> Result<bool, Errno> {
        self.with_context(|context| {
            Ok(match self.entry.node {
                // A thread's directory can be asked for by name, though it is not listed.
                Node::Processes(_) => {
                    context.kernel.process(number).is_some()
                        || context.kernel.thread(number).is_some()
                }
                Node::Threads => {
                    let thread = context.kernel.thread(number);
                    thread.is_some_and(|thread| thread.process.id == self.subject.process)
                }
                Node::Descriptors | Node::DescriptorInfos => descriptors::exists(context, number)?,
                Node::Processors(_) => number < platform().info().processors.max(1),
                _ => false,
            })
        })
    }

    /// What stands before the numbers.
    fn prefix(&self) -> &'static str {
        match self.entry.node {
            Node::Processors(_) => "cpu",
            _ => "",
        }
    }

    fn generator(&self) -> Option<(Generate, Option<Accept>)> {
        match self.entry.node {
            Node::File(generate) => Some((generate, None)),
            Node::Writable(generate, accept) => Some((generate, Some(accept))),
            Node::DescriptorInfo => Some((descriptors::info, None)),
            _ => None,
        }
    }

    fn target(&self) -> Result<Target, Errno> {
        self.with_context(|context| match self.entry.node {
            Node::Link(resolve) => resolve(context),
            Node::Descriptor => descriptors::place(context).map(Target::Place),
            _ => Err(Errno::EINVAL),
        })
    }

    /// The permission bits; those of a descriptor's link say how it is open.
    fn mode(&self) -> u32 {
        match self.entry.node {
            Node::Descriptor => self
                .with_context(descriptors::link_mode)
                .unwrap_or(self.entry.mode),
            _ => self.entry.mode,
        }
    }

    /// A number that differs between all inodes, as far as 64 bits go.
    fn number(&self) -> u64 {
        let subject = self.subject;
        let mut hash = core::ptr::from_ref(self.entry).addr() as u64 >> 3;
        for part in [
            subject.process,
            subject.thread,
            subject.descriptor,
            subject.processor,
        ] {
            hash = (hash.rotate_left(7) ^ u64::from(part)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        (hash >> 16).max(2)
    }

    fn owner(&self) -> Owner {
        if self.subject.process == 0 {
            return Owner::default();
        }
        let credentials = self.with_context(|context| Ok(context.thread()?.credentials()));
        credentials.map_or(Owner::default(), |credentials| Owner {
            user: credentials.user.effective,
            group: credentials.group.effective,
        })
    }
}

/// A decimal number as procfs writes it.
fn parse_number(name: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(name).ok()?;
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    if plain && canonical {
        text.parse().ok()
    } else {
        None
    }
}

impl Inode for ProcInode {
    fn metadata(&self) -> Result<Metadata, Errno> {
        let now = platform().now(Clock::Realtime);
        let kind = self.kind();
        Ok(Metadata {
            device: self.fs.device.encode(),
            inode: self.number(),
            kind,
            permissions: self.mode(),
            links: if kind == FileKind::Directory { 2 } else { 1 },
            owner: self.owner(),
            special_device: DeviceId::default(),
            size: 0,
            blocks: 0,
            block_size: 1024,
            atime: now,
            mtime: now,
            ctime: now,
            btime: 0,
        })
    }

    fn kind(&self) -> FileKind {
        match self.entry.node {
            Node::File(_) | Node::Writable(..) | Node::DescriptorInfo => FileKind::Regular,
            Node::Link(_) | Node::Descriptor => FileKind::Symlink,
            _ => FileKind::Directory,
        }
    }

    fn permissions(&self) -> Result<(Owner, u32), Errno> {
        Ok((self.owner(), self.entry.mode))
    }

    fn is_same(&self, other: &dyn Inode) -> bool {
        let other: &dyn core::any::Any = other;
        other.downcast_ref::<ProcInode>().is_some_and(|other| {
            core::ptr::eq(self.entry, other.entry)
                && self.subject == other.subject
                && Arc::ptr_eq(&self.fs, &other.fs)
        })
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        Arc::new(Mountable(self.fs.clone()))
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<(), Errno> {
        // Opening for writing truncates.
        if change.permissions.is_some() || change.user.is_some() || change.group.is_some() {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        if self.kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let listed = self.table().iter();
        if let Some(entry) = listed.into_iter().find(|e| e.name.as_bytes() == name) {
            return Ok(self.child(entry, self.subject));
        }
        let number = name.strip_prefix(self.prefix().as_bytes());
        let number = number.and_then(parse_number).ok_or(Errno::ENOENT)?;
        if !self.number_exists(number)? {
            return Err(Errno::ENOENT);
        }
        let mut number = number;
        if let Node::Processes(_) = self.entry.node {
            // A thread's number stands for its process.
            let thread = self.kernel()?.thread(number);
            number = thread.map_or(number, |thread| thread.process.id);
        }
        self.numbered(number).ok_or(Errno::ENOENT)
    }

    fn create(
        &self,
        _name: &[u8],
        _node: capsid_core::fs::NewNode<'_>,
        _permissions: u32,
        _owner: Owner,
    ) -> Result<Arc<dyn Inode>, Errno> {
        // Linux says that the directory does not allow it, whoever asks.
        Err(Errno::ENOENT)
    }

    fn unlink(&self, _name: &[u8]) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn remove_directory(&self, _name: &[u8]) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn read_directory(
        &self,
        position: u64,
        emit: &mut dyn FnMut(DirectoryEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        if self.kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        for (index, entry) in (0..NUMBERS).zip(self.table()) {
            if index < position {
                continue;
            }
            let child = ProcInode::new(self.fs.clone(), entry, self.subject);
            let flow = emit(DirectoryEntry {
                name: entry.name.as_bytes(),
                inode: child.number(),
                kind: child.kind(),
                next: index + 1,
            });
            if flow.is_break() {
                return Ok(());
            }
        }
        for number in self.numbers()? {
            let at = NUMBERS + u64::from(number);
            if at < position {
                continue;
            }
            let Some(child) = self.numbered(number) else {
                break;
            };
            let flow = emit(DirectoryEntry {
                name: format!("{}{number}", self.prefix()).as_bytes(),
                inode: child.metadata()?.inode,
                kind: child.kind(),
                next: at + 1,
            });
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        match self.target()? {
            Target::Text(text) => Ok(text),
            Target::Place(path) => {
                let root = self.kernel()?.namespace.root();
                Ok(path.link_text(&root))
            }
        }
    }

    fn follow(&self) -> Result<Option<Path>, Errno> {
        match self.target()? {
            Target::Text(_) => Ok(None),
            Target::Place(path) => Ok(Some(path)),
        }
    }

    fn open(self: Arc<Self>, _flags: StatusFlags) -> Result<Arc<dyn File>, Errno> {
        let (generate, accept) = self.generator().ok_or(Errno::ENXIO)?;
        let mut text = Text::default();
        self.with_context(|context| generate(context, &mut text))?;
        Ok(Arc::new(TextFile {
            kernel: self.kernel()?,
            subject: self.subject,
            contents: text.0,
            accept,
            inode: self,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::parse_number;

    #[test]
    fn only_plain_numbers_name_processes() {
        assert_eq!(parse_number(b"0"), Some(0));
        assert_eq!(parse_number(b"42"), Some(42));
        for name in [&b""[..], b"01", b"+1", b"1x", b"99999999999"] {
            assert_eq!(parse_number(name), None);
        }
    }
}
