//! Waits until a workspace is as it is wanted or cannot be, and shows the way there.

use crate::daemon::Daemon;
use crate::failure::{Failure, STANDS_IN_THE_WAY, status_of_code};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::Duration;
use wire::dbus::workspace::WorkspaceView;

/// Time between two looks.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Reasons that pass by themselves, although no time is set for another attempt.
const PASSING: [&str; 7] =
    ["creating", "docker_busy", "driver_changing", "pulling", "recreating", "removing", "starting"];

/// What is waited for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Awaited {
    /// The workspace.
    pub(crate) id: String,
    /// How it is wanted; `None` = as it was wanted before.
    pub(crate) desired: Option<&'static str>,
    /// As it was before, which is not the answer to what is asked now. `None` = that does not matter.
    pub(crate) before: Option<Box<WorkspaceView>>,
}

impl Awaited {
    /// It is as far as it comes by itself; `seen` is `None` where there is no such workspace.
    fn is_settled(&self, seen: Option<&WorkspaceView>) -> bool {
        let Some(seen) = seen else { return self.desired == Some("deleted") };
        if self.desired.is_some_and(|desired| seen.desired.as_deref() != Some(desired)) {
            return false;
        }
        if self.before.as_deref().is_some_and(|before| is_as_before(before, seen)) {
            return false;
        }
        let is_as_wanted = seen.desired.as_deref() == Some(seen.state.as_str()) && seen.reason_code.is_none();
        is_as_wanted || (seen.reason_code.is_some() && seen.retry_at.is_none() && is_at_rest(seen))
    }
}

/// Nothing has happened to it.
fn is_as_before(before: &WorkspaceView, seen: &WorkspaceView) -> bool {
    (&before.state, before.since, &before.container, before.started_at)
        == (&seen.state, seen.since, &seen.container, seen.started_at)
}

/// Nothing is being done with it at this moment.
fn is_at_rest(seen: &WorkspaceView) -> bool {
    let passes = seen.reason_code.as_deref().is_some_and(|code| PASSING.contains(&code));
    !passes && matches!(seen.state.as_str(), "pending" | "running" | "paused" | "stopped" | "failed" | "deleted")
}

/// What the daemon shows of it now.
pub(crate) async fn find(daemon: &Daemon, id: &str) -> Result<Option<WorkspaceView>, Failure> {
    Ok(daemon.snapshot().await?.workspaces.into_iter().find(|one| one.workspace_id == id))
}

