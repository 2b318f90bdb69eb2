//! Texts from outside, cut to what may be shown or logged: bounded, and without characters that steer a terminal or a log.

/// The first `most_chars` characters of the text, without control characters.
#[must_use]
pub fn printable(text: &str, most_chars: usize) -> String {
    text.chars().filter(|char| !char.is_control()).take(most_chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steering_characters_go_and_the_length_is_bounded() {
        assert_eq!(printable("a\u{1b}[31mb\nc\u{85}", 64), "a[31mbc");
        assert_eq!(printable("\n\n\u{e9}\u{e9}\u{e9}", 2), "\u{e9}\u{e9}");
        assert_eq!(printable("", 2), "");
    }
}
