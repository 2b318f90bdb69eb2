//! `workspaces …`, `run` and `drain`: GPU workspaces, as the daemon keeps them.

mod compose_workspace;
mod run_values;
pub(crate) mod wait_workspace;
pub(crate) mod workspaces_args;

use crate::daemon::{CHANGE_DEADLINE, Daemon};
use crate::failure::Failure;
use crate::manage::{finish, options};
use crate::show::workspaces as shown;
use crate::text::{clean_lines, print};
use crate::wait;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;
use wait_workspace::{Awaited, find, outcome, until_settled};
use wire::dbus::proxy::{Options, WorkspaceProxy, WorkspacesProxy};
use wire::dbus::workspace::WorkspaceView;
use workspaces_args::{Drain, One, Run, Waiting, WorkspacesCommand};
use zbus::OwnedObjectPath;
use zbus::proxy::CacheProperties;

/// Time between two looks at a host that is drained.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What is asked of one workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Start,
    Stop,
    Pause,
    Resume,
    Delete,
    Recreate,
    Retry,
}

impl Act {
    /// How the workspace is wanted then; `None` = as before.
    const fn desired(self) -> Option<&'static str> {
        match self {
            Self::Start | Self::Resume => Some("running"),
            Self::Stop => Some("stopped"),
            Self::Pause => Some("paused"),
            Self::Delete => Some("deleted"),
            Self::Recreate | Self::Retry => None,
        }
    }

    /// What is printed when it is asked for.
    fn done(self, id: &str) -> String {
        let what = match self {
            Self::Start | Self::Resume => "is to run",
            Self::Stop => "is to stop; its files are kept",
            Self::Pause => "is to be paused",
            Self::Delete => "is to be deleted, with the volumes that were created for it",
            Self::Recreate => "gets a new container; its volumes are kept, what was only in its container is lost",
            Self::Retry => "is tried again",
        };
        format!("The workspace {id} {what}. `gpuhostctl workspaces show {id}` shows how far it is.")
    }
}

/// `workspaces …`
pub(crate) async fn run(bus: Option<String>, what: Option<WorkspacesCommand>, json: bool) -> Result<(), Failure> {
    let daemon = Daemon::connect(bus).await?;
    match what.unwrap_or(WorkspacesCommand::List) {
        WorkspacesCommand::List => shown::print(&daemon.snapshot().await?, json),
        WorkspacesCommand::Show { id } => shown::print_one(&known(&daemon, &id).await?, json),
        WorkspacesCommand::Start(one) => ask(&daemon, one, Act::Start, json).await,
        WorkspacesCommand::Stop(one) => ask(&daemon, one, Act::Stop, json).await,
        WorkspacesCommand::Pause(one) => ask(&daemon, one, Act::Pause, json).await,
        WorkspacesCommand::Resume(one) => ask(&daemon, one, Act::Resume, json).await,
        WorkspacesCommand::Delete(one) => ask(&daemon, one, Act::Delete, json).await,
        WorkspacesCommand::Recreate(one) => ask(&daemon, one, Act::Recreate, json).await,
        WorkspacesCommand::Retry(one) => ask(&daemon, one, Act::Retry, json).await,
        WorkspacesCommand::DeleteStaged { how } => {
            let all = all(&daemon).await?;
            let job = daemon.answer(CHANGE_DEADLINE, all.delete_staged(options(how))).await?;
            finish(&daemon, &job, how, json, "The staged workspaces are to be deleted.").await
        }
        WorkspacesCommand::ConfirmRemovals { how } => {
            let all = all(&daemon).await?;
            let job = daemon.answer(CHANGE_DEADLINE, all.confirm_removals(options(how))).await?;
            finish(&daemon, &job, how, json, "The removals of the newest revision are confirmed.").await
        }
    }
}

/// The workspace of this id.
async fn known(daemon: &Daemon, id: &str) -> Result<WorkspaceView, Failure> {
    let missing = || Failure::NotFound { what: "workspace", name: id.to_owned(), see: "gpuhostctl workspaces" };
    find(daemon, id).await?.ok_or_else(missing)
}

async fn all(daemon: &Daemon) -> Result<WorkspacesProxy<'static>, Failure> {
    let builder = WorkspacesProxy::builder(&daemon.connection).cache_properties(CacheProperties::No);
    builder.build().await.map_err(|error| Failure::of_call(&daemon.bus, error))
}

