//! The tree of processes: ids, parents, groups, sessions, zombies, credentials(7).

use crate::signal::Signal;
use crate::task::{ExitStatus, Process, Thread};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_platform::platform;
use core::sync::atomic::Ordering;

/// Ids are below this, as `/proc/sys/kernel/pid_max` says.
pub const ID_LIMIT: u32 = 1 << 22;
/// After the first round, ids start here.
const ID_RESTART: u32 = 300;

/// Something that a parent can wait for, other than the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Stopped by a signal.
    Stopped(Signal),
    /// Continued.
    Continued,
}

/// A process's place in the tree.
#[derive(Debug)]
pub struct Node {
    /// The process.
    pub process: Arc<Process>,
    /// Its children, oldest first.
    pub children: Vec<u32>,
    /// How it ended, once it has; it stays until it is waited for.
    pub ended: Option<ExitStatus>,
    /// A change of state that nobody waited for yet.
    pub report: Option<Report>,
    /// It has executed a program since it was made.
    pub executed: bool,
    /// The thread of the parent that made it.
    pub maker: u32,
    /// Its parent ended and nobody who wants orphans adopted it: it leaves no zombie.
    pub orphan: bool,
}

/// All processes and threads.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: BTreeMap<u32, Node>,
    threads: BTreeMap<u32, Arc<Thread>>,
    last_id: u32,
}

impl Tree {
    /// Finds an id that no process, thread, group or session has; `EAGAIN` if there is none.
    pub fn new_id(&mut self) -> Result<u32, Errno> {
        for _ in 0..ID_LIMIT {
            self.last_id += 1;
            if self.last_id >= ID_LIMIT {
                self.last_id = ID_RESTART;
            }
            let id = self.last_id;
            if !self.nodes.contains_key(&id)
                && !self.threads.contains_key(&id)
                && !self.is_named(id)
            {
                return Ok(id);
            }
        }
        Err(Errno::EAGAIN)
    }

    /// Whether a group or a session has the id.
    fn is_named(&self, id: u32) -> bool {
        // Only after the numbers wrapped can an old group still carry one.
        self.last_id < ID_RESTART
            && self
                .nodes
                .values()
                .any(|node| node.process.group_id() == id || node.process.session_id() == id)
    }

    /// How many threads and zombies there are.
    #[must_use]
    pub fn task_count(&self) -> usize {
        let zombies = self.nodes.values().filter(|node| node.ended.is_some());
        self.threads.len() + zombies.count()
    }

    /// Adds a process under its parent.
    pub fn add_process(&mut self, process: Arc<Process>, maker: u32) {
        if let Some(parent) = self.nodes.get_mut(&process.parent_id()) {
            parent.children.push(process.id);
        }
        let node = Node {
            children: Vec::new(),
            ended: None,
            report: None,
            executed: false,
            maker,
            orphan: false,
            process,
        };
        self.nodes.insert(node.process.id, node);
    }

    /// Adds a thread.
    pub fn add_thread(&mut self, thread: &Arc<Thread>) {
        self.threads.insert(thread.id(), thread.clone());
    }

    /// Removes a thread.
    pub fn remove_thread(&mut self, id: u32) {
        self.threads.remove(&id);
    }

    /// Gives a thread the id of its process, after exec.
    pub fn promote(&mut self, thread: &Arc<Thread>) {
        self.threads.remove(&thread.id());
        thread.id.store(thread.process.id, Ordering::SeqCst);
        self.threads.insert(thread.id(), thread.clone());
    }

    /// The node of a process.
    #[must_use]
    pub fn node(&self, id: u32) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// The node of a process, to change.
    pub fn node_mut(&mut self, id: u32) -> Option<&mut Node> {
        self.nodes.get_mut(&id)
    }

    /// A live thread.
    #[must_use]
    pub fn thread(&self, id: u32) -> Option<&Arc<Thread>> {
        self.threads.get(&id)
    }

    /// All live threads.
    pub fn threads(&self) -> impl Iterator<Item = &Arc<Thread>> {
        self.threads.values()
    }

    /// All processes, zombies too.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// Removes a process that was waited for.
    pub fn remove_process(&mut self, id: u32) -> Option<Node> {
        let node = self.nodes.remove(&id)?;
        if let Some(parent) = self.nodes.get_mut(&node.process.parent_id()) {
            parent.children.retain(|child| *child != id);
        }
        Some(node)
    }

    /// Takes a process from its parent, which ends, and gives it to one that wants orphans. Else
    /// it is nobody's: it says that the first process is its parent, which does not hear of it.
    pub fn adopt(&mut self, child: u32, parent: Option<u32>) {
        let Some(node) = self.nodes.get_mut(&child) else {
            return;
        };
        node.orphan = parent.is_none();
        let new = parent.unwrap_or(crate::kernel::FIRST_PROCESS);
        let old = node.process.parent_id.swap(new, Ordering::SeqCst);
        if let Some(old) = self.nodes.get_mut(&old) {
            old.children.retain(|id| *id != child);
        }
        if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(&parent)) {
            parent.children.push(child);
        }
    }

    /// Who adopts the orphans of a process: the nearest living ancestor that asked for them.
    #[must_use]
    pub fn adopter(&self, id: u32) -> Option<u32> {
        let mut at = id;
        while let Some(node) = self.nodes.get(&at) {
            let parent = self.nodes.get(&node.process.parent_id())?;
            let process = &parent.process;
            if parent.ended.is_none() && process.adopts_orphans.load(Ordering::Relaxed) {
                return Some(process.id);
            }
            at = process.id;
        }
        None
    }

    /// The processes of a group that have not ended.
    pub fn group(&self, group: u32) -> impl Iterator<Item = &Node> {
        self.nodes
            .values()
            .filter(move |node| node.ended.is_none() && node.process.group_id() == group)
    }

    /// Puts a process into a group.
    pub fn set_group(&self, process: &Process, group: u32) {
        process.group_id.store(group, Ordering::SeqCst);
    }

    /// Makes a process the leader of a new session and group.
    pub fn set_session(&self, process: &Process) {
        process.group_id.store(process.id, Ordering::SeqCst);
        process.session_id.store(process.id, Ordering::SeqCst);
    }

    /// Whether no process of the group has a parent in another group of the same session, so that
    /// nobody could continue it once stopped. `leaving` does not count as a parent or member.
    #[must_use]
    pub fn is_orphaned(&self, group: u32, leaving: Option<u32>) -> bool {
        !self.group(group).any(|node| {
            let process = &node.process;
            let parent = self.nodes.get(&process.parent_id());
            // The first process has its parent outside, which continues capsid.
            if process.id == crate::kernel::FIRST_PROCESS && Some(process.id) != leaving {
                return platform().info().boot.job_control;
            }
            Some(process.id) != leaving
                && parent.is_some_and(|parent| {
                    parent.process.group_id() != group
                        && parent.process.session_id() == process.session_id()
                        && Some(parent.process.id) != leaving
                })
        })
    }
}
