//! Scripts: the `#!` line, execve(2).

use capsid_core::Errno;

/// How much of a file the line must be found in (`BINPRM_BUF_SIZE`).
pub const LINE_BYTES: usize = 256;

/// What a `#!` line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The interpreter's path.
    pub interpreter: &'a [u8],
    /// The rest of the line, without spaces around it.
    pub argument: Option<&'a [u8]>,
}

fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_space(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_space(*last)
    {
        bytes = rest;
    }
    bytes
}

/// Parses the start of a file; `None` if it is no script. `ENOEXEC` for a line without an
/// interpreter, or whose interpreter's path is cut.
pub fn parse(start: &[u8]) -> Option<Result<Line<'_>, Errno>> {
    let start = start.get(..start.len().min(LINE_BYTES))?;
    let text = start.strip_prefix(b"#!")?;
    let end = text.iter().position(|byte| *byte == b'\n' || *byte == 0);
    let line = trim(&text[..end.unwrap_or(text.len())]);
    let split = line.iter().position(|byte| is_space(*byte));
    if line.is_empty() {
        return Some(Err(Errno::ENOEXEC));
    }
    if end.is_none() && split.is_none() && start.len() == LINE_BYTES {
        return Some(Err(Errno::ENOEXEC));
    }
    let (interpreter, rest) = line.split_at(split.unwrap_or(line.len()));
    let argument = trim(rest);
    Some(Ok(Line {
        interpreter,
        argument: (!argument.is_empty()).then_some(argument),
    }))
}

#[cfg(test)]
mod tests {
    use super::{Line, parse};
    use capsid_core::Errno;

    #[test]
    fn lines_are_read_as_linux_reads_them() {
        assert_eq!(parse(b"echo"), None);
        let line = |text| parse(text).unwrap().unwrap();
        assert_eq!(
            line(b"#!/bin/sh\necho"),
            Line {
                interpreter: b"/bin/sh",
                argument: None
            }
        );
        assert_eq!(
            line(b"#! \t/usr/bin/env  python3 -u \n"),
            Line {
                interpreter: b"/usr/bin/env",
                argument: Some(b"python3 -u")
            }
        );
        assert_eq!(parse(b"#!  \n").unwrap(), Err(Errno::ENOEXEC));
        let mut long = [b'x'; 256];
        long[..2].copy_from_slice(b"#!");
        assert_eq!(parse(&long).unwrap(), Err(Errno::ENOEXEC));
        long[9] = b' ';
        assert!(parse(&long).unwrap().is_ok());
    }
}
