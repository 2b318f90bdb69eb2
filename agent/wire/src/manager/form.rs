//! How texts and instants are written in a document: cut to a size, in RFC 3339.

use model::time::UnixMillis;

/// Cuts a text to so many bytes as JSON, between two characters.
pub(crate) fn cut(text: &mut String, most: usize) {
    let mut used = 0;
    let fits = |c: &char| {
        // A control character takes six bytes: \u001b.
        used += if c.is_control() { 6 } else { c.len_utf8() + usize::from(matches!(c, '"' | '\\')) };
        used <= most
    };
    let kept: String = text.chars().take_while(fits).collect();
    if kept.len() < text.len() {
        *text = format!("{kept}…");
    }
}

/// An instant of the wall clock as RFC 3339 in UTC with milliseconds; `None` beyond year 9999.
#[must_use]
pub(crate) fn rfc3339(at: UnixMillis) -> Option<String> {
    jiff::Timestamp::from_millisecond(at.0).ok().map(|t| format!("{t:.3}"))
}
