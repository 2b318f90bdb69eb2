//! What nvidia-smi printed, shortened for a message.

use crate::printable::printable;

/// The first 120 characters on one line, without control characters.
pub(super) fn excerpt(text: &str) -> String {
    one_line(text, 120)
}

/// At most `most` characters on one line, runs of white space made one blank, control characters dropped.
pub(super) fn one_line(text: &str, most: usize) -> String {
    // A word can be long, so cut before and after.
    let head: String = text.chars().take(most.saturating_mul(8)).collect();
    let words = head.split_whitespace().collect::<Vec<_>>().join(" ");
    printable(&words, most)
}