async fn call(daemon: &Daemon, path: &str, act: Act, options: Options<'_>) -> Result<OwnedObjectPath, Failure> {
    let builder = WorkspaceProxy::builder(&daemon.connection).path(path.to_owned());
    let fault = |error| Failure::of_call(&daemon.bus, error);
    let one = builder.cache_properties(CacheProperties::No).build().await.map_err(fault)?;
    let calling = async {
        match act {
            Act::Start => one.start(options).await,
            Act::Stop => one.stop(options).await,
            Act::Pause => one.pause(options).await,
            Act::Resume => one.resume(options).await,
            Act::Delete => one.delete(options).await,
            Act::Recreate => one.recreate(options).await,
            Act::Retry => one.retry(options).await,
        }
    };
    daemon.answer(CHANGE_DEADLINE, calling).await
}

async fn ask(daemon: &Daemon, One { id, waiting, how }: One, act: Act, json: bool) -> Result<(), Failure> {
    let before = known(daemon, &id).await?;
    let job = call(daemon, &before.path, act, options(how)).await?;
    if !waiting.wait {
        return finish(daemon, &job, how, json, &act.done(&id)).await;
    }
    let before = act.desired().is_none().then(|| Box::new(before));
    settle(daemon, &job, (Awaited { id, desired: act.desired(), before }, waiting), json).await
}

async fn settle(
    daemon: &Daemon,
    job: &OwnedObjectPath,
    (awaited, waiting): (Awaited, Waiting),
    json: bool,
) -> Result<(), Failure> {
    wait::until_ended(daemon, job).await?;
    let seen = until_settled(daemon, &awaited, waiting.timeout).await?;
    match &seen {
        Some(seen) => shown::print_one(seen, json)?,
        None if json => crate::text::print_json(&seen)?,
        None => print(&[clean_lines(&format!("The workspace {} is deleted.", awaited.id))])?,
    }
    outcome(seen.as_ref())
}

/// `run`
pub(crate) async fn create(bus: Option<String>, wanted: Run, json: bool) -> Result<(), Failure> {
    let document = compose_workspace::document(&wanted)?;
    let Run { name: id, waiting, how, .. } = wanted;
    let broken = |source| Failure::Output { source };
    let daemon = Daemon::connect(bus).await?;
    let all = all(&daemon).await?;
    let (reader, mut writer) = std::io::pipe().map_err(broken)?;
    // A pipe holds less than a workspace may have, and the daemon reads only when the caller is authorized.
    let _writing = std::thread::spawn(move || writer.write_all(document.as_bytes()));
    let calling = all.create_workspace(reader.as_fd().into(), options(how));
    let job = daemon.answer(CHANGE_DEADLINE, calling).await?;
    if waiting.wait {
        let awaited = Awaited { id, desired: Some("running"), before: None };
        return settle(&daemon, &job, (awaited, waiting), json).await;
    }
    let done = format!("The workspace {id} is wanted. `gpuhostctl workspaces show {id}` shows how far it is.");
    finish(&daemon, &job, how, json, &done).await
}

/// `drain`
pub(crate) async fn drain(
    bus: Option<String>,
    Drain { off, status, waiting, how }: Drain,
    json: bool,
) -> Result<(), Failure> {
    let daemon = Daemon::connect(bus).await?;
    if status {
        return shown::print_drain(&daemon.snapshot().await?, json);
    }
    let all = all(&daemon).await?;
    let job = daemon.answer(CHANGE_DEADLINE, all.set_draining(!off, options(how))).await?;
    if how.no_wait {
        return finish(&daemon, &job, how, json, "").await;
    }
    wait::until_ended(&daemon, &job).await?;
    if waiting.wait {
        until_drained(&daemon, waiting.timeout).await?;
    }
    shown::print_drain(&daemon.snapshot().await?, json)
}

async fn until_drained(daemon: &Daemon, seconds: u64) -> Result<(), Failure> {
    let waiting = async {
        while !daemon.snapshot().await?.workspaces_summary.is_some_and(|all| all.drained) {
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
        Ok(())
    };
    let late = |_| {
        let message =
            format!("the host is not drained after {seconds} s; `gpuhostctl drain --status` shows what still runs");
        Failure::Refused { status: crate::failure::status_of_code("timeout"), message }
    };
    tokio::time::timeout(Duration::from_secs(seconds), waiting).await.map_err(late)?
}
