//! `desired diff`: what is not as it is wished, or what a file would change if it were installed.

use super::desired_check;
use crate::daemon::{ANSWER_DEADLINE, Daemon};
use crate::failure::Failure;
use crate::show::desired::items;
use crate::text::{Cell, Look, Table, print, print_json};
use std::path::Path;
use wire::dbus::desired::{DesiredChangeView, DesiredItemView, DesiredView, MET};
use wire::dbus::proxy::Options;

/// The bus takes no more in one message.
const PREVIEW_MAX_BYTES: usize = 120 * 1024;

/// The items that are not met.
pub(crate) fn unmet(view: &DesiredView, json: bool) -> Result<(), Failure> {
    let unmet: Vec<DesiredItemView> = view.items.iter().filter(|item| item.state != MET).cloned().collect();
    if json {
        return print_json(&unmet);
    }
    if unmet.is_empty() {
        return print(&["This host is as it is wished.".to_owned()]);
    }
    print(&items(&unmet))
}

/// What a file would change. Nothing that is wrong with it is hidden by that: such a file is refused here too.
pub(crate) fn of_file(bus: Option<String>, file: &Path, json: bool) -> Result<(), Failure> {
    let checked = desired_check::local(file, json)?;
    if checked.json.len() > PREVIEW_MAX_BYTES {
        let why = format!(
            "{} is larger than {PREVIEW_MAX_BYTES} bytes as JSON, and the bus takes no more: install it with `gpuhostctl \
             desired apply`, and see `gpuhostctl desired diff`",
            file.display()
        );
        return Err(Failure::Usage { why });
    }
    let changes: Vec<DesiredChangeView> = crate::block_on(async {
        let daemon = Daemon::connect(bus).await?;
        let desired = daemon.desired_state().await?;
        let text = daemon.answer(ANSWER_DEADLINE, desired.preview(&checked.json, Options::new())).await?;
        serde_json::from_str(&text).map_err(|source| Failure::Answer { source })
    })?;
    if json {
        return print_json(&changes);
    }
    print(&lines(&changes))
}

fn lines(changes: &[DesiredChangeView]) -> Vec<String> {
    if changes.is_empty() {
        return vec![
            "Nothing would change: this host is as the file wishes it, or what wishes it already is under way."
                .to_owned(),
        ];
    }
    let mut table = Table::new(&["PATH", "SOURCE", "STATE", "WHAT"]);
    for change in changes {
        let (look, code) = match &change.code {
            Some(code) => (Look::Bad, format!(" ({code})")),
            None => (Look::Plain, String::new()),
        };
        table.row(vec![
            Cell::plain(Some(&change.path)),
            Cell::plain(Some(&change.source)),
            Cell::new(change.state.replace('_', " "), look),
            Cell::plain(Some(&format!("{}{code}", change.message))),
        ]);
    }
    table.lines()
}
