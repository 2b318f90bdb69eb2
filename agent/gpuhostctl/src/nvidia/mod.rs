//! `driver …` and `toolkit …`: NVIDIA's two containers, as the daemon runs them.

pub(crate) mod nvidia_args;
mod nvidia_plan;

use crate::change_flags::Change;
use crate::daemon::{CHANGE_DEADLINE, Daemon};
use crate::failure::Failure;
use crate::manage::{finish, options};
use crate::show::nvidia as shown;
use crate::text::{clean_lines, print, print_json};
use crate::wait_nvidia::{self, view};
use model::nvidia_container::NvidiaRole;
use nvidia_args::{NvidiaCommand, Wish};
use wire::dbus::nvidia::NvidiaContainerView;
use wire::dbus::nvidia_path;
use wire::dbus::proxy::NvidiaContainerProxy;

/// Runs one of them.
pub(crate) async fn run(bus: Option<String>, role: NvidiaRole, what: NvidiaCommand, json: bool) -> Result<(), Failure> {
    let daemon = Daemon::connect(bus).await?;
    match what {
        NvidiaCommand::Status => shown::print(&view(&daemon, role).await?, json),
        NvidiaCommand::Logs => logs(&view(&daemon, role).await?, json),
        NvidiaCommand::Enable { wish } => enable(&daemon, role, wish, json).await,
        NvidiaCommand::Upgrade { image, wait, dry_run, how } => {
            if !view(&daemon, role).await?.wished {
                let why =
                    format!("no {role} container is deployed; `gpuhostctl {role} enable --image {image}` deploys one");
                return Err(Failure::Usage { why });
            }
            enable(&daemon, role, Wish { image: Some(image), wait, dry_run, how }, json).await
        }
        NvidiaCommand::Disable { dry_run: true, .. } => nvidia_plan::print(&daemon, role, None, json).await,
        NvidiaCommand::Disable { wait, how, .. } => disable(&daemon, role, wait, how, json).await,
    }
}

async fn proxy(daemon: &Daemon, role: NvidiaRole) -> Result<NvidiaContainerProxy<'static>, Failure> {
    let builder = NvidiaContainerProxy::builder(&daemon.connection).path(nvidia_path(role));
    let fault = |error| Failure::of_call(&daemon.bus, error);
    builder.cache_properties(zbus::proxy::CacheProperties::No).build().await.map_err(fault)
}

async fn enable(daemon: &Daemon, role: NvidiaRole, wish: Wish, json: bool) -> Result<(), Failure> {
    let Wish { image, wait, dry_run, how } = wish;
    if dry_run {
        return nvidia_plan::print(daemon, role, Some(image.as_deref()), json).await;
    }
    let mut asked = options(how);
    if let Some(image) = &image {
        asked.insert("image", image.as_str().into());
    }
    let proxy = proxy(daemon, role).await?;
    let job = daemon.answer(CHANGE_DEADLINE, proxy.enable(asked)).await?;
    let done = format!("The {role} container is wished; `gpuhostctl {role} status` shows how far it is.");
    finish_or_wait(daemon, (role, &job), (wait, true, how), json, &done).await
}

async fn disable(daemon: &Daemon, role: NvidiaRole, wait: bool, how: Change, json: bool) -> Result<(), Failure> {
    let proxy = proxy(daemon, role).await?;
    let job = daemon.answer(CHANGE_DEADLINE, proxy.disable(options(how))).await?;
    let done = format!(
        "The {role} container is stopped and removed as soon as nothing uses it; `gpuhostctl {role} status` shows how far it is."
    );
    finish_or_wait(daemon, (role, &job), (wait, false, how), json, &done).await
}

async fn finish_or_wait(
    daemon: &Daemon,
    (role, job): (NvidiaRole, &zbus::OwnedObjectPath),
    (wait, wished, how): (bool, bool, Change),
    json: bool,
    done: &str,
) -> Result<(), Failure> {
    if !wait {
        return finish(daemon, job, how, json, done).await;
    }
    crate::wait::until_ended(daemon, job).await?;
    let ended = wait_nvidia::until_settled(daemon, role, wished).await?;
    shown::print(&ended, json)?;
    shown::outcome(&ended)
}

fn logs(view: &NvidiaContainerView, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&view.log_tail);
    }
    if view.log_tail.is_empty() {
        let line = match &view.container_name {
            Some(name) => format!("No {} container has failed; what it writes: docker logs {name}", view.role),
            None => format!("No {} container has failed.", view.role),
        };
        return print(&[clean_lines(&line)]);
    }
    let lines: Vec<String> = view.log_tail.iter().map(|line| clean_lines(line)).collect();
    print(&lines)
}
