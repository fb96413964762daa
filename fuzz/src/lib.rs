//! What the fuzz targets do with their input, and small inputs to begin with.
//!
//! Each module is one target: `run` takes any bytes and panics if something is wrong, `seeds` makes
//! inputs that get far, so that mutations of them get further.

pub mod boot;
pub mod elf;
pub mod erofs;
pub mod hostfs;
mod input;
pub mod rewriter;
pub mod ring;
pub mod tar;

use std::fs;
use std::path::Path;

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is that of its binary and of its module.
    pub name: &'static str,
    /// Tries one input.
    pub run: fn(&[u8]),
    /// Makes the first inputs.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: [Target; 7] = [
    Target {
        name: "boot",
        run: boot::run,
        seeds: boot::seeds,
    },
    Target {
        name: "elf",
        run: elf::run,
        seeds: elf::seeds,
    },
    Target {
        name: "erofs",
        run: erofs::run,
        seeds: erofs::seeds,
    },
    Target {
        name: "hostfs",
        run: hostfs::run,
        seeds: hostfs::seeds,
    },
    Target {
        name: "rewriter",
        run: rewriter::run,
        seeds: rewriter::seeds,
    },
    Target {
        name: "ring",
        run: ring::run,
        seeds: ring::seeds,
    },
    Target {
        name: "tar",
        run: tar::run,
        seeds: tar::seeds,
    },
];

/// Writes the seeds of a target into its corpus, before libFuzzer reads that.
///
/// # Panics
/// If the corpus cannot be written.
pub fn plant(name: &str) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    fs::create_dir_all(&corpus).expect("the corpus can be made");
    let target = TARGETS.iter().find(|target| target.name == name);
    let seeds = target.map(|target| (target.seeds)()).unwrap_or_default();
    for (index, seed) in seeds.iter().enumerate() {
        fs::write(corpus.join(format!("seed-{index}")), seed).expect("a seed can be written");
    }
}

#[cfg(test)]
mod tests {
    use super::TARGETS;

    #[test]
    fn every_seed_runs() {
        for target in TARGETS {
            let seeds = (target.seeds)();
            assert!(!seeds.is_empty(), "{}", target.name);
            for seed in seeds.iter().map(Vec::as_slice).chain([&b""[..]]) {
                (target.run)(seed);
            }
        }
    }
}
