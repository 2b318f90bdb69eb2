//! A value of the document on its way into the report.

use crate::absence::{Absence, Reading};

/// Puts a value where none was yet. One that is reported twice and differs is no value any more.
pub(super) fn put<T: PartialEq>(slot: &mut Reading<T>, said: Reading<T>) {
    if matches!(slot, Reading::Absent(Absence::NotReported)) {
        *slot = said;
    } else if *slot != said {
        *slot = Reading::Absent(Absence::garbled("reported twice, with different values"));
    }
}

/// The first value that is known, in the order of trust; else the reason of the first that was reported at all.
pub(super) fn first_known<T: Copy, const N: usize>(readings: [Reading<T>; N]) -> Reading<T> {
    let known = readings.iter().find_map(Reading::get);
    let said = |reading: &&Reading<T>| reading.absence() != Some(&Absence::NotReported);
    match known {
        Some(value) => Reading::Known(value),
        None => Reading::Absent(
            readings.iter().find(said).and_then(|r| r.absence().cloned()).unwrap_or(Absence::NotReported),
        ),
    }
}
