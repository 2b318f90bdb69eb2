//! How far the value behind a name goes.

/// Words before the value proper: `Authorization: Bearer x`, `token: Token x`.
const SCHEMES: [&str; 4] = ["bearer", "basic", "token", "digest"];

/// `credentials[main]: x`: no index is longer.
const INDEX_MAX_BYTES: usize = 64;

/// What is behind `=`, `:`, `=>` or the `>` of an element, with the quotes and spaces around it.
pub(super) fn after_separator(behind: &str) -> Option<&str> {
    let index = behind.strip_prefix('[').filter(|index| index.bytes().take(INDEX_MAX_BYTES).any(|byte| byte == b']'));
    let indexed = index.and_then(|index| index.split_once(']')).map(|(_, rest)| rest);
    let behind = indexed.unwrap_or(behind).trim_start_matches(['"', '\'', '\\']).trim_start_matches([' ', '\t']);
    let behind = behind.strip_prefix("&quot;").unwrap_or(behind);
    let value = behind.strip_prefix("=>").or_else(|| behind.strip_prefix(['=', ':', '>']))?;
    Some(value.trim_start_matches([' ', '\t', '=']))
}

/// One value: between its quotes, or up to the next space, quote or element. Returns it with what follows.
pub(super) fn one(from: &str) -> (&str, &str) {
    let (first, rest) = one_or_quoted(from);
    if SCHEMES.iter().any(|scheme| first.eq_ignore_ascii_case(scheme)) {
        return next_word(rest).unwrap_or((first, rest));
    }
    (first, rest)
}

fn one_or_quoted(from: &str) -> (&str, &str) {
    let bare = from.trim_start_matches('\\');
    if let Some(quote) = bare.chars().next().filter(|char| matches!(char, '"' | '\'')) {
        let inside = bare.get(1..).unwrap_or_default();
        return split(inside, inside.find([quote, '\n']).unwrap_or(inside.len()));
    }
    split(from, end_of_word(from))
}

/// All that is on the line, or in the element: a header has values in quotes of their own.
pub(super) fn to_the_end(from: &str) -> (&str, &str) {
    split(from, from.find(['<', '\n', '\r']).unwrap_or(from.len()))
}

/// The next word behind spaces, or what is there in quotes.
pub(super) fn next_word(behind: &str) -> Option<(&str, &str)> {
    let from = behind.trim_start_matches([' ', '\t']);
    if from.len() == behind.len() {
        return None;
    }
    Some(one_or_quoted(from)).filter(|(word, _)| !word.is_empty())
}

fn end_of_word(from: &str) -> usize {
    from.find(|char: char| char.is_whitespace() || matches!(char, '"' | '\'' | '<' | '>')).unwrap_or(from.len())
}

/// `at` is the beginning of a character or the end.
fn split(from: &str, at: usize) -> (&str, &str) {
    from.split_at_checked(at).unwrap_or((from, ""))
}
