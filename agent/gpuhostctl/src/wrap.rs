//! Sentences on a terminal: wrapped between words, under their own indent. Tables stay as they are.

/// From this indent on a line is a sentence.
const SENTENCE_INDENT: usize = 4;
/// What is wrapped is so much further in than its beginning.
const HANG: usize = 4;
/// On anything narrower the terminal may break as it likes.
const NARROWEST: usize = 40;

/// The line in pieces of at most `width` columns, where it is an indented sentence.
pub(crate) fn wrapped(line: &str, width: usize) -> Vec<String> {
    let indent = line.chars().take_while(|c| *c == ' ').count();
    if indent < SENTENCE_INDENT || width < NARROWEST.max(indent * 2) || columns(line) <= width {
        return vec![line.to_owned()];
    }
    let mut lines = Vec::new();
    let mut current = " ".repeat(indent);
    let mut is_begun = false;
    for word in line.trim_start_matches(' ').split(' ') {
        if is_begun && columns(&current) + 1 + columns(word) > width {
            let next = " ".repeat(indent + HANG);
            lines.push(std::mem::replace(&mut current, next));
            is_begun = false;
        }
        if is_begun {
            current.push(' ');
        }
        current.push_str(word);
        is_begun = true;
    }
    lines.push(current);
    lines
}

/// Columns on the screen: colours take none.
fn columns(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Look, paint};

    #[test]
    fn a_sentence_is_wrapped_between_words_under_its_indent_and_nothing_is_lost() {
        let why = paint("why:  ", Look::Bad);
        let line = format!(
            "    {why} kernel_driver: the module nvidia is installed, but a file keeps it from loading at boot"
        );
        let pieces = wrapped(&line, 50);
        assert!(pieces.len() > 1 && pieces.iter().all(|piece| columns(piece) <= 50), "{pieces:?}");
        assert!(
            pieces.iter().skip(1).all(|piece| piece.starts_with("        ") && !piece.starts_with("         ")),
            "{pieces:?}"
        );
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&pieces.join(" ")), words(&line));
        assert_eq!(wrapped(&line, 200), std::slice::from_ref(&line));
        assert_eq!(wrapped(&line, 10), [line], "no terminal is so narrow");
    }

    #[test]
    fn tables_and_words_that_are_too_long_stay_whole() {
        let row = format!("0000:41:00.0  {}", "x ".repeat(60));
        assert_eq!(wrapped(&row, 60), [row]);
        let long = format!("    see {}", "x".repeat(90));
        assert_eq!(wrapped(&long, 60), ["    see".to_owned(), format!("        {}", "x".repeat(90))]);
    }
}
