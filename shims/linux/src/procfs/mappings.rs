//! `/proc/pid/maps` and `smaps`.

use crate::procfs::entry::Context;
use crate::procfs::text::Text;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::fs::{DeviceId, Path};
use capsid_core::memory::{Region, VmaFlags};
use capsid_platform::{Protection, Sharing};

/// Where the name of a mapping begins.
const NAME_COLUMN: usize = 73;

fn regions(context: &Context<'_>) -> Result<Vec<Region>, Errno> {
    let process = context.process()?;
    if process.state.lock().threads.is_empty() {
        return Ok(Vec::new());
    }
    Ok(process.memory().space.regions())
}

fn add_region(region: &Region, root: &Path, text: &mut Text) {
    let line_start = text.0.len();
    let letter = |flag, letter| {
        if region.protection.contains(flag) {
            letter
        } else {
            '-'
        }
    };
    let metadata = region.file.as_ref().and_then(|f| f.file.metadata().ok());
    let (device, inode) = metadata.map_or((0, 0), |m| (m.device, m.inode));
    let device = DeviceId::decode(device);
    text.add(format_args!(
        "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {} ",
        region.range.start(),
        region.range.end(),
        letter(Protection::READ, 'r'),
        letter(Protection::WRITE, 'w'),
        letter(Protection::EXECUTE, 'x'),
        if region.sharing == Sharing::Shared {
            's'
        } else {
            'p'
        },
        region.offset,
        device.major,
        device.minor,
        inode,
    ));
    let name = match &region.file {
        Some(file) => match file.path() {
            Some(path) => path.link_text(root),
            None => b"/dev/zero (deleted)".to_vec(),
        },
        None if region.flags.contains(VmaFlags::HEAP) => b"[heap]".to_vec(),
        None if region.flags.contains(VmaFlags::STACK) => b"[stack]".to_vec(),
        None => Vec::new(),
    };
    if !name.is_empty() {
        text.pad_to(line_start, NAME_COLUMN);
        for byte in name {
            // Only what would break the line.
            match byte {
                b'\n' => text.bytes(b"\\012"),
                byte => text.bytes(&[byte]),
            }
        }
    }
    text.bytes(b"\n");
}

pub(super) fn maps(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    let root = context.kernel.namespace.root();
    for region in regions(context)? {
        add_region(&region, &root, text);
    }
    Ok(())
}

/// What is resident is not known: all of a mapping counts, as the process's own.
fn add_sizes(bytes: u64, locked: u64, text: &mut Text) {
    let size = bytes >> 10;
    for (label, value) in [
        ("Rss", size),
        ("Pss", size),
        ("Pss_Dirty", 0),
        ("Shared_Clean", 0),
        ("Shared_Dirty", 0),
        ("Private_Clean", 0),
        ("Private_Dirty", size),
        ("Referenced", size),
        ("Anonymous", size),
        ("LazyFree", 0),
        ("AnonHugePages", 0),
        ("ShmemPmdMapped", 0),
        ("FilePmdMapped", 0),
        ("Shared_Hugetlb", 0),
        ("Private_Hugetlb", 0),
        ("Swap", 0),
        ("SwapPss", 0),
        ("Locked", locked >> 10),
    ] {
        let width = 23 - label.len();
        text.line(format_args!("{label}:{value:>width$} kB"));
    }
}

pub(super) fn smaps(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    let root = context.kernel.namespace.root();
    for region in regions(context)? {
        add_region(&region, &root, text);
        let bytes = region.range.len();
        text.line(format_args!("Size:{:>19} kB", bytes >> 10));
        text.line(format_args!("KernelPageSize:{:>9} kB", 4));
        text.line(format_args!("MMUPageSize:{:>12} kB", 4));
        let locked = region.flags.contains(VmaFlags::LOCKED);
        add_sizes(bytes, if locked { bytes } else { 0 }, text);
        text.line(format_args!("THPeligible:{:>12}", 0));
        text.bytes(b"VmFlags:");
        for (flag, name) in [
            (Protection::READ, " rd"),
            (Protection::WRITE, " wr"),
            (Protection::EXECUTE, " ex"),
        ] {
            if region.protection.contains(flag) {
                text.bytes(name.as_bytes());
            }
        }
        if region.sharing == Sharing::Shared {
            text.bytes(b" sh");
        }
        for (flag, name) in [
            (Protection::READ, " mr"),
            (Protection::WRITE, " mw"),
            (Protection::EXECUTE, " me"),
        ] {
            if region.allowed.contains(flag) {
                text.bytes(name.as_bytes());
            }
        }
        text.bytes(b" \n");
    }
    Ok(())
}

pub(super) fn smaps_rollup(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    let regions = regions(context)?;
    let Some((first, last)) = regions.first().zip(regions.last()) else {
        return Ok(());
    };
    let bytes: u64 = regions.iter().map(|region| region.range.len()).sum();
    let line_start = text.0.len();
    text.add(format_args!(
        "{:08x}-{:08x} ---p 00000000 00:00 0 ",
        first.range.start(),
        last.range.end()
    ));
    text.pad_to(line_start, NAME_COLUMN);
    text.bytes(b"[rollup]\n");
    add_sizes(bytes, 0, text);
    Ok(())
}
