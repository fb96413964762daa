//! Any bytes: no panic, and no patch beyond its window.

mod check;

use check::check_all;
use proptest::prelude::*;

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
        check_all(&text);
    }

    #[test]
    fn likely_code(pieces in proptest::collection::vec(piece(), 0..200)) {
        check_all(&pieces.concat());
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
        check_all(&text);
    }
    check_all(&[0x0f, 0x05].repeat(300));
    check_all(&[0xb8, 0, 0, 0, 0, 0x0f, 0x05].repeat(100));
}
