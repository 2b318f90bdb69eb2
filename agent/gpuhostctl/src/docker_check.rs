//! `docker check`: what gpuhostd would change in Docker's configuration, as a difference. It needs no daemon and writes nothing.

use crate::daemon_json::{content, refused};
use crate::failure::Failure;
use crate::input;
use crate::text::{Look, clean, paint, print, print_json};
use model::daemon_json::{BadEntry, Edited, RuntimeEntry, enables_cdi, insert, reads_byte_order_mark, remove};
use model::nvidia_container::NvidiaSpec;
use std::path::Path;

/// Where Docker reads it unless it was started with another one.
const FILE: &str = "/etc/docker/daemon.json";
/// Lines that are shown before and behind what changes.
const AROUND: usize = 3;

/// Prints the difference.
pub(crate) fn run(file: Option<&Path>, engine: Option<&str>, json: bool) -> Result<(), Failure> {
    let file = file.unwrap_or_else(|| Path::new(FILE));
    let entry: Result<RuntimeEntry, _> = format!("nvidia={}", NvidiaSpec::TOOLKIT_RUNTIME).parse();
    let entry = entry.map_err(|fault| Failure::Form { why: fault.to_string() })?;
    let refused = |fault| refused(file, fault);
    let before = content(file).map_err(refused)?;
    let edited = insert(before.as_deref(), &entry, engine.is_none_or(reads_byte_order_mark)).map_err(refused)?;
    let after = match edited {
        Edited::Content(after) => Some(after),
        Edited::Unchanged | Edited::NoFile => None,
    };
    let difference = after.as_ref().map(|after| difference(&text(before.as_deref()), &text(Some(after))));
    if json {
        let lines = difference.unwrap_or_default();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        return print_json(&serde_json::json!({ "File": file, "Changed": !lines.is_empty(), "Difference": lines }));
    }
    let name = input::name(file);
    match difference {
        None => print(&[format!(
            "{name} has the runtime nvidia already: nothing would be written, and Docker not reloaded."
        )]),
        Some(lines) => {
            let title = match &before {
                Some(_) => format!("{name} would be changed so, and Docker reloaded:"),
                None => format!("{name} would be created so, and Docker reloaded:"),
            };
            print(&std::iter::once(title).chain(painted(&lines)).collect::<Vec<_>>())
        }
    }
}

/// The lines of a difference in its colours.
pub(crate) fn painted(lines: &[String]) -> impl Iterator<Item = String> {
    lines.iter().map(|line| {
        let look = if line.starts_with('+') {
            Look::Good
        } else if line.starts_with('-') {
            Look::Bad
        } else {
            Look::Plain
        };
        paint(&clean(line), look)
    })
}

/// What gpuhostd would change in the usual file when the toolkit is deployed, or removed.
///
/// # Errors
/// Why the file is left as it is.
pub(crate) fn planned(removes: bool) -> Result<Vec<String>, String> {
    let file = Path::new(FILE);
    let refused = |fault: model::daemon_json::Refused| format!("{FILE}: {fault} ({})", fault.code());
    let entry: RuntimeEntry =
        format!("nvidia={}", NvidiaSpec::TOOLKIT_RUNTIME).parse().map_err(|fault: BadEntry| fault.to_string())?;
    let before = content(file).map_err(refused)?;
    let edited = if removes { remove(before.as_deref(), &entry.name) } else { insert(before.as_deref(), &entry, true) };
    let after = match edited.map_err(refused)? {
        Edited::Content(after) => Some(after),
        Edited::NoFile => None,
        Edited::Unchanged => return Ok(Vec::new()),
    };
    Ok(difference(&text(before.as_deref()), &text(after.as_deref())))
}

/// Whether the usual file could get `features.cdi`, and has not got it.
pub(crate) fn lacks_cdi() -> bool {
    content(Path::new(FILE)).is_ok_and(|bytes| bytes.is_none_or(|bytes| matches!(enables_cdi(&bytes), Ok(false))))
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// One piece differs: the lines of it, with some around them.
fn difference(before: &str, after: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same_head = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
    let rest = old.len().min(new.len()) - same_head;
    let same_tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(one, other)| one == other).count();
    let head = old.iter().take(same_head).skip(same_head.saturating_sub(AROUND));
    let gone = old.iter().take(old.len() - same_tail).skip(same_head);
    let come = new.iter().take(new.len() - same_tail).skip(same_head);
    let tail = old.iter().skip(old.len() - same_tail).take(AROUND);
    let marked = |mark: char| move |line: &&str| format!("{mark}{line}");
    let (head, tail) = (head.map(marked(' ')), tail.map(marked(' ')));
    head.chain(gone.map(marked('-'))).chain(come.map(marked('+'))).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_that_change_are_marked() {
        let before = "{\n    \"debug\": true\n}\n";
        let after = "{\n    \"runtimes\": {},\n    \"debug\": true\n}\n";
        assert_eq!(difference(before, after), [" {", "+    \"runtimes\": {},", "     \"debug\": true", " }"]);
        assert_eq!(difference("{}", "{\"a\": 1}"), ["-{}", "+{\"a\": 1}"]);
        assert_eq!(difference("", "{\n}\n"), ["+{", "+}"]);
        assert_eq!(difference("a\na\n", "a\na\na\n"), [" a", " a", "+a"]);
    }
}
