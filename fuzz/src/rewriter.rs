//! Any bytes as code: no panic, and nothing is patched that a branch may lead into.

#[path = "../../rewriter/tests/check/mod.rs"]
mod check;

use capsid_rewriter::{Hazards, Patch, SiteTable, patch_proven_sites, patch_site};
use std::collections::HashSet;

/// Patches a text as a running program's is, and compares every patch with what it replaces.
pub fn run(text: &[u8]) {
    check::check_all(text);
    let layout = check::layout(text.len());
    let targets = far_targets(text);
    for hazards in [Hazards::empty(), Hazards::all()] {
        let mut table = SiteTable::new();
        let mut patches = Vec::new();
        patch_proven_sites(text, &layout, hazards, &mut table, |patch| {
            patches.push(patch)
        });
        for site in 0..text.len() {
            patches.extend(patch_site(text, site, &layout, hazards, &mut table));
        }
        for patch in &patches {
            assert!(patch.withstands(hazards));
            assert_not_reached(patch, &targets);
        }
    }
}

/// Where the far branches of a text lead, if any four bytes behind an opcode are one's operand.
fn far_targets(text: &[u8]) -> HashSet<usize> {
    let mut targets = HashSet::new();
    for at in 0..text.len() {
        let opcode_bytes = match text[at..] {
            [0xe8 | 0xe9, ..] => 1,
            [0x0f, 0x80..=0x8f, ..] | [0xc7, 0xf8, ..] => 2,
            [0x8d, modrm, ..] if modrm & 0xc7 == 5 => 2,
            _ => continue,
        };
        let operand = at + opcode_bytes;
        if let Some(bytes) = text.get(operand..operand + 4) {
            let displacement = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            targets.extend((operand + 4).checked_add_signed(displacement as isize));
        }
    }
    targets
}

/// A branch may lead to the jump itself, which does what was there, but not behind its first byte;
/// and not at all into the filling that a short jump leads to.
fn assert_not_reached(patch: &Patch, targets: &HashSet<usize>) {
    const JUMP_BYTES: usize = 5;
    let write = patch.write().range();
    let interior = write.start + 1..write.end.min(write.start + JUMP_BYTES);
    let filling = patch.prelude().map_or(0..0, |prelude| prelude.range());
    for at in interior.chain(filling) {
        assert!(!targets.contains(&at), "a branch leads to {at:#x}");
    }
}

/// One text for each shape of window.
pub fn seeds() -> Vec<Vec<u8>> {
    let codes: [&[u8]; 9] = [
        // mov eax, 39; syscall
        &[0xb8, 0x27, 0, 0, 0, 0x0f, 0x05],
        // mov rax, 15; syscall
        &[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05],
        // xor eax, eax; syscall; cmp rax, -4096; ja
        &[
            0x31, 0xc0, 0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff, 0x77, 0x10,
        ],
        // mov rdi, rbx; mov eax, ebp; syscall; call
        &[0x48, 0x89, 0xdf, 0x89, 0xe8, 0x0f, 0x05, 0xe8, 0, 0, 0, 0],
        // lea rdi, [rip+32]; syscall; call
        &[
            0x48, 0x8d, 0x3d, 0x20, 0, 0, 0, 0x0f, 0x05, 0xe8, 0, 0, 0, 0,
        ],
        // xor edi, edi; mov eax, edx; syscall; jmp back
        &[0x31, 0xff, 0x89, 0xd0, 0x0f, 0x05, 0xeb, 0xf8, 0x31, 0xc0],
        // syscall; test eax, eax; je back
        &[0x0f, 0x05, 0x85, 0xc0, 0x74, 0xf8],
        // syscall; ret; filling
        &[
            0x0f, 0x05, 0xc3, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,
        ],
        // filling; call; syscall; call; ret
        &[
            0x90, 0xc3, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,
            0xcc, 0xcc, 0xe8, 0, 0, 0, 0, 0x0f, 0x05, 0xe8, 0, 0, 0, 0, 0xc3,
        ],
    ];
    // Harmless instructions around: what decoding falls into step on.
    let around = [0x48, 0x89, 0xc3].repeat(112);
    let mut seeds: Vec<Vec<u8>> = codes
        .iter()
        .map(|code| [&around, *code, &around].concat())
        .collect();
    seeds.push(codes.concat());
    seeds
}
