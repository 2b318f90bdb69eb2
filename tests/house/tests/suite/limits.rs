//! How long files and functions may grow, how much is tested, and that each file says its duty.

use house::product::all_sources;
use house::source::{CodeLines, Function};
use std::path::PathBuf;

const FILE_MAX_LINES: usize = 600;
const FILE_MEDIAN_LINES: usize = 200;
const FUNCTION_MAX_LINES: usize = 80;
const FUNCTION_P90_LINES: usize = 40;
const TEST_TO_PRODUCT: f64 = 0.8;

/// The value below which `part` of the sorted list lies.
fn quantile(mut values: Vec<usize>, part: f64) -> usize {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * part).ceil() as usize).copied().unwrap_or(0)
}

#[test]
fn quantiles_are_those_of_the_sorted_list() {
    assert_eq!(quantile(vec![3, 1, 2], 0.5), 2);
    assert_eq!(quantile((1..=10).rev().collect(), 0.9), 10);
    assert_eq!(quantile(Vec::new(), 0.9), 0);
}

#[test]
fn files_stay_short() {
    let lengths: Vec<_> = all_sources().into_iter().map(|p| (p.source.text.lines().count(), p.file)).collect();
    let long: Vec<_> = lengths.iter().filter(|(lines, _)| *lines > FILE_MAX_LINES).collect();
    assert!(long.is_empty(), "files above {FILE_MAX_LINES} lines: {long:?}");
    let median = quantile(lengths.iter().map(|(lines, _)| *lines).collect(), 0.5);
    assert!(median <= FILE_MEDIAN_LINES, "the median file has {median} lines, above {FILE_MEDIAN_LINES}");
    let longest = lengths.iter().max().expect("there is a file");
    println!("longest file: {} lines, {}; median {median}", longest.0, longest.1.display());
}

#[test]
fn functions_stay_short() {
    let mut all: Vec<(Function, PathBuf)> = Vec::new();
    for placed in all_sources() {
        all.extend(placed.source.functions().into_iter().map(|f| (f, placed.file.clone())));
    }
    let place = |(f, file): &(Function, PathBuf)| format!("{}:{} {} {} lines", file.display(), f.line, f.name, f.lines);
    let long: Vec<_> = all.iter().filter(|(f, _)| f.lines > FUNCTION_MAX_LINES).map(place).collect();
    assert!(long.is_empty(), "functions above {FUNCTION_MAX_LINES} lines:\n{}", long.join("\n"));
    let p90 = quantile(all.iter().map(|(f, _)| f.lines).collect(), 0.9);
    assert!(p90 <= FUNCTION_P90_LINES, "nine of ten functions have up to {p90} lines, above {FUNCTION_P90_LINES}");
    let longest = all.iter().max_by_key(|(f, _)| f.lines).expect("there is a function");
    println!("longest function: {}; nine of ten up to {p90} lines", place(longest));
}

#[test]
fn each_file_says_its_duty() {
    let opens = |text: &str| text.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 20);
    let silent: Vec<_> = all_sources().into_iter().filter(|p| !opens(&p.source.text)).map(|p| p.file).collect();
    assert!(silent.is_empty(), "files whose first line is no `//!` sentence: {silent:?}");
}

#[test]
fn there_is_enough_test() {
    let mut product = 0;
    let mut within = 0;
    let mut beside = 0;
    let mut rigs = 0;
    for placed in all_sources() {
        let CodeLines { product: outer, test } = placed.source.code_lines();
        match (placed.package.is_some(), placed.file.starts_with("agent")) {
            (true, _) => {
                product += outer;
                within += test;
            }
            (false, true) => beside += outer + test,
            (false, false) => rigs += outer + test,
        }
    }
    let ratio = (within + beside + rigs) as f64 / product as f64;
    println!(
        "product {product} lines of code; tests {} ({within} under cfg(test), {beside} in test files of agent/, {rigs} in tests/): \
         {ratio:.2}; without tests/: {:.2}",
        within + beside + rigs,
        (within + beside) as f64 / product as f64
    );
    assert!(ratio >= TEST_TO_PRODUCT, "{ratio:.2} lines of test for one of the product, below {TEST_TO_PRODUCT}");
}
