//! The programs and libraries of this machine: how many sites there are, and that all are patched.

mod check;

use capsid_rewriter::{Hazards, SiteTable, Window, patch_proven_sites, plain_sites, sweep};
use check::{assert_equivalent, layout};
use std::path::Path;

/// The executable segments of a 64-bit ELF file; `None` if it cannot be read or is none.
fn texts(path: &Path) -> Option<Vec<Vec<u8>>> {
    let file = std::fs::read(path).ok()?;
    let u64_at = |at: usize| Some(u64::from_le_bytes(file.get(at..at + 8)?.try_into().ok()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?));
    let u16_at = |at: usize| Some(u16::from_le_bytes(file.get(at..at + 2)?.try_into().ok()?));
    if !file.starts_with(b"\x7fELF\x02\x01") || u16_at(18)? != 62 {
        return None;
    }
    let table = usize::try_from(u64_at(32)?).ok()?;
    let mut found = Vec::new();
    for index in 0..usize::from(u16_at(56)?) {
        let header = table + index * 56;
        // PT_LOAD with PF_X.
        if u32_at(header)? == 1 && u32_at(header + 4)? & 1 != 0 {
            let offset = usize::try_from(u64_at(header + 8)?).ok()?;
            let length = usize::try_from(u64_at(header + 32)?).ok()?;
            found.push(file.get(offset..offset + length)?.to_vec());
        }
    }
    Some(found)
}

struct Counts {
    sites: usize,
    refused: usize,
    proven: usize,
}

fn check(path: &Path) -> Option<Counts> {
    let Some(texts) = texts(path) else {
        println!("skipped: {} is not an x86-64 ELF file here", path.display());
        return None;
    };
    let mut counts = Counts {
        sites: 0,
        refused: 0,
        proven: 0,
    };
    for text in texts {
        let layout = layout(text.len());
        let swept = sweep(&text, &layout);
        for patch in &swept.patches {
            assert_equivalent(&text, patch, &layout, &swept.table);
        }
        let mut table = SiteTable::new();
        let mut proven = Vec::new();
        let hazards = Hazards::THREADS_BEFORE;
        patch_proven_sites(&text, &layout, hazards, &mut table, |patch| {
            proven.push(patch)
        });
        for patch in &proven {
            assert_equivalent(&text, patch, &layout, &table);
            // Decoding all of it agrees on what a site is.
            assert!(swept.sites.binary_search(&patch.site()).is_ok());
        }
        let running = swept
            .patches
            .iter()
            .filter(|p| p.withstands(Hazards::RUNNING | Hazards::THREADS_BEFORE))
            .count();
        println!(
            "{}: {} bytes, {} sites; number {}, after {}, before {}, filling {}, refused {:x?}; \
             {running} fit running text; plain {}, proven {}",
            path.display(),
            text.len(),
            swept.sites.len(),
            swept.count(Window::Number),
            swept.count(Window::After),
            swept.count(Window::Before),
            swept.count(Window::Filling),
            swept.refused,
            plain_sites(&text).count(),
            proven.len(),
        );
        counts.sites += swept.sites.len();
        counts.refused += swept.refused.len();
        counts.proven += proven.len();
    }
    Some(counts)
}

/// Asserts that every site of the file is patched, and that many percent of them without a trap.
fn all_patched(path: &str, proven_percent: usize) {
    if let Some(counts) = check(Path::new(path)) {
        assert_eq!(counts.refused, 0, "{path}");
        assert!(
            counts.proven * 100 >= counts.sites * proven_percent,
            "{path}"
        );
    }
}

#[test]
fn c_library() {
    all_patched("/lib/x86_64-linux-gnu/libc.so.6", 95);
    all_patched("/lib/x86_64-linux-gnu/libpthread.so.0", 95);
}

#[test]
fn dynamic_loader() {
    all_patched("/lib64/ld-linux-x86-64.so.2", 90);
}

#[test]
fn static_programs() {
    all_patched("/bin/busybox", 90);
    all_patched("/lib/ld-musl-x86_64.so.1", 45);
}

#[test]
fn go_programs() {
    all_patched("/usr/lib/go/bin/gofmt", 80);
    all_patched("/usr/lib/go/bin/go", 80);
}

#[test]
fn other_programs() {
    for path in [
        "/usr/bin/bash",
        "/usr/bin/python3",
        "/usr/bin/git",
        "/usr/bin/node",
    ] {
        check(Path::new(path));
    }
}
