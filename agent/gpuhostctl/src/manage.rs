//! The commands that change something: each is a job of the daemon.

use crate::change_flags::Change;
use crate::daemon::{CHANGE_DEADLINE, Daemon};
use crate::failure::Failure;
use crate::show;
use crate::text::{clean_lines, print, print_json};
use crate::wait;
use wire::dbus::job::JobView;
use wire::dbus::proxy::Options;
use zbus::OwnedObjectPath;

/// Options that every change has.
pub(crate) fn options<'a>(how: Change) -> Options<'a> {
    let mut options = Options::new();
    if how.no_ask {
        options.insert("auth.no-user-interaction", true.into());
    }
    options
}

/// `rescan`.
pub(crate) async fn rescan(bus: Option<String>, how: Change, json: bool) -> Result<(), Failure> {
    let daemon = Daemon::connect(bus).await?;
    let host = daemon.host().await?;
    let job = daemon.answer(CHANGE_DEADLINE, host.rescan(options(how))).await?;
    finish(&daemon, &job, how, json, "The host was scanned again.").await
}

/// `leave`.
pub(crate) async fn leave(bus: Option<String>, how: Change, json: bool) -> Result<(), Failure> {
    let daemon = Daemon::connect(bus).await?;
    let host = daemon.host().await?;
    let job = daemon.answer(CHANGE_DEADLINE, host.leave(options(how))).await?;
    finish_as(&daemon, &job, how, json, |job| sentence(&job.remark, "The credential of this host is wiped.")).await
}

/// `lock` and `unlock`.
pub(crate) async fn lock(bus: Option<String>, locked: bool, how: Change, json: bool) -> Result<(), Failure> {
    let daemon = Daemon::connect(bus).await?;
    let host = daemon.host().await?;
    let (job, done) = if locked {
        let done = "Changes requested by a manager are frozen; `gpuhostctl unlock` allows them again.";
        (daemon.answer(CHANGE_DEADLINE, host.lock(options(how))).await?, done)
    } else {
        let done = "A manager may request changes again, within the policy.";
        (daemon.answer(CHANGE_DEADLINE, host.unlock(options(how))).await?, done)
    };
    finish(&daemon, &job, how, json, done).await
}

/// `gpu acknowledge`.
pub(crate) async fn acknowledge(bus: Option<String>, address: &str, how: Change, json: bool) -> Result<(), Failure> {
    let daemon = Daemon::connect(bus).await?;
    let host = daemon.host().await?;
    let job = daemon.answer(CHANGE_DEADLINE, host.acknowledge_gone_gpu(address, options(how))).await?;
    finish(&daemon, &job, how, json, &format!("The missing GPU {address} is acknowledged and no longer reported."))
        .await
}

/// `jobs JOB --wait`: waits for the end of a job that another caller may have asked for, and shows it.
pub(crate) async fn await_job(bus: Option<String>, name: &str, json: bool) -> Result<(), Failure> {
    let daemon = Daemon::connect(bus).await?;
    let path = show::job::find(&daemon.snapshot().await?, name)?.path.clone();
    let path = OwnedObjectPath::try_from(path).map_err(|error| Failure::Form { why: error.to_string() })?;
    let ended = wait::until_ended(&daemon, &path).await;
    show::job::print(&daemon.snapshot().await?, path.as_str(), json)?;
    ended
}

/// Waits for the end of a job unless it is not wanted, and prints the job or `done`.
pub(crate) async fn finish(
    daemon: &Daemon,
    job: &OwnedObjectPath,
    how: Change,
    json: bool,
    done: &str,
) -> Result<(), Failure> {
    finish_as(daemon, job, how, json, |_| done.to_owned()).await
}

/// The same, where what is printed depends on what the job shows in the end.
pub(crate) async fn finish_as(
    daemon: &Daemon,
    job: &OwnedObjectPath,
    how: Change,
    json: bool,
    done: impl FnOnce(&JobView) -> String,
) -> Result<(), Failure> {
    let ended = if how.no_wait { Ok(()) } else { wait::until_ended(daemon, job).await };
    if json {
        print_json(&job_view(daemon, job).await?)?;
    } else if ended.is_ok() {
        let line = if how.no_wait { job.to_string() } else { done(&job_view(daemon, job).await?) };
        print(&[clean_lines(&line)])?;
    }
    ended
}

/// What the daemon reports, as a sentence; `otherwise` where it reports nothing.
fn sentence(said: &str, otherwise: &str) -> String {
    let mut chars = said.chars();
    match chars.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), chars.as_str()),
        None => otherwise.to_owned(),
    }
}

/// What the job shows now.
pub(crate) async fn job_view(daemon: &Daemon, job: &OwnedObjectPath) -> Result<JobView, Failure> {
    let jobs = daemon.snapshot().await?.jobs;
    let gone = || Failure::NotFound { what: "job", name: job.to_string(), see: "gpuhostctl jobs" };
    jobs.into_iter().find(|view| view.path == job.as_str()).ok_or_else(gone)
}
