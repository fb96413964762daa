//! From sites to patches: confirm, list windows, drop those that branches reach, assemble.

use crate::branch;
use crate::neighbourhood::Neighbourhood;
use crate::patch::{Hazards, Layout, Patch, Refusal};
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
/// front of it, or the check of the result for an error behind it. Sites in `table` are left alone,
/// and those whose first window does not withstand `hazards`.
///
/// The patches are recorded in `table`, which can apply them to the text, and handed to `each` for
/// their trampolines. `text` has its original bytes.
pub fn patch_proven_sites(
    text: &[u8],
    layout: &Layout<'_>,
    hazards: Hazards,
    table: &mut SiteTable,
    mut each: impl FnMut(Patch),
) {
    let candidates = proven_candidates(text, table);
    patch_sites(text, &candidates, layout, hazards, table, |_, result| {
        if let Ok(patch) = result {
            each(patch);
        }
    });
}

/// Room enough for the trampolines of a text with a gate jump of `gate_jump_len` bytes.
#[must_use]
pub fn trampoline_bytes(text: &[u8], gate_jump_len: usize) -> usize {
    // Each holds at most six instructions moved, which are rarely longer than twice the window.
    let each = (gate_jump_len + 48).next_multiple_of(ALIGNMENT);
    SyscallBytes::new(text).count().saturating_mul(each)
}

fn proven_candidates(text: &[u8], table: &SiteTable) -> Vec<Candidate> {
    if text.len() >= LONGEST_TEXT {
        return Vec::new();
    }
    SyscallBytes::new(text)
        .filter(|site| follows_number(text, *site) || precedes_error_check(text, *site))
        .filter(|site| !table.is_patched(*site))
        .filter_map(|site| {
            let near = Neighbourhood::around(text, site);
            if near.is_certain(site) {
                candidates(text, &near, site).next()
            } else {
                None
            }
        })
        .collect()
}

/// Makes the patch for one site that is known to be an instruction, since it trapped, and records
/// it in `table`. `text` has its original bytes ([`SiteTable::restore`]).
///
/// # Errors
/// Says why the site has to stay as it is.
pub fn patch_site(
    text: &[u8],
    site: usize,
    layout: &Layout<'_>,
    hazards: Hazards,
    table: &mut SiteTable,
) -> Result<Patch, Refusal> {
    if text.len() >= LONGEST_TEXT || text.get(site..).is_none_or(|t| !t.starts_with(&SYSCALL)) {
        return Err(Refusal::NotSyscall);
    }
    if table.is_patched(site) {
        return Err(Refusal::Patched);
    }
    let candidates = certain_candidates(text, site);
    let mut answer = Err(Refusal::NoWindow);
    patch_sites(text, &candidates, layout, hazards, table, |_, result| {
        answer = result;
    });
    answer
}

/// The ways to patch the `syscall` at `site`, which is an instruction.
pub(crate) fn certain_candidates(text: &[u8], site: usize) -> Vec<Candidate> {
    let mut near = Neighbourhood::around(text, site);
    near.read_site(site);
    if near.is_tail(site..site + SYSCALL.len()) {
        // With a prefix, which a jump would get too: some of them change what it does.
        return Vec::new();
    }
    candidates(text, &near, site).collect()
}

/// Makes the patches for the sites of `candidates`, which come site by site, with one search for
/// branches; records them in `table` and calls `each` with what came of each site.
pub(crate) fn patch_sites(
    text: &[u8],
    candidates: &[Candidate],
    layout: &Layout<'_>,
    hazards: Hazards,
    table: &mut SiteTable,
    mut each: impl FnMut(usize, Result<Patch, Refusal>),
) {
    if layout.gate_jump.is_empty() {
        return;
    }
    let windows: Vec<_> = candidates
        .iter()
        .flat_map(|candidate| [candidate.interior(), candidate.filling_range()])
        .collect();
    let reached = branch::reached(text, &windows);
    let mut reached = reached.chunks_exact(2).map(|pair| pair[0] || pair[1]);
    for ways in candidates.chunk_by(|one, other| one.site == other.site) {
        let result = choose(text, ways, &mut reached, layout, hazards, table).and_then(|patch| {
            table.insert(&patch, text).ok_or(Refusal::NoRoom)?;
            Ok(patch)
        });
        each(ways[0].site, result);
    }
}

fn choose(
    text: &[u8],
    ways: &[Candidate],
    reached: &mut impl Iterator<Item = bool>,
    layout: &Layout<'_>,
    hazards: Hazards,
    table: &SiteTable,
) -> Result<Patch, Refusal> {
    let mut answer = Err(Refusal::NoWindow);
    for (candidate, reached) in ways.iter().zip(reached) {
        if answer.is_ok() {
            // Only the mark is taken.
            continue;
        }
        if reached {
            answer = Err(Refusal::BranchTarget);
        } else if !table.occupies(&candidate.filling_range()) {
            answer = match assemble(text, candidate, layout, table.next_trampoline()) {
                Ok(patch) if table.occupies(&patch.occupied()) => Err(Refusal::NoWindow),
                Ok(patch) if !patch.withstands(hazards) => Err(Refusal::NoWindow),
                other => other,
            };
        }
    }
    answer
}
