//! Measures the scans on a file: `cargo run --release -p capsid-rewriter --example speed FILE`.

use capsid_rewriter::{
    Hazards, Layout, SiteTable, patch_proven_sites, patch_site, plain_sites, sweep,
};
use std::hint::black_box;
use std::time::Instant;

/// Best of many runs, printed with the rate in GB/s.
fn measure(name: &str, bytes: usize, runs: usize, mut work: impl FnMut() -> usize) {
    let mut best = f64::MAX;
    let mut result = 0;
    for _ in 0..runs {
        let start = Instant::now();
        result = black_box(work());
        best = best.min(start.elapsed().as_secs_f64());
    }
    let rate = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / best / 1e9;
    println!(
        "{name:<28} {:>9.1} us {rate:>7.2} GB/s, result {result}",
        best * 1e6
    );
}

fn main() {
    let path = std::env::args().nth(1);
    let path = path.unwrap_or_else(|| "/lib/x86_64-linux-gnu/libc.so.6".into());
    let text = std::fs::read(&path).expect("the file can be read");
    let layout = Layout {
        trampoline_base: i64::try_from(text.len().next_multiple_of(4096)).expect("a length"),
        trampoline_bytes: 1 << 20,
        gate_jump: &[0xff, 0x24, 0x25, 0, 0x10, 0, 0x70],
    };
    let blank = vec![0x90; 64 << 20];
    println!("{path}, {} bytes", text.len());
    measure("plain sites, none there", blank.len(), 5, || {
        plain_sites(&blank).count()
    });
    measure("plain sites", text.len(), 50, || plain_sites(&text).count());
    measure("patch proven sites", text.len(), 50, || {
        let mut table = SiteTable::new();
        patch_proven_sites(&text, &layout, Hazards::empty(), &mut table, drop);
        table.len()
    });
    let site = plain_sites(&text).next().unwrap_or(0);
    measure("patch one site", text.len(), 50, || {
        let patch = patch_site(
            &text,
            site,
            &layout,
            Hazards::empty(),
            &mut SiteTable::new(),
        );
        patch.map_or(0, |patch| patch.trampoline().len())
    });
    measure("sweep", text.len(), 3, || {
        sweep(&text, &layout).patches.len()
    });
}
