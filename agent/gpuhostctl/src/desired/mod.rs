//! `desired`: what is wished of this host, as the daemon shows it, and what can be done about it.

mod desired_apply;
mod desired_check;
mod desired_diff;

use crate::args::DesiredCommand;
use crate::change_flags::Change;
use crate::daemon::{ANSWER_DEADLINE, CHANGE_DEADLINE, Daemon};
use crate::failure::Failure;
use crate::manage::{finish, options};
use crate::show;
use wire::dbus::desired::DesiredView;
use wire::dbus::proxy::Options;

/// Runs one of the commands.
pub(crate) fn run(bus: Option<String>, what: DesiredCommand, json: bool) -> Result<(), Failure> {
    match what {
        DesiredCommand::Check { file } => desired_check::run(&file, json),
        DesiredCommand::Show => show::desired::print(&crate::block_on(view(bus))?, json),
        DesiredCommand::Diff { file: None } => desired_diff::unmet(&crate::block_on(view(bus))?, json),
        DesiredCommand::Diff { file: Some(file) } => desired_diff::of_file(bus, &file, json),
        DesiredCommand::Accept { epoch, how } => crate::block_on(accept(bus, &epoch, how, json)),
        DesiredCommand::Apply(how) => desired_apply::run(&how, json),
    }
}

/// Everything that the daemon shows of the desired state.
async fn view(bus: Option<String>) -> Result<DesiredView, Failure> {
    let daemon = Daemon::connect(bus).await?;
    let desired = daemon.desired_state().await?;
    let text = daemon.answer(ANSWER_DEADLINE, desired.read(Options::new())).await?;
    serde_json::from_str(&text).map_err(|source| Failure::Answer { source })
}

async fn accept(bus: Option<String>, epoch: &str, how: Change, json: bool) -> Result<(), Failure> {
    let daemon = Daemon::connect(bus).await?;
    let desired = daemon.desired_state().await?;
    let job = daemon.answer(CHANGE_DEADLINE, desired.accept_epoch(epoch, options(how))).await?;
    let done = format!("Documents of the epoch {epoch} are judged again as if it had never been left.");
    finish(&daemon, &job, how, json, &done).await
}
