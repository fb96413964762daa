//! What the unit tests share: the platform over threads, and bounded property tests.

use crate::memory::{Contents, Extent, pool};

/// Installs the platform, once.
pub fn install() {
    capsid_platform_threads::install();
}

/// Takes consecutive zeroed pages out of the pool, for a test with an allocator of its own.
pub fn reserve_pool(pages: u32) -> Extent {
    install();
    let extent = pool()
        .allocate(pages, None, Contents::Zeroed)
        .unwrap()
        .extent;
    assert_eq!(extent.count, pages);
    extent
}

/// A bounded, repeatable run of property tests.
pub fn proptest_config(cases: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        cases,
        rng_seed: proptest::test_runner::RngSeed::Fixed(0x00ca_951d),
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    }
}
