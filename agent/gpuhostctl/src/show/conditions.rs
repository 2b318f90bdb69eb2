//! `conditions`: what holds on this host that a person may have to act on, and since when.

use crate::failure::Failure;
use crate::text::{Cell, Look, Table, ago, clean, paint, print as print_lines, print_json};
use wire::dbus::host::HostView;
use wire::dbus::snapshot::Snapshot;

/// Prints the conditions.
pub(crate) fn print(snapshot: &Snapshot, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&snapshot.host.conditions);
    }
    print_lines(&lines(&snapshot.host))
}

/// One after the other: type, reason and age on a line, the sentence below it.
fn lines(host: &HostView) -> Vec<String> {
    if host.conditions.is_empty() {
        return vec!["No condition holds.".to_owned()];
    }
    let mut table = Table::new(&["CONDITION", "STATUS", "REASON", "SINCE"]);
    for condition in &host.conditions {
        let look = if condition.status == "true" { Look::Bad } else { Look::Plain };
        table.row(vec![
            Cell::new(&condition.kind, look),
            Cell::plain(Some(&condition.status)),
            Cell::plain(Some(&condition.reason)),
            Cell::plain(condition.since.map(ago).as_deref()),
        ]);
    }
    let mut rows = table.lines().into_iter();
    let mut lines: Vec<String> = rows.by_ref().take(1).collect();
    for (row, condition) in rows.zip(&host.conditions) {
        lines.extend([row, format!("    {}", paint(&clean(&condition.message), Look::Plain))]);
    }
    lines
}
