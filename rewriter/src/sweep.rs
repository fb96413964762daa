//! The full sweep: every site of a text, by decoding all of it.

use crate::patch::{Hazards, Layout, Patch, Refusal, Window};
use crate::plan::{certain_candidates, patch_sites};
use crate::scan::SYSCALL;
use crate::table::SiteTable;
use alloc::vec::Vec;
use iced_x86::{Code, Decoder, DecoderOptions, Instruction};

/// What a sweep found.
#[derive(Debug, Default)]
pub struct Sweep {
    /// Every `syscall` that decoding from the start of the text meets.
    pub sites: Vec<usize>,
    /// Those left alone: no window, or a branch may lead into each.
    pub refused: Vec<usize>,
    /// The patches, in order of their sites.
    pub patches: Vec<Patch>,
    /// The table of the patches.
    pub table: SiteTable,
}

impl Sweep {
    /// How many sites are patched by this kind of window.
    #[must_use]
    pub fn count(&self, window: Window) -> usize {
        let patches = self.patches.iter();
        patches.filter(|patch| patch.window() == window).count()
    }
}

/// Decodes all of `text` and makes patches for every `syscall` in it. Takes about 10 ms per MB: for
/// building images and for tests, not for the start of a program. Data between the instructions
/// can hide a site behind it, or look like one.
#[must_use]
pub fn sweep(text: &[u8], layout: &Layout<'_>) -> Sweep {
    let sites = decoded_sites(text);
    let mut table = SiteTable::new();
    let mut patches = Vec::new();
    let ways: Vec<_> = sites
        .iter()
        .flat_map(|site| certain_candidates(text, *site))
        .collect();
    let each = |_, result| patches.extend(Result::<Patch, Refusal>::ok(result));
    patch_sites(text, &ways, layout, Hazards::empty(), &mut table, each);
    let is_refused = |site: &&usize| !table.is_patched(**site);
    Sweep {
        refused: sites.iter().filter(is_refused).copied().collect(),
        sites,
        patches,
        table,
    }
}

fn decoded_sites(text: &[u8]) -> Vec<usize> {
    let mut sites = Vec::new();
    let mut decoder = Decoder::with_ip(64, text, 0, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        let at = decoder.position();
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            if decoder.set_position(at + 1).is_err() {
                break;
            }
            decoder.set_ip((at + 1) as u64);
        } else if instruction.code() == Code::Syscall && text[at..].starts_with(&SYSCALL) {
            sites.push(at);
        }
    }
    sites
}
