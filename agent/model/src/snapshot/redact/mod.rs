//! Takes secrets out of text: by the names that they stand under, and by the look of those that stand alone.

mod rules;
mod value;

use rules::Cut;
use serde_json::Value;

/// Replaces a secret.
pub const MARK: &str = "[redacted]";

/// Text without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    /// What is left.
    pub text: String,
    /// How many secrets were taken out.
    pub count: u32,
}

/// Takes the secrets out of a text: PEM blocks, user and password in addresses, values under names that speak of secrets,
/// headers of authorization, and words that look like a known kind of token. In doubt it takes out too much.
#[must_use]
pub fn text(text: &str) -> Redacted {
    let mut out = Redacted { text: String::with_capacity(text.len()), count: 0 };
    let mut rest = text;
    while let Some((before, after)) = next_pem(rest) {
        lines(before, &mut out);
        out.text.push_str(MARK);
        out.count = out.count.saturating_add(1);
        rest = after;
    }
    lines(rest, &mut out);
    out
}

/// Takes the secrets out of a document: every text under a name that speaks of secrets, and out of every other text what
/// [`text`] finds. Returns how many.
pub fn json(document: &mut Value) -> u32 {
    match document {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(content) => {
            let Redacted { text, count } = text(content);
            *content = text;
            count
        }
        Value::Array(list) => list.iter_mut().map(json).fold(0, u32::saturating_add),
        Value::Object(fields) => {
            let fields = fields.iter_mut();
            fields.map(|(name, value)| if rules::is_secret_name(name) { blank(value) } else { json(value) }).sum()
        }
    }
}

/// Blanks every text in a value.
fn blank(value: &mut Value) -> u32 {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(content) if content.is_empty() => 0,
        Value::String(content) => {
            MARK.clone_into(content);
            1
        }
        Value::Array(list) => list.iter_mut().map(blank).sum(),
        Value::Object(fields) => fields.values_mut().map(blank).sum(),
    }
}

/// What is before and behind the next PEM block. One without an end goes on to the end of the text.
fn next_pem(text: &str) -> Option<(&str, &str)> {
    let (before, block) = text.split_once("-----BEGIN ")?;
    let after =
        block.split_once("-----END ").map_or("", |(_, end)| end.split_once("-----").map_or("", |(_, rest)| rest));
    Some((before, after))
}

fn lines(text: &str, out: &mut Redacted) {
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while let Some(Cut { keep, drop, rest: after }) = rules::next(rest) {
            out.text.push_str(keep);
            if !drop.is_empty() {
                out.text.push_str(MARK);
                out.count = out.count.saturating_add(1);
            }
            rest = after;
        }
        out.text.push_str(rest);
    }
}
