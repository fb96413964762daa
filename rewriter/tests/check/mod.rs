//! Compares a patch with the code it replaces, by decoding both. The fuzz target uses it too.
#![allow(dead_code, reason = "each user takes a part")]

use capsid_rewriter::{
    Hazards, Layout, Patch, ReturnTo, SiteTable, patch_proven_sites, patch_site, plain_sites, sweep,
};
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, Register};

/// A jump through an absolute address, as a platform may have.
pub const GATE: &[u8] = &[0xff, 0x24, 0x25, 0x00, 0x10, 0x00, 0x70];

/// Keeps addresses before the text positive.
const BIAS: i64 = 1 << 40;

/// Trampolines one page behind a text of this length.
pub fn layout(text_len: usize) -> Layout<'static> {
    let base = text_len.next_multiple_of(4096) + 4096;
    Layout {
        trampoline_base: i64::try_from(base).unwrap(),
        trampoline_bytes: 1 << 24,
        gate_jump: GATE,
    }
}

fn decode(bytes: &[u8], address: i64) -> Instruction {
    let ip = (BIAS + address).cast_unsigned();
    Decoder::with_ip(64, bytes, ip, DecoderOptions::NONE).decode()
}

fn branch_target(instruction: &Instruction) -> i64 {
    instruction.near_branch_target().cast_signed() - BIAS
}

fn is_branch(instruction: &Instruction) -> bool {
    matches!(
        instruction.flow_control(),
        FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
    )
}

/// Reads a trampoline instruction by instruction.
struct Reader<'a> {
    patch: &'a Patch,
    base: i64,
    at: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Instruction {
        let instruction = decode(&self.patch.trampoline()[self.at..], self.address());
        assert!(!instruction.is_invalid(), "trampoline is cut short");
        self.at += instruction.len();
        instruction
    }

    fn address(&self) -> i64 {
        self.base + i64::try_from(self.at).unwrap()
    }

    fn expect(&mut self, bytes: &[u8]) {
        assert_eq!(&self.patch.trampoline()[self.at..][..bytes.len()], bytes);
        self.at += bytes.len();
    }

    /// Expects the instructions of `text` from `at` to `end`, doing what they did; returns whether
    /// the last one ends control.
    fn expect_moved(&mut self, text: &[u8], mut at: usize, end: usize) -> bool {
        let mut terminated = false;
        while at < end {
            let original = decode(&text[at..], i64::try_from(at).unwrap());
            let moved = self.next();
            if is_branch(&original) {
                assert_eq!(original.mnemonic(), moved.mnemonic());
                assert_eq!(branch_target(&original), branch_target(&moved));
            } else {
                // Equality includes the absolute target of RIP-relative operands.
                assert_eq!(original, moved, "moved from {at:#x}");
            }
            terminated = matches!(
                original.flow_control(),
                FlowControl::UnconditionalBranch
                    | FlowControl::IndirectBranch
                    | FlowControl::Return
            ) || original.mnemonic() == Mnemonic::Hlt;
            at += original.len();
        }
        assert_eq!(at, end);
        terminated
    }
}

