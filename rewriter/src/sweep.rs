//! The full sweep: every site of a text, by decoding all of it.

use crate::patch::{Layout, Patch, Window};
use crate::plan::{Readers, certain_site, patch_sites};
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
    let all = sites.iter().map(|site| certain_site(text, *site)).collect();
    let results = patch_sites(text, all, Readers::None, layout, &mut table);
    let mut refused = Vec::new();
    let mut patches = Vec::new();
    for (site, result) in sites.iter().zip(results) {
        match result {
            Ok(patch) => patches.push(patch),
            Err(_) => refused.push(*site),
        }
    }
    Sweep {
        sites,
        refused,
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
