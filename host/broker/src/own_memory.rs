//! The broker's own memory: what is mapped where, and what need not stay.

use std::io::Read;

/// One mapping, proc_pid_maps(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its first address.
    pub start: u64,
    /// The address after its last.
    pub end: u64,
    /// It is private, executable, not writable, and shows a file.
    pub is_text: bool,
    /// The byte of the file that its first address shows.
    pub offset: u64,
}

/// Finds our mapping at an address.
pub fn mapping_at(address: u64) -> Option<Mapping> {
    let mut maps = String::new();
    let mut file = std::fs::File::open("/proc/self/maps").ok()?;
    file.read_to_string(&mut maps).ok()?;
    let mut mappings = maps.lines().filter_map(parse);
    mappings.find(|mapping| (mapping.start..mapping.end).contains(&address))
}

fn parse(line: &str) -> Option<Mapping> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    let is_executable = words.next()? == "r-xp";
    let offset = number(words.next()?)?;
    let inode = words.nth(1)?;
    Some(Mapping {
        start: number(start)?,
        end: number(end)?,
        is_text: is_executable && inode != "0",
        offset,
    })
}

/// Lets go of our own text, most of which ran once, at the start. What runs on comes back from the
/// page cache, as it is needed.
pub fn drop_startup_text() {
    let here = drop_startup_text as *const () as u64;
    let Some(text) = mapping_at(here).filter(|mapping| mapping.is_text) else {
        return;
    };
    let length = usize::try_from(text.end.saturating_sub(text.start)).unwrap_or(0);
    // SAFETY: the mapping shows a file, privately, and has no page of its own, since nobody can
    // write to it: what is dropped is read again. An error leaves all as it was.
    unsafe {
        libc::madvise(text.start as *mut libc::c_void, length, libc::MADV_DONTNEED);
    }
}

#[cfg(test)]
mod tests {
    use super::{Mapping, drop_startup_text, mapping_at, parse};

    #[test]
    fn mappings_are_parsed() {
        let line = "55d0-55e0 r-xp 00001000 fe:00 326279    /usr/bin/x y";
        let mapping = Mapping {
            start: 0x55d0,
            end: 0x55e0,
            is_text: true,
            offset: 0x1000,
        };
        assert_eq!(parse(line), Some(mapping));
        let anonymous = parse("1000-2000 rw-p 00000000 00:00 0 ").expect("a mapping");
        assert!(!anonymous.is_text);
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn the_program_runs_on_without_its_text() {
        let here = drop_startup_text as *const () as u64;
        let before = mapping_at(here).expect("the text is mapped");
        assert!(before.is_text);
        drop_startup_text();
        assert_eq!(mapping_at(here), Some(before));
    }
}
