//! `jobs ID`: all that is known of one job.

use crate::failure::Failure;
use crate::text::{Cell, Look, Table, ago, paint, print as print_lines, print_json};
use wire::dbus::job::{DONE, FAILED, JobView};
use wire::dbus::snapshot::Snapshot;

/// Prints one job, named by its number or its object path.
pub(crate) fn print(snapshot: &Snapshot, name: &str, json: bool) -> Result<(), Failure> {
    let job = find(snapshot, name)?;
    if json {
        return print_json(job);
    }
    print_lines(&lines(job))
}

/// The job of that number or object path.
pub(crate) fn find<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a JobView, Failure> {
    let is_it = |job: &&JobView| job.path == name || job.id.to_string() == name;
    let missing = || Failure::NotFound { what: "job", name: name.to_owned(), see: "gpuhostctl jobs" };
    snapshot.jobs.iter().find(is_it).ok_or_else(missing)
}

/// The job as lines: what it is and how it goes, its plan, what blocks it, what it cautions about.
fn lines(job: &JobView) -> Vec<String> {
    let mut lines = vec![paint(&format!("Job {}  {}", job.id, job.operation), Look::Bold)];
    let (state, look) = state(job);
    let mut table = Table::untitled();
    let mut row = |title: &str, text: String, look| {
        if !text.is_empty() {
            table.row(vec![Cell::new(title, Look::Dim), Cell::new(text, look)]);
        }
    };
    row("GPU", job.gpu.clone().unwrap_or_default(), Look::Plain);
    row("State", state, look);
    row("Asked", job.started_at.map(ago).unwrap_or_default(), Look::Plain);
    row("By", job.started_by_uid.map_or_else(|| job.started_by.clone(), |uid| format!("uid {uid}")), Look::Plain);
    row("Step", job.current_step.clone(), Look::Plain);
    row("Error", job.error.as_ref().map(|(code, why)| format!("{code}: {why}")).unwrap_or_default(), Look::Bad);
    row("Remark", job.remark.clone(), Look::Plain);
    lines.extend(table.lines());
    lines.extend(listed("Plan", job.plan.iter().cloned()));
    let blockers =
        job.blockers.iter().map(|blocker| format!("{}: {}; {}", blocker.code, blocker.message, blocker.remedy));
    lines.extend(listed("What blocks it", blockers));
    lines.extend(listed("Caution", job.cautions.iter().cloned()));
    lines
}

/// How far it is, in words, and how that looks.
fn state(job: &JobView) -> (String, Look) {
    match job.result.as_deref() {
        Some(DONE) if job.dry_run => ("planned; nothing was changed".to_owned(), Look::Good),
        Some(DONE) => (DONE.to_owned(), Look::Good),
        Some(FAILED) => (FAILED.to_owned(), Look::Bad),
        Some(other) => (other.to_owned(), Look::Plain),
        None => {
            let part = job.progress.map(|part| format!(", {:.0} %", part * 100.0)).unwrap_or_default();
            (format!("{}{part}", job.state), Look::Plain)
        }
    }
}

fn listed(title: &str, entries: impl Iterator<Item = String>) -> Vec<String> {
    let mut table = Table::untitled();
    let mut is_empty = true;
    for (number, entry) in (1..).zip(entries) {
        is_empty = false;
        table.row(vec![Cell::new(format!("  {number}"), Look::Dim), Cell::new(entry, Look::Plain)]);
    }
    if is_empty {
        return Vec::new();
    }
    let mut lines = vec![String::new(), paint(title, Look::Bold)];
    lines.extend(table.lines());
    lines
}
