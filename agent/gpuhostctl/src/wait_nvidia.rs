//! Waits until one of NVIDIA's containers is what is wished, or cannot be, and shows the way there.

use crate::daemon::Daemon;
use crate::failure::Failure;
use indicatif::{ProgressBar, ProgressStyle};
use model::nvidia_container::NvidiaRole;
use std::io::{IsTerminal, Write};
use std::time::Duration;
use wire::dbus::nvidia::NvidiaContainerView;

/// Time between two looks.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What the daemon shows of it now.
pub(crate) async fn view(daemon: &Daemon, role: NvidiaRole) -> Result<NvidiaContainerView, Failure> {
    let views = daemon.snapshot().await?.nvidia_containers;
    let missing = || Failure::Form { why: format!("it has no {role} container") };
    views.into_iter().find(|view| view.role == role.code()).ok_or_else(missing)
}

/// It is as far as it comes by itself: ready, gone, refused, given up, or held by something.
fn is_settled(view: &NvidiaContainerView, wished: bool) -> bool {
    // The wish is on disk before it is taken up.
    if view.wished != wished {
        return false;
    }
    let is_held = view.hold.is_some() && view.doing.is_none();
    match view.phase.as_str() {
        "ready" => is_held || (view.doing.is_none() && view.wished),
        "disabled" => !view.wished,
        "refused" | "foreign" => true,
        "failed" => view.retry_at.is_none(),
        _ => is_held,
    }
}

/// Waits for it.
pub(crate) async fn until_settled(
    daemon: &Daemon,
    role: NvidiaRole,
    wished: bool,
) -> Result<NvidiaContainerView, Failure> {
    let mut progress = Progress::new();
    loop {
        let seen = view(daemon, role).await?;
        if is_settled(&seen, wished) {
            progress.end();
            return Ok(seen);
        }
        progress.show(&seen);
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
}

/// A line that follows the phase; where standard error is no terminal, one line for each phase.
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

    fn show(&mut self, seen: &NvidiaContainerView) {
        let pulled = seen.pull_done_bytes.zip(seen.pull_total_bytes).filter(|(_, total)| *total > 0);
        let pulled = pulled.map(|(done, total)| format!("{} of {} MiB", done >> 20, total >> 20));
        let phase = seen.phase.replace('_', " ");
        let what = pulled.or_else(|| seen.doing.clone()).or_else(|| seen.reason.clone());
        match &self.bar {
            Some(bar) => {
                bar.set_message(what.map_or_else(|| phase.clone(), |what| format!("{phase}: {what}")));
                bar.tick();
            }
            None if phase != self.last => {
                // A reader that has gone misses nothing that the end does not show.
                let _gone = writeln!(anstream::stderr(), "{phase}");
                self.last = phase;
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

#[cfg(test)]
mod tests {
    use super::*;
    use model::nvidia_container::{NvidiaHold, NvidiaPhase, NvidiaStatus};

    fn view(wished: bool, phase: NvidiaPhase, hold: Option<NvidiaHold>) -> NvidiaContainerView {
        (&NvidiaStatus { wished, phase, hold, ..NvidiaStatus::not_looked(NvidiaRole::Driver) }).into()
    }

    #[test]
    fn a_wish_that_is_not_taken_up_yet_is_waited_for() {
        assert!(!is_settled(&view(false, NvidiaPhase::Disabled, None), true));
        assert!(is_settled(&view(false, NvidiaPhase::Disabled, None), false));
        assert!(!is_settled(&view(true, NvidiaPhase::Starting { lacks: String::new() }, None), true));
        assert!(is_settled(&view(true, NvidiaPhase::Ready, None), true));
        let busy = Some(NvidiaHold::DriverBusy { holders: vec!["train (41)".to_owned()] });
        assert!(is_settled(&view(false, NvidiaPhase::Ready, busy), false), "it waits for others, and may for long");
    }
}
