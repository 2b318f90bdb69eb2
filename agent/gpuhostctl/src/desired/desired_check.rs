//! `desired check`: everything in a document that would be refused, with its field and its place. It needs no daemon.

use crate::failure::Failure;
use crate::input;
use crate::text::{Look, paint, print, print_json};
use model::desired::{CAPABILITIES, DesiredDocument, DocumentError, HeldDocument, TomlDocument, accept};
use model::time::UnixMillis;
use serde::Serialize;
use std::path::Path;
use wire::manager::desired::{DesiredFault, DesiredForm, DesiredReading, examine, examine_toml, form_of};

/// A document of up to this size is read, so that one that is too large is refused with its own code.
const FILE_MAX_BYTES: usize = 32 * 1024 * 1024;

/// [`Report::form`] of a manager's document.
const MANAGER: &str = "manager";

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    /// `manager` or `local`.
    form: &'static str,
    /// Which document it is, `epoch.revision`.
    document: Option<String>,
    /// Nothing would be refused.
    right: bool,
    /// What refuses the whole document.
    refused: Vec<Finding>,
    /// What refuses its item alone.
    items: Vec<Finding>,
    /// What this version does nothing about.
    ignored: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Finding {
    /// Stable code; none for what is ignored.
    code: Option<&'static str>,
    /// JSON pointer of the field; empty for the document as a whole.
    pointer: String,
    line: Option<usize>,
    column: Option<usize>,
    message: String,
}

/// Checks one file.
pub(crate) fn run(file: &Path, json: bool) -> Result<(), Failure> {
    let bytes = input::read(file, FILE_MAX_BYTES)?;
    let now = UnixMillis(jiff::Timestamp::now().as_millisecond());
    let report = report(&input::name(file), extension(file), &bytes, now);
    if json {
        print_json(&report)?;
    } else {
        print(&lines(&report))?;
    }
    if report.right { Ok(()) } else { Err(Failure::Refusable) }
}

/// A file of this host with which nothing is wrong.
pub(crate) struct LocalFile {
    /// As it is.
    pub(crate) bytes: Vec<u8>,
    /// It is TOML, and else JSON.
    pub(crate) is_toml: bool,
    /// As JSON.
    pub(crate) json: String,
}

/// Reads a file of this host. What is wrong with it is printed as `desired check` prints it, and refuses it.
pub(crate) fn local(file: &Path, json: bool) -> Result<LocalFile, Failure> {
    let bytes = input::read(file, FILE_MAX_BYTES)?;
    let (name, extension) = (input::name(file), extension(file));
    let now = UnixMillis(jiff::Timestamp::now().as_millisecond());
    let report = report(&name, extension, &bytes, now);
    if report.form == MANAGER {
        let message =
            format!("{name} is a document of a manager: a file of this host has neither an epoch nor a revision");
        return Err(Failure::Refused { status: 1, message });
    }
    let is_toml = is_toml(extension, &bytes);
    let text = String::from_utf8(bytes.clone()).ok().filter(|_| report.right);
    let as_json =
        text.and_then(|text| if is_toml { TomlDocument::read(&text).ok().map(|it| it.json) } else { Some(text) });
    match as_json {
        Some(json) => Ok(LocalFile { bytes, is_toml, json }),
        None => {
            if json {
                print_json(&report)?
            } else {
                print(&lines(&report))?
            }
            Err(Failure::Refusable)
        }
    }
}

fn extension(file: &Path) -> Option<&str> {
    file.extension().and_then(|it| it.to_str())
}

fn is_toml(extension: Option<&str>, bytes: &[u8]) -> bool {
    match extension {
        Some("toml") => true,
        Some("json") => false,
        Some(_) | None => !bytes.trim_ascii_start().starts_with(b"{"),
    }
}

fn report(file: &str, extension: Option<&str>, bytes: &[u8], now: UnixMillis) -> Report {
    let text = str::from_utf8(bytes).ok();
    let form = text.map_or(DesiredForm::Local, form_of);
    let is_toml = is_toml(extension, bytes);
    let reading = match text.filter(|_| is_toml) {
        Some(text) => examine_toml(text, form),
        None => examine(bytes, form),
    };
    let late = later_refusal(&reading, form, now);
    let DesiredReading { id, faults, .. } = reading;
    let all = |faults: Vec<DesiredFault>, code| faults.into_iter().map(|fault| finding(fault, code)).collect();
    let mut refused: Vec<Finding> = all(faults.refused, Some("document_invalid"));
    refused.extend(late);
    let items: Vec<Finding> = all(faults.items, Some("unsupported_value"));
    Report {
        file: file.to_owned(),
        form: match form {
            DesiredForm::Manager => MANAGER,
            DesiredForm::Local => "local",
        },
        document: id.map(|id| id.to_string()),
        right: refused.is_empty() && items.is_empty(),
        refused,
        items,
        ignored: all(faults.ignored, None),
    }
}

