//! Cuts one input into the pieces that a target needs: lines, and fields of a line, so that mutations stay meaningful.

/// At most so many non-empty lines of the input, as text (what is no UTF-8 is replaced).
pub fn lines(input: &[u8], most: usize) -> Vec<String> {
    let text = String::from_utf8_lossy(input);
    text.split('\n').filter(|line| !line.is_empty()).take(most).map(str::to_owned).collect()
}

/// The input before and after the first empty line; all of it and nothing where there is none.
#[must_use]
pub fn halves(input: &[u8]) -> (&[u8], &[u8]) {
    match input.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&input[..at], &input[at + 2..]),
        None => (input, &[]),
    }
}

/// The text up to the first blank, and what follows it.
#[must_use]
pub fn word(line: &str) -> (&str, &str) {
    line.split_once(' ').unwrap_or((line, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_whole() {
        assert_eq!(lines(b"a\n\nb\xff\nc", 2), ["a", "b\u{fffd}"]);
        assert_eq!(halves(b"a\n\nb\n\nc"), (b"a".as_slice(), b"b\n\nc".as_slice()));
        assert_eq!(halves(b"a\n"), (b"a\n".as_slice(), b"".as_slice()));
        assert_eq!(word("a b c"), ("a", "b c"));
    }
}