/// Asserts that `patch` does what the code at its site in `text` does.
pub fn assert_equivalent(text: &[u8], patch: &Patch, layout: &Layout<'_>, table: &SiteTable) {
    let mut patched = text.to_vec();
    patch.apply(&mut patched);
    let (site, replaced) = (patch.site(), patch.replaced());
    let written = |at| {
        let prelude = patch.prelude().map(|write| write.range());
        patch.write().range().contains(&at) || prelude.is_some_and(|range| range.contains(&at))
    };
    let near = replaced.start.saturating_sub(256)..text.len().min(site + 256);
    for at in near {
        assert!(patched[at] == text[at] || written(at), "changed {at:#x}");
    }
    assert!(patch.write().bytes().len() <= 8);

    let base = layout.trampoline_base + i64::try_from(patch.trampoline_offset()).unwrap();
    let mut jump_at = patch.write().offset();
    assert_eq!(jump_at, replaced.start);
    if let Some(prelude) = patch.prelude() {
        let short = decode(&patched[jump_at..], i64::try_from(jump_at).unwrap());
        assert_eq!(short.code(), Code::Jmp_rel8_64);
        jump_at = prelude.offset();
        assert_eq!(branch_target(&short), i64::try_from(jump_at).unwrap());
    }
    let jump = decode(&patched[jump_at..], i64::try_from(jump_at).unwrap());
    assert_eq!(jump.code(), Code::Jmp_rel32_64);
    assert_eq!(branch_target(&jump), base);

    let mut reader = Reader { patch, base, at: 0 };
    assert_eq!(text[site..site + 2], [0x0f, 0x05]);
    assert!(!reader.expect_moved(text, replaced.start, site));
    let lea = reader.next();
    assert_eq!(
        (lea.code(), lea.op0_register()),
        (Code::Lea_r64_m, Register::RCX)
    );
    let return_address = lea.ip_rel_memory_address().cast_signed() - BIAS;
    reader.expect(layout.gate_jump);
    match patch.return_to() {
        ReturnTo::Text(at) => {
            assert_eq!((at, return_address), (site + 2, i64::try_from(at).unwrap()));
            let restart = &patched[site..site + 2];
            assert!(restart == [0x0f, 0x05] || (restart[0] == 0xeb && patch.prelude().is_some()));
        }
        ReturnTo::Trampoline(at) => {
            assert_eq!(
                return_address,
                layout.trampoline_base + i64::try_from(at).unwrap()
            );
            reader.expect(&[0x0f, 0x05]);
            assert_eq!(reader.address(), return_address);
            if !reader.expect_moved(text, site + 2, replaced.end) {
                let back = reader.next();
                assert_eq!(back.code(), Code::Jmp_rel32_64);
                assert_eq!(branch_target(&back), i64::try_from(replaced.end).unwrap());
            }
        }
    }
    assert_eq!(reader.at, patch.trampoline().len());
    assert_mapped(patch, table);
}

/// Asserts that every replaced boundary has its place in the trampoline, and back.
fn assert_mapped(patch: &Patch, table: &SiteTable) {
    let start = patch.trampoline_offset();
    assert_eq!(table.original(start), Some(patch.replaced().start));
    assert!(
        table
            .original(start + patch.trampoline().len())
            .is_none_or(|at| at != patch.site())
    );
    assert!(table.is_patched(patch.site()));
    let behind = table.resume(patch.site() + 2);
    match patch.return_to() {
        ReturnTo::Text(_) => assert_eq!(behind, None),
        ReturnTo::Trampoline(at) => {
            assert_eq!(table.original(at), Some(patch.site() + 2));
            assert_eq!(table.original(at - 2), Some(patch.site()));
            let covered = patch.write().range().contains(&(patch.site() + 2));
            assert_eq!(behind, covered.then_some(at));
        }
    }
}

/// Runs everything on one input.
pub fn check_all(text: &[u8]) {
    let layout = layout(text.len());
    let mut table = SiteTable::new();
    let mut patches = Vec::new();
    let none = Hazards::empty();
    patch_proven_sites(text, &layout, none, &mut table, |patch| patches.push(patch));
    for site in 0..text.len().saturating_add(2) {
        patches.extend(patch_site(
            text,
            site,
            &layout,
            Hazards::empty(),
            &mut table,
        ));
    }
    assert!(plain_sites(text).all(|site| text[site..].starts_with(&[0x0f, 0x05])));
    for patch in &patches {
        assert_equivalent(text, patch, &layout, &table);
        assert!(patch.write().range().end <= text.len());
    }
    let mut copy = text.to_vec();
    table.apply(&mut copy);
    let mut one_by_one = text.to_vec();
    for patch in &patches {
        patch.apply(&mut one_by_one);
    }
    assert_eq!(copy, one_by_one);
    table.restore(0, &mut copy);
    assert_eq!(copy, text);

    let swept = sweep(text, &layout);
    assert_eq!(swept.patches.len() + swept.refused.len(), swept.sites.len());
    for patch in &swept.patches {
        assert_equivalent(text, patch, &layout, &swept.table);
    }
}
