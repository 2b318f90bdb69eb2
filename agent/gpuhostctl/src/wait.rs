//! Waits for the end of a job, and shows what it is doing where that takes longer than a second.

use crate::daemon::Daemon;
use crate::failure::{Failure, status_of_code};
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;
use wire::dbus::job::{DONE, FINISHED};
use wire::dbus::{BUS_NAME, JOB_INTERFACE};
use zbus::fdo::PropertiesProxy;
use zbus::names::InterfaceName;
use zbus::{OwnedObjectPath, OwnedVariant};

/// Nothing is shown of a job that is done within this time.
const SHOW_AFTER: Duration = Duration::from_secs(1);

/// What of a job matters for waiting.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    state: String,
    result: Option<String>,
    error: Option<(String, String)>,
    step: String,
    progress: Option<f64>,
}

impl Standing {
    fn of(mut properties: HashMap<String, OwnedVariant>) -> Result<Self, Failure> {
        let mut take = |name: &str| properties.remove(name);
        let text = |value: OwnedVariant| String::try_from(value).ok();
        let state = take("State").and_then(text);
        let valid = take("ProgressValid").and_then(|value| bool::try_from(value).ok()).unwrap_or(false);
        Ok(Self {
            state: state.ok_or_else(|| Failure::Form { why: "a job has no State".into() })?,
            result: take("Result").and_then(text),
            error: take("Error").and_then(|value| <(String, String)>::try_from(value).ok()),
            step: take("CurrentStep").and_then(text).unwrap_or_default(),
            progress: take("Progress").and_then(|value| f64::try_from(value).ok()).filter(|_| valid),
        })
    }

    /// The end of the job as the outcome of the command; `None` while it goes on.
    fn outcome(&self) -> Option<Result<(), Failure>> {
        if self.state != FINISHED {
            return None;
        }
        if self.result.as_deref() == Some(DONE) {
            return Some(Ok(()));
        }
        let (code, message) = self.error.clone().unwrap_or_default();
        Some(Err(Failure::Refused { status: status_of_code(&code), message }))
    }
}

/// Waits until the job has ended. Listens before it reads, so that no change is missed.
pub(crate) async fn until_ended(daemon: &Daemon, job: &OwnedObjectPath) -> Result<(), Failure> {
    let of_call = |error| Failure::of_call(&daemon.bus, error);
    let builder = PropertiesProxy::builder(&daemon.connection).destination(BUS_NAME).path(job.as_ref());
    let proxy = builder.cache_properties(zbus::proxy::CacheProperties::No).build().await.map_err(of_call)?;
    let mut changes = proxy.receive_properties_changed().await.map_err(of_call)?;
    let mut owners = proxy.inner().receive_owner_changed().await.map_err(of_call)?;
    let interface = InterfaceName::try_from(JOB_INTERFACE).map_err(|e| Failure::Form { why: e.to_string() })?;
    let vanished = || Failure::Vanished { job: job.to_string() };
    let mut progress = Progress::new();
    loop {
        let standing = Standing::of(proxy.get_all(interface.clone()).await.map_err(|e| of_call(e.into()))?)?;
        if let Some(outcome) = standing.outcome() {
            progress.end();
            return outcome;
        }
        progress.show(&standing);
        tokio::select! {
            change = changes.next() => { change.ok_or_else(vanished)?; }
            owner = owners.next() => if owner.flatten().is_none() { return Err(vanished()) },
            () = progress.due() => {}
        }
    }
}

/// A spinner on a terminal; elsewhere nothing.
struct Progress {
    bar: Option<ProgressBar>,
    started: std::time::Instant,
}

impl Progress {
    fn new() -> Self {
        Self { bar: None, started: std::time::Instant::now() }
    }

    /// Resolves when the spinner is to appear; never after that.
    async fn due(&self) {
        let left = SHOW_AFTER.saturating_sub(self.started.elapsed());
        let never = std::future::pending::<()>();
        if self.bar.is_some() || left.is_zero() {
            return never.await;
        }
        let elapsed = tokio::time::timeout(left, never).await;
        debug_assert!(elapsed.is_err());
    }

    fn show(&mut self, standing: &Standing) {
        if self.started.elapsed() < SHOW_AFTER || !std::io::stderr().is_terminal() {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let step = crate::text::clean(&standing.step);
        bar.set_message(match standing.progress {
            Some(part) => format!("{:.0} %  {step}", part * 100.0),
            None => step.into_owned(),
        });
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(state: &str, result: Option<&str>, error: Option<(&str, &str)>) -> Standing {
        Standing {
            state: state.to_owned(),
            result: result.map(str::to_owned),
            error: error.map(|(code, message)| (code.to_owned(), message.to_owned())),
            ..Standing::default()
        }
    }

    #[test]
    fn a_failed_job_ends_with_the_exit_status_of_its_code() {
        let failure = standing("finished", Some("failed"), Some(("conflict", "no"))).outcome().unwrap().unwrap_err();
        assert_eq!((failure.exit_status(), failure.with_causes()), (7, "no".to_owned()));
        assert!(standing("finished", Some("done"), None).outcome().unwrap().is_ok());
        assert!(standing("running", None, None).outcome().is_none());
    }

    #[test]
    fn a_finished_job_without_a_result_is_no_success() {
        assert!(standing("finished", None, None).outcome().unwrap().is_err());
    }
}
