//! From sites to patches: confirm, list windows, drop those that branches reach, assemble.

use crate::branch;
use crate::neighbourhood::Neighbourhood;
use crate::patch::{Layout, Patch, Refusal};
use crate::scan::{SYSCALL, SyscallBytes, follows_number, precedes_error_check};
use crate::table::SiteTable;
use crate::trampoline::{ALIGNMENT, assemble};
use crate::window::{Candidate, candidates, number};
use alloc::vec::Vec;

/// Texts are smaller than this, so that every offset fits the table.
const LONGEST_TEXT: usize = 1 << 31;

/// Finds the sites whose bytes leave no doubt: `mov eax, number; syscall`, by far the most common.
/// Bytes inside other instructions are not taken. Offsets are those of the `syscall`.
pub fn plain_sites(text: &[u8]) -> impl Iterator<Item = usize> {
    SyscallBytes::new(text)
        .filter(|site| follows_number(text, *site))
        .filter(|site| {
            let near = Neighbourhood::around(text, *site);
            near.is_certain(*site) && number(text, &near, *site).is_some()
        })
}

/// Makes patches for every site that the bytes around it prove to be one: `mov eax, number` in
/// front of it, or the check of the result for an error behind it.
///
/// For a copy of the text that nobody executes yet. Sites in `table` are left alone; the patches
/// have been recorded in it, and are to be applied to text and trampolines in any order. `text`
/// has its original bytes.
pub fn patch_proven_sites(text: &[u8], layout: &Layout<'_>, table: &mut SiteTable) -> Vec<Patch> {
    let sites = proven_sites(text, table);
    let results = patch_sites(text, sites, Readers::None, layout, table);
    results.into_iter().filter_map(Result::ok).collect()
}

/// Room enough for the trampolines of a text with a gate jump of `gate_jump_len` bytes.
#[must_use]
pub fn trampoline_bytes(text: &[u8], gate_jump_len: usize) -> usize {
    // Each holds at most six instructions moved, which are rarely longer than twice the window.
    let each = (gate_jump_len + 48).next_multiple_of(ALIGNMENT);
    SyscallBytes::new(text).count().saturating_mul(each)
}

fn proven_sites(text: &[u8], table: &SiteTable) -> Vec<Site> {
    if text.len() >= LONGEST_TEXT {
        return Vec::new();
    }
    SyscallBytes::new(text)
        .filter(|site| follows_number(text, *site) || precedes_error_check(text, *site))
        .filter(|site| !table.is_patched(*site))
        .filter_map(|site| {
            let near = Neighbourhood::around(text, site);
            near.is_certain(site)
                .then(|| Site(candidates(text, &near, site).take(1).collect()))
        })
        .collect()
}

/// Makes the patch for one site that is known to be an instruction, since it trapped, and records
/// it in `table`. `text` has its original bytes ([`SiteTable::restore`]).
///
/// Among the windows, the first that can be put in while the text is executed
/// ([`Patch::fits_running_text`]) is preferred; if there is none, the first at all.
///
/// # Errors
/// Says why the site has to stay as it is.
pub fn patch_site(
    text: &[u8],
    site: usize,
    layout: &Layout<'_>,
    table: &mut SiteTable,
) -> Result<Patch, Refusal> {
    if text.len() >= LONGEST_TEXT || text.get(site..).is_none_or(|t| !t.starts_with(&SYSCALL)) {
        return Err(Refusal::NotSyscall);
    }
    if table.is_patched(site) {
        return Err(Refusal::Patched);
    }
    let site = certain_site(text, site);
    let mut results = patch_sites(text, [site].into(), Readers::Threads, layout, table);
    results.pop().unwrap_or(Err(Refusal::NotSyscall))
}

/// Who may execute the text while it is patched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Nobody yet. A window that exposes no thread is preferred: the patched text may be mapped
    /// over one that is executed.
    None,
    /// Threads: a window that can be put in under them is preferred.
    Threads,
}

/// The ways to patch one site.
#[derive(Debug)]
pub(crate) struct Site(Vec<Candidate>);

/// Lists the ways to patch the `syscall` at `offset`, which is an instruction.
pub(crate) fn certain_site(text: &[u8], offset: usize) -> Site {
    let mut near = Neighbourhood::around(text, offset);
    near.read_site(offset);
    if near.is_tail(offset..offset + SYSCALL.len()) {
        // With a prefix, which a jump would get too: some of them change what it does.
        return Site(Vec::new());
    }
    Site(candidates(text, &near, offset).collect())
}

/// Makes the patches for `sites` with one search for branches, and records them in `table`.
pub(crate) fn patch_sites(
    text: &[u8],
    sites: Vec<Site>,
    readers: Readers,
    layout: &Layout<'_>,
    table: &mut SiteTable,
) -> Vec<Result<Patch, Refusal>> {
    if layout.gate_jump.is_empty() {
        return sites.iter().map(|_| Err(Refusal::NoWindow)).collect();
    }
    let all = sites.iter().flat_map(|site| &site.0);
    let windows: Vec<_> = all
        .flat_map(|candidate| [candidate.interior(), candidate.filling_range()])
        .collect();
    let reached = branch::reached(text, &windows);
    let mut reached = reached.chunks_exact(2).map(|pair| pair[0] || pair[1]);
    sites
        .into_iter()
        .map(|site| {
            let count = site.0.len();
            let marks: Vec<bool> = reached.by_ref().take(count).collect();
            let patch = choose(text, &site, &marks, readers, layout, table)?;
            table.insert(&patch, text).ok_or(Refusal::NoRoom)?;
            Ok(patch)
        })
        .collect()
}

fn choose(
    text: &[u8],
    site: &Site,
    reached: &[bool],
    readers: Readers,
    layout: &Layout<'_>,
    table: &SiteTable,
) -> Result<Patch, Refusal> {
    let mut refusal = Refusal::NoWindow;
    let mut second_best = None;
    for (candidate, reached) in site.0.iter().zip(reached) {
        if *reached {
            refusal = Refusal::BranchTarget;
            continue;
        }
        if table.occupies(&candidate.filling_range()) {
            continue;
        }
        match assemble(text, candidate, layout, table.next_trampoline()) {
            Ok(patch) if table.occupies(&patch.occupied()) => {}
            Ok(patch) if readers == Readers::None && !patch.exposes_threads() => return Ok(patch),
            Ok(patch) if patch.fits_running_text() => return Ok(patch),
            Ok(patch) => second_best = second_best.or(Some(patch)),
            Err(error) => refusal = error,
        }
    }
    second_best.ok_or(refusal)
}
