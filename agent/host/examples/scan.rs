//! Scans a sysfs (`/sys`, or the folder given) and prints it as JSON; with a number after it, how long so many scans take.

use host::front::Sysfs;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let root = args.next().unwrap_or_else(|| "/sys".to_owned());
    let sysfs = Sysfs::new(&root);
    let Some(rounds) = args.next().and_then(|number| number.parse::<usize>().ok()) else {
        return print(&sysfs);
    };
    let mut times: Vec<u128> = Vec::new();
    for _ in 0..rounds.max(1) {
        let start = Instant::now();
        let scan = sysfs.scan();
        times.push(start.elapsed().as_micros());
        if scan.is_err() {
            return print(&sysfs);
        }
    }
    let first = times.first().copied().unwrap_or_default();
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    println!("{root}: first {first} µs, least {} µs, median {} µs, p95 {} µs", at(0), at(50), at(95));
    ExitCode::SUCCESS
}

fn print(sysfs: &Sysfs) -> ExitCode {
    match sysfs.scan().map(|scan| serde_json::to_string_pretty(&scan)) {
        Ok(Ok(text)) => println!("{text}"),
        Ok(Err(error)) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
        Err(fault) => {
            eprintln!("{fault}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