/// What is checked behind the shape, as far as it can be without a host.
fn later_refusal(reading: &DesiredReading, form: DesiredForm, now: UnixMillis) -> Option<Finding> {
    let refusal = match (form, &reading.id) {
        (DesiredForm::Manager, Some(id)) if reading.faults.refused.is_empty() => {
            let document = DesiredDocument {
                id: id.clone(),
                issued_at: reading.issued_at,
                server_id: None,
                not_after: reading.not_after,
                requires: reading.requires.clone(),
                wishes: reading.wishes.clone(),
            };
            let held = HeldDocument { server_id: "", in_force: None, epochs_left: &[], now };
            accept(&document, held, || false).err()?
        }
        (DesiredForm::Manager, _) => return None,
        (DesiredForm::Local, _) => {
            let offered = |name: &&String| !CAPABILITIES.contains(&name.as_str());
            let missing: Vec<String> = reading.requires.iter().filter(offered).cloned().collect();
            (!missing.is_empty()).then_some(DocumentError::UnsupportedFeature(missing))?
        }
    };
    let pointer = match &refusal {
        DocumentError::UnsupportedFeature(_) => "/requires",
        DocumentError::Expired { .. } => "/not_after",
        DocumentError::Invalid(_)
        | DocumentError::WrongServerId { .. }
        | DocumentError::StaleEpoch(_)
        | DocumentError::StaleRevision { .. }
        | DocumentError::ConflictingRevision(_) => "",
    };
    let fault = DesiredFault { pointer: pointer.to_owned(), at: None, message: refusal.to_string() };
    Some(finding(fault, Some(refusal.code())))
}

fn finding(fault: DesiredFault, code: Option<&'static str>) -> Finding {
    let DesiredFault { pointer, at, message } = fault;
    Finding { code, pointer, line: at.map(|at| at.line), column: at.map(|at| at.column), message }
}

fn lines(report: &Report) -> Vec<String> {
    let Report { file, form: _, document, right, refused, items, ignored } = report;
    let what = document.as_ref().map_or_else(|| "a local file".to_owned(), |id| format!("a manager's document, {id}"));
    let verdict = match (right, refused.is_empty()) {
        (true, _) => paint("nothing would be refused", Look::Good),
        (false, true) => paint("some items would be refused", Look::Bad),
        (false, false) => paint("it would be refused as a whole", Look::Bad),
    };
    let mut lines = vec![format!("{file}: {what}: {verdict}")];
    let line = |found: &Finding| {
        let place = match (found.line, found.column) {
            (Some(line), Some(column)) => format!("{file}:{line}:{column}: "),
            _ => String::new(),
        };
        let code = found.code.map_or_else(|| "ignored".to_owned(), str::to_owned);
        let pointer = if found.pointer.is_empty() { String::new() } else { format!("{}: ", found.pointer) };
        format!("  {place}{pointer}{} ({code})", found.message)
    };
    lines.extend(refused.iter().chain(items).chain(ignored).map(line));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_774_962_793_000);

    fn of(extension: &str, text: &str) -> Report {
        report("f", Some(extension), text.as_bytes(), NOW)
    }

    fn codes(report: &Report) -> Vec<(Option<&'static str>, &str)> {
        let all = report.refused.iter().chain(&report.items);
        all.map(|found| (found.code, found.pointer.as_str())).collect()
    }

    #[test]
    fn what_is_right_is_right_in_both_forms_and_languages() {
        for (extension, text, form) in [
            ("toml", "[agent]\ndraining = true\n", "local"),
            ("json", r#"{"agent": {"draining": true}}"#, "local"),
            ("conf", "[agent]\ndraining = true\n", "local"),
            ("conf", r#" {"agent": {"draining": true}}"#, "local"),
            ("json", r#"{"epoch": "e", "revision": 1, "newer": 1, "server_id": "x"}"#, "manager"),
            ("toml", "epoch = 'e'\nrevision = 1\n", "manager"),
        ] {
            let found = of(extension, text);
            assert!(found.right && found.form == form, "{text}: {found:?}");
        }
    }

    #[test]
    fn everything_that_would_be_refused_is_named() {
        let manager = of(
            "json",
            r#"{"epoch": "e", "revision": 0, "agent": {"enabled": 1, "log_level": "loud"}, "gpus": [{"match": []}]}"#,
        );
        let invalid = Some("document_invalid");
        let expected = [
            (invalid, "/agent/enabled"),
            (invalid, "/gpus/0/match"),
            (invalid, "/revision"),
            (Some("unsupported_value"), "/agent/log_level"),
        ];
        assert_eq!((codes(&manager), manager.right), (expected.to_vec(), false));
        for (text, code, pointer) in [
            (r#"{"epoch": "e", "revision": 1, "requires": ["quota.v1"]}"#, "unsupported_feature", "/requires"),
            (r#"{"epoch": "e", "revision": 1, "not_after": "2026-03-31T13:13:12Z"}"#, "document_expired", "/not_after"),
            (r#"{"requires": ["quota.v1"]}"#, "unsupported_feature", "/requires"),
            (r#"{"lables": {}}"#, "document_invalid", "/lables"),
            ("{", "document_invalid", ""),
        ] {
            assert_eq!(codes(&of("json", text)), [(Some(code), pointer)], "{text}");
        }
        let said = lines(&of("toml", "[agent]\n\nlables = 1\n")).join("\n");
        assert!(
            said.contains("f:3:10: /agent/lables: this name is not known") && said.contains("as a whole"),
            "{said}"
        );
        let binary = report("f", Some("json"), b"\xff\x00", NOW);
        assert!(!binary.right && lines(&binary).join("").contains("is not UTF-8"));
    }
}
