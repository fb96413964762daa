//! Paths that a sandbox sent.

use rustix::io::Errno;

/// The longest path, in bytes, without a terminator (`PATH_MAX` - 1).
const LONGEST_PATH: usize = 4095;
/// The longest component, in bytes (`NAME_MAX`).
const LONGEST_NAME: usize = 255;

/// A path relative to an export's root: components of 1 to 255 bytes without NUL, none of them `.`
/// or `..`, joined by single slashes. Empty for the root itself.
///
/// This makes an escape impossible by words alone; symlinks and races are kept out by `openat2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportPath<'a>(&'a [u8]);

impl<'a> ExportPath<'a> {
    /// Checks a path: `EINVAL` for a form that no library OS sends, `ENAMETOOLONG`.
    pub fn new(bytes: &'a [u8]) -> Result<ExportPath<'a>, Errno> {
        if bytes.len() > LONGEST_PATH {
            return Err(Errno::NAMETOOLONG);
        }
        if bytes.is_empty() {
            return Ok(ExportPath(bytes));
        }
        for component in bytes.split(|&byte| byte == b'/') {
            if component.len() > LONGEST_NAME {
                return Err(Errno::NAMETOOLONG);
            }
            if matches!(component, b"" | b"." | b"..") || component.contains(&0) {
                return Err(Errno::INVAL);
            }
        }
        Ok(ExportPath(bytes))
    }

    /// Whether this is the root.
    pub fn is_root(self) -> bool {
        self.0.is_empty()
    }

    /// The bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The components.
    pub fn components(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.0
            .split(|&byte| byte == b'/')
            .filter(|component| !component.is_empty())
    }

    /// The directory and the name in it; `None` for the root.
    pub fn split_last(self) -> Option<(ExportPath<'a>, &'a [u8])> {
        if self.is_root() {
            return None;
        }
        match self.0.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => Some((ExportPath(&self.0[..slash]), &self.0[slash + 1..])),
            None => Some((ExportPath(b""), self.0)),
        }
    }

    /// The path of the first `count` components.
    pub fn leading(self, count: usize) -> ExportPath<'a> {
        let end = match count.checked_sub(1) {
            None => 0,
            Some(slashes) => self
                .0
                .iter()
                .enumerate()
                .filter(|(_, byte)| **byte == b'/')
                .nth(slashes)
                .map_or(self.0.len(), |(index, _)| index),
        };
        ExportPath(&self.0[..end])
    }
}

#[cfg(test)]
mod tests {
    use super::ExportPath;
    use rustix::io::Errno;

    #[test]
    fn escapes_and_odd_forms_are_refused() {
        for path in [
            &b"/"[..],
            b"/etc",
            b"..",
            b"../x",
            b"a/..",
            b"a/../b",
            b".",
            b"a/.",
            b"./a",
            b"a//b",
            b"a/",
            b"a\0b",
            b"\0",
        ] {
            assert_eq!(ExportPath::new(path), Err(Errno::INVAL), "{path:?}");
        }
        assert_eq!(ExportPath::new(&[b'a'; 256]), Err(Errno::NAMETOOLONG));
        assert_eq!(
            ExportPath::new(&b"a/".repeat(2048)),
            Err(Errno::NAMETOOLONG)
        );
        for path in [&b""[..], b"a", b"a/b", b"...", b"..a/b..", b"\xff/\n"] {
            assert!(ExportPath::new(path).is_ok(), "{path:?}");
        }
    }

    #[test]
    fn paths_split() {
        let path = ExportPath::new(b"a/bc/d").expect("a path");
        assert_eq!(path.components().count(), 3);
        let (parent, name) = path.split_last().expect("a parent");
        assert_eq!((parent.as_bytes(), name), (&b"a/bc"[..], &b"d"[..]));
        assert_eq!(path.leading(0).as_bytes(), b"");
        assert_eq!(path.leading(1).as_bytes(), b"a");
        assert_eq!(path.leading(2).as_bytes(), b"a/bc");
        assert_eq!(path.leading(9).as_bytes(), b"a/bc/d");
        let (parent, name) = path.leading(1).split_last().expect("a parent");
        assert!(parent.is_root());
        assert_eq!(name, b"a");
        assert!(parent.split_last().is_none());
        assert_eq!(parent.components().count(), 0);
    }
}
