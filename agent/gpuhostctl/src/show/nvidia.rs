//! `driver status` and `toolkit status`: how far one of NVIDIA's containers is.

use crate::failure::{Failure, status_of_code};
use crate::text::{Cell, Look, Table, ago, ahead, print as print_lines, print_json};
use wire::dbus::nvidia::NvidiaContainerView;

/// Prints it.
pub(crate) fn print(view: &NvidiaContainerView, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(view);
    }
    print_lines(&lines(view))
}

/// The colour of a phase.
fn look(phase: &str) -> Look {
    match phase {
        "ready" => Look::Good,
        "failed" | "refused" | "foreign" => Look::Bad,
        _ => Look::Plain,
    }
}

/// It as lines.
pub(crate) fn lines(view: &NvidiaContainerView) -> Vec<String> {
    let phase = view.phase.replace('_', " ");
    let phase = match view.since.map(ago) {
        Some(since) => format!("{phase}, since {since}"),
        None => phase,
    };
    let code = |text: &str, code: &Option<String>| match code {
        Some(code) => format!("{text} ({code})"),
        None => text.to_owned(),
    };
    let pulled = view.pull_done_bytes.zip(view.pull_total_bytes);
    let container = view.container_id.as_deref().map(|id| {
        let name = view.container_name.as_deref().unwrap_or_default();
        let runs = if view.running { "running" } else { "not running" };
        format!("{name} ({}), {runs}", id.get(..12).unwrap_or(id))
    });
    let rows = [
        ("Phase", Some(phase), look(&view.phase)),
        ("Wished", Some(if view.wished { "yes" } else { "no" }.to_owned()), Look::Plain),
        ("Why", view.reason.as_ref().map(|reason| code(reason, &view.code)), look(&view.phase)),
        ("Tried again", view.retry_at.map(ahead), Look::Plain),
        ("Held", view.hold_reason.as_ref().map(|reason| code(reason, &view.hold)), Look::Bad),
        ("Doing", view.doing.clone(), Look::Plain),
        ("Pulled", pulled.map(|(done, total)| format!("{} of {} MiB", done >> 20, total >> 20)), Look::Plain),
        ("Image", view.image_wanted.clone(), Look::Plain),
        ("Digest wanted", view.digest_wanted.clone(), Look::Plain),
        ("Digest there", view.digest_running.clone(), Look::Plain),
        ("Container", container, Look::Plain),
        ("Started", view.started_at.map(ago), Look::Plain),
        ("Users", (!view.holders.is_empty()).then(|| view.holders.join(", ")), Look::Plain),
    ];
    let mut table = Table::untitled();
    for (title, text, look) in rows {
        if let Some(text) = text {
            table.row(vec![Cell::new(title, Look::Dim), Cell::new(text, look)]);
        }
    }
    let mut lines = table.lines();
    if !view.log_tail.is_empty() {
        lines.push(format!("Its last {} lines: gpuhostctl {} logs", view.log_tail.len(), view.role));
    }
    lines
}

/// What it has come to, as the outcome of a command.
pub(crate) fn outcome(view: &NvidiaContainerView) -> Result<(), Failure> {
    let message = || format!("{}: {}", view.phase, view.reason.clone().unwrap_or_default());
    match view.phase.as_str() {
        "failed" => Err(Failure::Refused { status: status_of_code("host_fault"), message: message() }),
        "refused" | "foreign" => {
            Err(Failure::Refused { status: crate::failure::STANDS_IN_THE_WAY, message: message() })
        }
        "ready" if matches!(view.hold.as_deref(), Some("docker_restart_waits" | "cdi_not_taken")) => Ok(()),
        _ => view
            .hold_reason
            .clone()
            .map_or(Ok(()), |message| Err(Failure::Refused { status: crate::failure::STANDS_IN_THE_WAY, message })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::nvidia_container::{NvidiaFault, NvidiaHold, NvidiaPhase, NvidiaRole, NvidiaStatus};

    fn status(phase: NvidiaPhase) -> NvidiaStatus {
        NvidiaStatus { phase, ..NvidiaStatus::not_looked(NvidiaRole::Driver) }
    }

    #[test]
    fn what_failed_is_shown_with_its_code_and_where_its_words_are() {
        let phase =
            NvidiaPhase::Failed { fault: NvidiaFault::Exited, reason: "it exited with 1".into(), retry_at: None };
        let failed = NvidiaStatus { log_tail: vec!["driver is in use".into()], ..status(phase) };
        let view = NvidiaContainerView::from(&failed);
        let text = lines(&view).join("\n");
        assert!(text.contains("it exited with 1 (exited)") && text.contains("gpuhostctl driver logs"), "{text}");
        assert!(outcome(&view).is_err());
    }

    #[test]
    fn a_ready_one_that_is_not_upgraded_is_no_success() {
        let hold = NvidiaHold::DriverBusy { holders: vec!["train (41)".into()] };
        let held = NvidiaStatus { hold: Some(hold), ..status(NvidiaPhase::Ready) };
        let text = lines(&NvidiaContainerView::from(&held)).join("\n");
        assert!(text.contains("in use by train (41)") && text.contains("(driver_busy)"), "{text}");
        assert!(outcome(&NvidiaContainerView::from(&held)).is_err());
        assert!(outcome(&NvidiaContainerView::from(&status(NvidiaPhase::Ready))).is_ok());
    }
}
