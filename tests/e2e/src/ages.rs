//! Durations in what is shown differ from run to run, and on a busy machine more.

/// The text with `age` in place of each duration before " ago".
#[must_use]
pub fn with_age(text: &str, age: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(" ago") {
        let count = before.trim_end_matches(" s").trim_end_matches(" d");
        let other = count.trim_end_matches(|c: char| c.is_ascii_digit());
        let is_duration = other.len() + 2 < before.len();
        out += if is_duration { other } else { before };
        if is_duration {
            out += age;
        }
        out += " ago";
        rest = after;
    }
    out + rest
}
