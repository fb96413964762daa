//! Random bytes: one ChaCha20 generator for the sandbox, seeded by the broker, random(7).
//!
//! It lives in memory that all guest processes share, so that a fork does not copy its state.

use crate::io::Destination;
use crate::sync::Mutex;
use capsid_platform::{Errno, platform};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

static GENERATOR: Mutex<Option<ChaCha20Rng>> = Mutex::new(None);

/// Fills `bytes`.
pub fn fill(bytes: &mut [u8]) {
    let mut generator = GENERATOR.lock();
    generator
        .get_or_insert_with(|| ChaCha20Rng::from_seed(platform().info().boot.random_seed))
        .fill_bytes(bytes);
}

/// Fills all that is left of `destination`, and returns how many bytes that was.
pub fn put(destination: &mut Destination<'_>) -> Result<usize, Errno> {
    let mut done = 0;
    let mut bytes = [0; 256];
    loop {
        let count = destination.remaining().min(bytes.len());
        if count == 0 {
            return Ok(done);
        }
        fill(&mut bytes[..count]);
        match destination.put(&bytes[..count]) {
            Ok(moved) => {
                done += moved;
                if moved < count {
                    return Ok(done);
                }
            }
            Err(_) if done > 0 => return Ok(done),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{fill, put};
    use crate::io::Destination;

    #[test]
    fn bytes_do_not_repeat() {
        crate::test_platform::install();
        let (mut one, mut two) = ([0; 32], [0; 32]);
        fill(&mut one);
        fill(&mut two);
        assert_ne!(one, two);
        let mut many = [0; 1000];
        assert_eq!(put(&mut Destination::kernel(&mut many)), Ok(1000));
        assert!(many[900..].iter().any(|byte| *byte != 0));
    }
}