/// Waits for it, for so many seconds at most.
pub(crate) async fn until_settled(
    daemon: &Daemon,
    awaited: &Awaited,
    seconds: u64,
) -> Result<Option<WorkspaceView>, Failure> {
    let mut progress = Progress::new();
    let waiting = async {
        loop {
            let seen = find(daemon, &awaited.id).await?;
            if awaited.is_settled(seen.as_ref()) {
                return Ok(seen);
            }
            if let Some(seen) = &seen {
                progress.show(seen);
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(seconds), waiting).await;
    progress.end();
    let id = &awaited.id;
    waited.unwrap_or_else(|_| {
        let message = format!(
            "the workspace {id} is not as it is wanted after {seconds} s; `gpuhostctl workspaces show {id}` shows how far it is"
        );
        Err(Failure::Refused { status: status_of_code("timeout"), message })
    })
}

/// What it has come to, as the outcome of a command.
pub(crate) fn outcome(seen: Option<&WorkspaceView>) -> Result<(), Failure> {
    let Some((seen, code)) = seen.and_then(|seen| Some((seen, seen.reason_code.as_deref()?))) else { return Ok(()) };
    let message = format!("{}: {} ({code})", seen.state, seen.reason.as_deref().unwrap_or_default());
    let status = if seen.state == "failed" { status_of_code("host_fault") } else { STANDS_IN_THE_WAY };
    Err(Failure::Refused { status, message })
}

/// A line that follows the state; where standard error is no terminal, one line for each state.
struct Progress {
    bar: Option<ProgressBar>,
    last: String,
}

impl Progress {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, last: String::new() }
    }

    fn show(&mut self, seen: &WorkspaceView) {
        let pulled = pulled(seen);
        let state = crate::text::clean(&seen.state).into_owned();
        let what = pulled.or_else(|| seen.reason.as_deref().map(|reason| crate::text::clean(reason).into_owned()));
        match &self.bar {
            Some(bar) => {
                bar.set_message(what.map_or_else(|| state.clone(), |what| format!("{state}: {what}")));
                bar.tick();
            }
            None if state != self.last => {
                // A reader that has gone misses nothing that the end does not show.
                let _gone = writeln!(anstream::stderr(), "{state}");
                self.last = state;
            }
            None => {}
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How much of its image is here, in words.
pub(crate) fn pulled(seen: &WorkspaceView) -> Option<String> {
    let (done, total) = seen.pull_done_bytes.zip(seen.pull_total_bytes)?;
    Some(format!("{} of {} MiB", done >> 20, total >> 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(desired: &str, state: &str, code: Option<&str>, since: u64) -> WorkspaceView {
        serde_json::from_value(serde_json::json!({
            "Path": "/x", "WorkspaceId": "a", "Kind": "user", "State": state, "Since": since, "Desired": desired,
            "ReasonCode": code, "Reason": code, "RetryAt": null, "Source": "local", "Container": null, "Image": null,
            "Gpus": [], "Vfio": [], "GpuOk": null, "Cores": 1.0, "MemoryBytes": 1, "Generation": 1, "Pid": null,
            "StartedAt": null, "PullDoneBytes": null, "PullTotalBytes": null, "Absent": {},
        }))
        .unwrap()
    }

    fn awaited(desired: Option<&'static str>, before: Option<WorkspaceView>) -> Awaited {
        Awaited { id: "a".to_owned(), desired, before: before.map(Box::new) }
    }

    #[test]
    fn a_wish_that_is_not_taken_up_yet_is_waited_for() {
        let stop = awaited(Some("stopped"), None);
        assert!(!stop.is_settled(Some(&view("running", "running", None, 1))));
        assert!(!stop.is_settled(Some(&view("stopped", "stopping", None, 1))));
        assert!(stop.is_settled(Some(&view("stopped", "stopped", None, 1))));
        assert!(!stop.is_settled(None), "one that is not there yet is no stopped one");
        let delete = awaited(Some("deleted"), None);
        assert!(delete.is_settled(None) && !delete.is_settled(Some(&view("deleted", "deleting", None, 1))));
    }

    #[test]
    fn what_is_tried_again_by_itself_is_waited_for_and_what_is_refused_is_not() {
        let run = awaited(Some("running"), None);
        let refused = view("running", "pending", Some("no_cores"), 1);
        let retried = WorkspaceView { retry_at: Some(9), ..view("running", "failed", Some("image_pull"), 1) };
        let changing = view("running", "pending", Some("driver_changing"), 1);
        assert!(!run.is_settled(Some(&changing)), "it goes on by itself");
        assert!(run.is_settled(Some(&refused)) && !run.is_settled(Some(&retried)));
        assert_eq!(outcome(Some(&refused)).unwrap_err().exit_status(), 11);
        let failed = view("running", "failed", Some("start_failed"), 1);
        assert!(run.is_settled(Some(&failed)));
        assert_eq!(outcome(Some(&failed)).unwrap_err().exit_status(), 10);
        assert!(outcome(None).is_ok() && outcome(Some(&view("running", "running", None, 1))).is_ok());
    }

    #[test]
    fn what_ran_before_a_recreate_is_not_its_end() {
        let before = view("running", "running", None, 1);
        let recreate = awaited(None, Some(before.clone()));
        assert!(!recreate.is_settled(Some(&before)));
        assert!(recreate.is_settled(Some(&view("running", "running", None, 2))));
    }
}
