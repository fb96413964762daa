//! Images that may be hostile: every look at them ends, with an answer or an error.

#[path = "../../host/image/tests/support/hostile.rs"]
mod hostile;

use crate::tar;

/// Looks at everything in an image, as it is and with the right checksum.
pub fn run(bytes: &[u8]) {
    hostile::explore(bytes);
    let mut mended = bytes.to_vec();
    hostile::mend(&mut mended);
    hostile::explore(&mended);
}

/// The images of the archives of the target `tar`.
pub fn seeds() -> Vec<Vec<u8>> {
    let seeds = tar::seeds();
    seeds
        .iter()
        .filter_map(|archive| tar::image_of(archive))
        .collect()
}
