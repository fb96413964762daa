//! `-v HOST:GUEST[:ro|rw]`.

use anyhow::{Context, Result, bail, ensure};
use capsid_broker::{ExportSource, Readers, Scope};
use capsid_wire::ExportAccess;
use rustix::fs::{Mode, OFlags};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// One volume, as it was typed.
#[derive(Debug, PartialEq, Eq)]
struct Volume<'a> {
    host: &'a [u8],
    guest: &'a [u8],
    access: ExportAccess,
}

/// Opens what a `-v` names.
pub fn open_volume(text: &OsStr) -> Result<ExportSource> {
    let volume = parse(text.as_bytes()).with_context(|| format!("bad volume {text:?}"))?;
    let host = Path::new(OsStr::from_bytes(volume.host));
    Ok(ExportSource {
        host: open_place(host)?,
        mount_point: volume.guest.to_vec(),
        access: volume.access,
        stable: false,
        scope: Scope::Everything,
        readers: Readers::Broker,
    })
}

/// Names a directory or a file of the host.
pub fn open_place(path: &Path) -> Result<OwnedFd> {
    let kind = std::fs::metadata(path)
        .with_context(|| format!("cannot use {}", path.display()))?
        .file_type();
    ensure!(
        kind.is_dir() || kind.is_file(),
        "cannot use {}: it is neither a directory nor a regular file",
        path.display()
    );
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .with_context(|| format!("cannot open {}", path.display()))
}

fn parse(text: &[u8]) -> Result<Volume<'_>> {
    let (rest, access) = if let Some(rest) = text.strip_suffix(b":ro") {
        (rest, ExportAccess::ReadOnly)
    } else if let Some(rest) = text.strip_suffix(b":rw") {
        (rest, ExportAccess::ReadWrite)
    } else {
        (text, ExportAccess::ReadOnly)
    };
    let Some(colon) = rest.iter().rposition(|byte| *byte == b':') else {
        bail!("use HOST:GUEST, HOST:GUEST:ro or HOST:GUEST:rw");
    };
    let (host, guest) = (&rest[..colon], &rest[colon + 1..]);
    ensure!(!host.is_empty(), "the host's path is missing");
    check_guest_path(guest)?;
    Ok(Volume {
        host,
        guest,
        access,
    })
}

/// Checks a path in the sandbox: absolute, and without `..`.
pub fn check_guest_path(path: &[u8]) -> Result<()> {
    ensure!(
        path.starts_with(b"/"),
        "the path in the sandbox, {:?}, must start with a slash",
        OsStr::from_bytes(path)
    );
    ensure!(
        !path.split(|byte| *byte == b'/').any(|part| part == b".."),
        "the path in the sandbox, {:?}, must not contain \"..\"",
        OsStr::from_bytes(path)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Volume, parse};
    use capsid_wire::ExportAccess::{ReadOnly, ReadWrite};

    #[test]
    fn volumes() {
        let volume = |host: &'static str, guest: &'static str, access| Volume {
            host: host.as_bytes(),
            guest: guest.as_bytes(),
            access,
        };
        let good = |text: &'static str| parse(text.as_bytes()).ok();
        assert_eq!(good("/a:/b"), Some(volume("/a", "/b", ReadOnly)));
        assert_eq!(good("/a:/b:rw"), Some(volume("/a", "/b", ReadWrite)));
        assert_eq!(good(".:/b:ro"), Some(volume(".", "/b", ReadOnly)));
        assert_eq!(good("/a:b:/c"), Some(volume("/a:b", "/c", ReadOnly)));
        for bad in [
            "",
            "/a",
            "/a:",
            ":/b",
            "/a:b",
            "/a:/b/../c",
            "/a:/b:cow",
            "rw",
            ":rw",
            "/a:rw",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
