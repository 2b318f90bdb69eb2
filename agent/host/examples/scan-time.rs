//! Prints how long a scan of a sysfs takes: median and least of many, in microseconds.

use host::front::Sysfs;
use std::time::Instant;

fn main() {
    let root = std::env::args().nth(1).unwrap_or_else(|| "/sys".to_owned());
    let sysfs = Sysfs::new(&root);
    let mut times = Vec::new();
    for _ in 0..301 {
        let start = Instant::now();
        let scan = sysfs.scan();
        times.push(start.elapsed().as_micros());
        if let Err(fault) = scan {
            eprintln!("{fault}");
            return;
        }
    }
    let first = times.first().copied().unwrap_or_default();
    times.sort_unstable();
    let at = |index: usize| times.get(index).copied().unwrap_or_default();
    println!("{root}: first {first} µs, least {} µs, median {} µs, p95 {} µs", at(0), at(150), at(285));
}
