//! The doctor's words: findings by area, the checks that could not be made, and the sum.

use crate::failure::Failure;
use crate::text::{Cell, Look, Table, clean, paint, print as print_lines, print_json};
use model::doctor::{Area, CATALOGUE, Diagnosis, DoctorFinding, Severity, Unchecked};
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything as lines.
pub(super) fn lines(diagnosis: &Diagnosis, as_root: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let mut areas: BTreeMap<Area, Vec<&DoctorFinding>> = BTreeMap::new();
    for finding in &diagnosis.findings {
        areas.entry(finding.area).or_default().push(finding);
    }
    for (area, findings) in areas {
        lines.push(paint(area.title(), Look::Bold));
        lines.extend(findings.into_iter().flat_map(finding));
    }
    lines.extend(unchecked(&diagnosis.unchecked, as_root));
    lines.push(sum(diagnosis));
    lines
}

const fn look(severity: Severity) -> Look {
    match severity {
        Severity::Error | Severity::Warning => Look::Bad,
        Severity::Hint => Look::Plain,
    }
}

fn finding(finding: &DoctorFinding) -> Vec<String> {
    let head = format!(
        "  {}  {}  {}",
        paint(&format!("{:<7}", finding.severity.code()), look(finding.severity)),
        finding.code,
        paint(&clean(&finding.subject), Look::Bold),
    );
    let mut table = Table::untitled();
    for (title, words) in [("found", &finding.found), ("why", &finding.why), ("cure", &finding.cure)] {
        table.row(vec![
            Cell::new("         ", Look::Plain),
            Cell::new(title, Look::Dim),
            Cell::new(words, Look::Plain),
        ]);
    }
    [head].into_iter().chain(table.lines()).chain([String::new()]).collect()
}

/// By reason: a caller without powers would read the same one thirty times.
fn unchecked(unchecked: &[Unchecked], as_root: bool) -> Vec<String> {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for check in unchecked {
        reasons.entry(&check.why).or_default().push(&check.code);
    }
    if reasons.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![paint("Not checked", Look::Bold)];
    for (why, codes) in reasons {
        lines.push(format!("  {}: {}", clean(why), codes.join(", ")));
    }
    if !as_root {
        lines.push("  Run it as root (sudo gpuhostctl doctor) to have them checked.".to_owned());
    }
    lines.push(String::new());
    lines
}

fn sum(diagnosis: &Diagnosis) -> String {
    let count = |severity| diagnosis.findings.iter().filter(|finding| finding.severity == severity).count();
    let plural = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let parts = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Hint, "hint")];
    let mut parts: Vec<String> = parts.into_iter().map(|(severity, what)| plural(count(severity), what)).collect();
    if !diagnosis.unchecked.is_empty() {
        parts.push(format!("{} not checked", diagnosis.unchecked.len()));
    }
    let word = if diagnosis.is_ill() { paint("faults found", Look::Bad) } else { paint("ok", Look::Good) };
    format!("{word}: {} checks, {}", diagnosis.checks, parts.join(", "))
}

/// A check as the list shows it.
#[derive(Serialize)]
struct Listed {
    code: &'static str,
    area: Area,
    severity: Severity,
    why: &'static str,
    cure: &'static str,
}

/// All checks.
pub(super) fn list(json: bool) -> Result<(), Failure> {
    let listed = CATALOGUE.iter().flat_map(|(area, checks)| {
        let of = |check: &model::doctor::Check| Listed {
            code: check.code,
            area: *area,
            severity: check.severity,
            why: check.why,
            cure: check.cure,
        };
        checks.iter().map(of)
    });
    if json {
        return print_json(&listed.collect::<Vec<_>>());
    }
    let mut table = Table::new(&["CODE", "SEVERITY", "AREA", "WHY IT MATTERS"]);
    for check in listed {
        let plain = |text: &str| Cell::new(text, Look::Plain);
        table.row(vec![plain(check.code), plain(check.severity.code()), plain(check.area.title()), plain(check.why)]);
    }
    print_lines(&table.lines())
}
