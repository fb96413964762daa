//! What the unit tests share: the platform over std threads, and bounded property tests.

extern crate std;

pub use capsid_platform_threads::install;

/// Sets pages of the pool aside for a test with an allocator of its own.
pub fn reserve_pool(pages: u32) -> u32 {
    install().reserve_pool(pages)
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
