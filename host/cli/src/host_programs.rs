//! The root directory without `--rootfs`: this machine's programs, read-only, and nothing else.

use crate::volume::open_place;
use anyhow::{Context, Result};
use capsid_broker::{ExportSource, Readers, Scope};
use capsid_wire::{ExportAccess, RootSymlink};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// Directories of programs and libraries. Where the host has a symlink (a merged `/usr`), the
/// sandbox gets the same symlink.
const DIRECTORIES: [&str; 7] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/libx32", "/lib64",
];

/// What programs read in `/etc`: how to load and find them, names of users, services and types,
/// certificates, locale, time zone, and defaults of shells, interpreters, editors and typesetters.
///
/// Left out on purpose: whatever may hold a secret or says which machine this is: `shadow`, `ssh`,
/// `ssl/private`, `machine-id`, `hostname`, `hosts`, `resolv.conf`, `environment`, `gitconfig`,
/// package managers' configuration with its tokens and proxies.
const ETC: [&str; 75] = [
    "DIR_COLORS",
    "R/Makeconf",
    "R/Renviron",
    "R/ldpaths",
    "R/repositories",
    "alternatives",
    "bash.bashrc",
    "bash_completion.d",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "default/locale",
    "dictionaries-common",
    "dpkg/origins",
    "emacs",
    "fonts",
    "gai.conf",
    "ghostscript",
    "groff",
    "group",
    "host.conf",
    "inputrc",
    "ld-musl-x86_64.d",
    "ld-musl-x86_64.path",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "libpaper.d",
    "locale.alias",
    "locale.conf",
    "locale.gen",
    "localtime",
    "login.defs",
    "lsb-release",
    "magic",
    "magic.mime",
    "mailcap",
    "manpath.config",
    "maven/logging",
    "maven/m2.conf",
    "mime.types",
    "mke2fs.conf",
    "mono/config",
    "nanorc",
    "nim/nim.cfg",
    "nsswitch.conf",
    "octaverc",
    "os-release",
    "pam.d",
    "papersize",
    "passwd",
    "perl",
    "php",
    "pki/ca-trust",
    "pki/tls/cert.pem",
    "pki/tls/certs",
    "profile",
    "profile.d",
    "protocols",
    "racket/config.rktd",
    "rpc",
    "sbclrc",
    "security/limits.conf",
    "security/limits.d",
    "services",
    "sgml",
    "shells",
    "skel",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "texmf",
    "timezone",
    "xml/catalog",
];
/// Beginnings of further names in `/etc`: interpreters that carry their version in it.
const ETC_BEGINNINGS: [&str; 5] = ["ImageMagick-", "fpc", "python", "java-", "vim"];

/// What the root directory is made of.
#[derive(Debug, Default)]
pub struct HostPrograms {
    /// Directories to mount.
    pub exports: Vec<ExportSource>,
    /// Symlinks to make.
    pub symlinks: Vec<RootSymlink>,
}

impl HostPrograms {
    /// Looks at this machine.
    pub fn find() -> Result<HostPrograms> {
        let mut found = HostPrograms::default();
        for directory in DIRECTORIES {
            let path = Path::new(directory);
            let Ok(metadata) = path.symlink_metadata() else {
                continue;
            };
            if metadata.is_dir() {
                found.export(path, Scope::Everything)?;
            } else if metadata.is_symlink() {
                let target = path
                    .read_link()
                    .with_context(|| format!("cannot read {directory}"))?;
                found.symlinks.push(RootSymlink {
                    path: directory.as_bytes().to_vec(),
                    target: target.into_os_string().into_vec(),
                });
            }
        }
        if Path::new("/etc").is_dir() {
            found.export(Path::new("/etc"), Scope::Listed(listed_in_etc()))?;
        }
        Ok(found)
    }

    fn export(&mut self, path: &Path, scope: Scope) -> Result<()> {
        self.exports.push(ExportSource {
            host: open_place(path)?,
            mount_point: path.as_os_str().as_encoded_bytes().to_vec(),
            access: ExportAccess::ReadOnly,
            // Programs are not replaced while they run, as far as a sandbox is concerned.
            stable: true,
            scope,
            readers: Readers::Everyone,
        });
        Ok(())
    }
}

fn listed_in_etc() -> Vec<Vec<u8>> {
    let mut listed: Vec<Vec<u8>> = ETC.iter().map(|name| name.as_bytes().to_vec()).collect();
    for entry in std::fs::read_dir("/etc").into_iter().flatten().flatten() {
        let name = entry.file_name().into_vec();
        if ETC_BEGINNINGS
            .iter()
            .any(|beginning| name.starts_with(beginning.as_bytes()))
        {
            listed.push(name);
        }
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::{ETC, listed_in_etc};

    #[test]
    fn secrets_of_etc_are_not_listed() {
        let listed = listed_in_etc();
        for secret in [
            "",
            "shadow",
            "gshadow",
            "ssh",
            "ssl",
            "ssl/private",
            "machine-id",
            "hostname",
            "resolv.conf",
            "environment",
            "sudoers",
            "gitconfig",
            "pki",
            "default",
        ] {
            assert!(!listed.contains(&secret.as_bytes().to_vec()), "{secret}");
        }
        assert!(ETC.is_sorted());
    }
}
