//! Any bytes: no panic, and no patch beyond its window.

mod check;

use capsid_rewriter::{Hazards, SiteTable, patch_proven_sites, patch_site, plain_sites, sweep};
use check::{assert_equivalent, layout};
use proptest::prelude::*;

/// Runs everything on one input; what a fuzzer calls.
fn fuzz_one(text: &[u8]) {
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

/// Pieces that make sites, windows, branches and filling likely.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => Just(vec![0x0f, 0x05]),
        2 => any::<u8>().prop_map(|number| vec![0xb8, number, 0, 0, 0, 0x0f, 0x05]),
        1 => any::<u8>().prop_map(|number| vec![0x48, 0xc7, 0xc0, number, 0, 0, 0]),
        1 => Just(vec![0x48, 0x3d, 0, 0xf0, 0xff, 0xff]),
        1 => Just(vec![0x31, 0xc0]),
        1 => Just(vec![0x48, 0x89, 0xdf]),
        1 => Just(vec![0xc3]),
        1 => (1..20usize).prop_map(|count| vec![0xcc; count]),
        1 => (1..20usize).prop_map(|count| vec![0x90; count]),
        1 => any::<u8>().prop_map(|to| vec![0x74, to]),
        1 => any::<u8>().prop_map(|to| vec![0xeb, to]),
        1 => any::<i16>().prop_map(|to| {
            let mut bytes = vec![0xe9];
            bytes.extend(i32::from(to).to_le_bytes());
            bytes
        }),
        1 => any::<i16>().prop_map(|to| {
            let mut bytes = vec![0x8b, 0x05];
            bytes.extend(i32::from(to).to_le_bytes());
            bytes
        }),
        2 => proptest::collection::vec(any::<u8>(), 0..12),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn random_bytes(text in proptest::collection::vec(any::<u8>(), 0..1500)) {
        fuzz_one(&text);
    }

    #[test]
    fn likely_code(pieces in proptest::collection::vec(piece(), 0..200)) {
        fuzz_one(&pieces.concat());
    }
}

#[test]
fn fixed_seeds() {
    // A xorshift generator, so that the inputs are the same everywhere.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for length in 0..200 {
        let mut text = Vec::new();
        while text.len() < length {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.extend(state.to_le_bytes());
            text.extend([0x0f, 0x05]);
        }
        text.truncate(length);
        fuzz_one(&text);
    }
    fuzz_one(&[0x0f, 0x05].repeat(300));
    fuzz_one(&[0xb8, 0, 0, 0, 0, 0x0f, 0x05].repeat(100));
}
