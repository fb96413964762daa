//! The tree against a model: a map from paths to what they hold.

use super::World;
use super::operations::{Operation, operations};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use capsid_platform::Errno;
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Directory,
    File(usize),
}

/// The paths; files are numbers into `contents`, so that links can share them.
#[derive(Default)]
struct Model {
    nodes: BTreeMap<String, Node>,
    contents: Vec<Vec<u8>>,
}

fn parent(path: &str) -> &str {
    &path[..path.rfind('/').unwrap()]
}

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.starts_with('/'))
}

impl Model {
    /// The node at a path, with the errors of a walk.
    fn find(&self, path: &str) -> Result<&Node, Errno> {
        let above = parent(path);
        if !above.is_empty() {
            match self.find(above)? {
                Node::Directory => {}
                Node::File(_) => return Err(Errno::ENOTDIR),
            }
        }
        self.nodes.get(path).ok_or(Errno::ENOENT)
    }

    /// The node if there is one; an error if its directory is none.
    fn slot(&self, path: &str) -> Result<Option<Node>, Errno> {
        let above = parent(path);
        if !above.is_empty() {
            match self.find(above)? {
                Node::Directory => {}
                Node::File(_) => return Err(Errno::ENOTDIR),
            }
        }
        Ok(self.nodes.get(path).cloned())
    }

    fn is_empty(&self, path: &str) -> bool {
        !self.nodes.keys().any(|other| is_below(other, path))
    }

    fn move_tree(&mut self, from: &str, to: &str) {
        let moved: Vec<String> = self
            .nodes
            .keys()
            .filter(|path| *path == from || is_below(path, from))
            .cloned()
            .collect();
        for path in moved {
            let node = self.nodes.remove(&path).unwrap();
            self.nodes.insert([to, &path[from.len()..]].concat(), node);
        }
    }

    fn rename(&mut self, from: &str, to: &str, exchange: bool) -> Result<(), Errno> {
        // Both directories are walked to before either name is looked up.
        let source = self.slot(from)?;
        let target = self.slot(to)?;
        let source = source.ok_or(Errno::ENOENT)?;
        if exchange && target.is_none() {
            return Err(Errno::ENOENT);
        }
        if is_below(to, from) && source == Node::Directory {
            return Err(Errno::EINVAL);
        }
        if is_below(from, to) {
            return Err(if exchange {
                Errno::EINVAL
            } else {
                Errno::ENOTEMPTY
            });
        }
        if from == to || target.as_ref() == Some(&source) && source != Node::Directory {
            return Ok(());
        }
        if exchange {
            self.move_tree(from, "/swap");
            self.move_tree(to, from);
            self.move_tree("/swap", to);
            return Ok(());
        }
        match (&source, &target) {
            (Node::Directory, Some(Node::File(_))) => return Err(Errno::ENOTDIR),
            (Node::File(_), Some(Node::Directory)) => return Err(Errno::EISDIR),
            (Node::Directory, Some(Node::Directory)) if !self.is_empty(to) => {
                return Err(Errno::ENOTEMPTY);
            }
            _ => {}
        }
        self.nodes.remove(to);
        self.move_tree(from, to);
        Ok(())
    }

    fn apply(&mut self, operation: &Operation) -> Result<(), Errno> {
        match operation {
            Operation::Mkdir(path) => match self.slot(path)? {
                Some(_) => Err(Errno::EEXIST),
                None => {
                    self.nodes.insert(path.clone(), Node::Directory);
                    Ok(())
                }
            },
            Operation::Write(path, bytes) => match self.slot(path)? {
                Some(Node::Directory) => Err(Errno::EISDIR),
                Some(Node::File(number)) => {
                    self.contents[number] = bytes.clone();
                    Ok(())
                }
                None => {
                    self.contents.push(bytes.clone());
                    let node = Node::File(self.contents.len() - 1);
                    self.nodes.insert(path.clone(), node);
                    Ok(())
                }
            },
            Operation::Append(path, bytes) => match self.find(path)? {
                Node::Directory => Err(Errno::EISDIR),
                &Node::File(number) => {
                    self.contents[number].extend_from_slice(bytes);
                    Ok(())
                }
            },
            Operation::Unlink(path) => match self.find(path)? {
                Node::Directory => Err(Errno::EISDIR),
                Node::File(_) => {
                    self.nodes.remove(path);
                    Ok(())
                }
            },
            Operation::Rmdir(path) => match self.find(path)? {
                Node::File(_) => Err(Errno::ENOTDIR),
                Node::Directory if !self.is_empty(path) => Err(Errno::ENOTEMPTY),
                Node::Directory => {
                    self.nodes.remove(path);
                    Ok(())
                }
            },
            Operation::Link(from, to) => {
                let source = self.find(from)?.clone();
                match (source, self.slot(to)?) {
                    (_, Some(_)) => Err(Errno::EEXIST),
                    (Node::Directory, None) => Err(Errno::EPERM),
                    (source, None) => {
                        self.nodes.insert(to.clone(), source);
                        Ok(())
                    }
                }
            }
            Operation::Rename(from, to) => self.rename(from, to, false),
            Operation::Exchange(from, to) => self.rename(from, to, true),
            Operation::Symlink(..) | Operation::Chmod(..) | Operation::SetXattr(..) => Ok(()),
        }
    }

    fn snapshot(&self) -> BTreeMap<String, Option<Vec<u8>>> {
        self.nodes
            .iter()
            .map(|(path, node)| match node {
                Node::Directory => (path.to_string(), None),
                Node::File(number) => (path.to_string(), Some(self.contents[*number].clone())),
            })
            .collect()
    }
}

proptest! {
    #![proptest_config(crate::test_platform::proptest_config(400))]
    #[test]
    fn tmpfs_is_like_the_model(operations in operations(60)) {
        let world = World::new();
        let mut model = Model::default();
        for operation in &operations {
            if matches!(operation,
                Operation::Symlink(..) | Operation::Chmod(..) | Operation::SetXattr(..)) {
                continue;
            }
            prop_assert_eq!(world.apply(operation), model.apply(operation), "{:?}", operation);
        }
        let found: BTreeMap<_, _> = world
            .snapshot()
            .into_keys()
            .map(|path| {
                let contents = world.read(&path).ok();
                (path, contents)
            })
            .collect();
        prop_assert_eq!(found, model.snapshot());
    }

    #[test]
    fn a_cold_cache_shows_the_same_tree(operations in operations(60)) {
        let (warm, cold) = (World::new(), World::new());
        for operation in &operations {
            let result = cold.apply(operation);
            crate::fs::forget_unused();
            prop_assert_eq!(warm.apply(operation), result, "{:?}", operation);
        }
        prop_assert_eq!(warm.snapshot(), cold.snapshot());
    }
}
