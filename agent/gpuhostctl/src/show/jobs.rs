//! `jobs`: what the daemon is doing and has done.

use crate::failure::Failure;
use crate::text::{Cell, Look, Table, ago, print as print_lines, print_json};
use wire::dbus::job::{DONE, FAILED, JobView};
use wire::dbus::snapshot::Snapshot;

/// Prints the jobs.
pub(crate) fn print(snapshot: &Snapshot, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&snapshot.jobs);
    }
    print_lines(&lines(&snapshot.jobs))
}

/// The jobs as lines.
pub(crate) fn lines(jobs: &[JobView]) -> Vec<String> {
    if jobs.is_empty() {
        return vec!["There is no job, and none has finished recently.".to_owned()];
    }
    let mut table = Table::new(&["JOB", "OPERATION", "GPU", "STATE", "ASKED", "BY", "WHAT"]);
    for job in jobs {
        let (state, look) = match job.result.as_deref() {
            Some(DONE) if job.dry_run => ("planned", Look::Plain),
            Some(DONE) => (DONE, Look::Good),
            Some(FAILED) => (FAILED, Look::Bad),
            Some(other) => (other, Look::Plain),
            None => (job.state.as_str(), Look::Plain),
        };
        let by = job.started_by_uid.map_or_else(|| job.started_by.clone(), |uid| format!("uid {uid}"));
        let step = if job.current_step.is_empty() { job.remark.as_str() } else { job.current_step.as_str() };
        let what = job.error.as_ref().map_or(step, |(_, message)| message);
        let operation = format!("{}{}", job.operation, if job.dry_run { " (dry run)" } else { "" });
        table.row(vec![
            Cell::plain(Some(&job.id.to_string())),
            Cell::plain(Some(&operation)),
            Cell::plain(job.gpu.as_deref()),
            Cell::new(state, look),
            Cell::plain(job.started_at.map(ago).as_deref()),
            Cell::plain(Some(&by)),
            Cell::plain(Some(what)),
        ]);
    }
    table.lines()
}
