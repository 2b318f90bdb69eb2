//! The front: reads its configuration, takes its adapters, and lives.

use crate::args::FrontArgs;
use crate::lifecycle::{self, Live, Ports};
use crate::linux::LinuxHost;
use crate::{config, logging};
use anyhow::Context;
use hands::RemoteHost;
use host::front::{BootClock, FactsRoot, KernelLogReader, Sysfs, UdevChanges};
use model::ports::{ActPort, ChangePort, HostPort, KernelLogPort};
use model::settings::Settings;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// Runs the front on the Linux host under us until it is told to end.
///
/// # Errors
/// A wrong configuration, or a host that cannot even start a runtime.
pub fn run(args: FrontArgs) -> anyhow::Result<()> {
    if let Some(launcher) = args.launcher {
        hands::launcher::end_with(launcher).context("the launcher has ended")?;
    }
    let launched = args.launcher.is_some();
    let (folder, sysfs) = (args.run.join("hands"), args.sysfs.clone());
    run_on(args, move |settings| {
        let remote = RemoteHost::at(&folder, &settings.nvidia);
        let host = LinuxHost::new(Sysfs::new(&sysfs), FactsRoot { sys: sysfs.clone(), ..FactsRoot::default() }, remote);
        // A pipe stands in for the kernel log only where our own launcher put it there.
        (host, UdevChanges::listen(), KernelLogReader::on_stdin(launched))
    })
}

/// Runs the front on whatever host `stand_on` gives, which is called inside the runtime.
///
/// # Errors
/// As [`run`].
pub fn run_on<H: HostPort + ActPort, C: ChangePort, L: KernelLogPort>(
    args: FrontArgs,
    stand_on: impl FnOnce(&Settings) -> (H, C, L),
) -> anyhow::Result<()> {
    keeps_its_owner(&args.state, nix::unistd::geteuid().as_raw())?;
    let settings = config::read(&args.config)?;
    let level = logging::start(&settings.agent.log_level, std::env::var("JOURNAL_STREAM").ok().as_deref());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let outcome = runtime.block_on(async {
        let (host, changes, kernel_log) = stand_on(&settings);
        let ports = Ports { host: Arc::new(host), changes, clock: Arc::new(BootClock), kernel_log };
        let live = Live { settings: watch::Sender::new(Arc::new(settings)), level };
        lifecycle::run(ports, live, args).await
    });
    // A call that hangs in a blocking thread must not keep the process.
    runtime.shutdown_background();
    outcome
}

/// Refuses to write into the state of another user: what root writes there by hand, the service could not read afterwards.
fn keeps_its_owner(state: &Path, euid: u32) -> anyhow::Result<()> {
    // A folder that is not there yet, or cannot be looked at, is told about by whoever needs it.
    let Some(owner) = std::fs::metadata(state).ok().map(|folder| folder.uid()).filter(|owner| *owner != euid) else {
        return Ok(());
    };
    let name = nix::unistd::User::from_uid(owner.into()).ok().flatten().map(|user| user.name);
    let name = name.unwrap_or_else(|| format!("#{owner}"));
    anyhow::bail!(
        "the state folder {} belongs to the user {name}, and this process runs as uid {euid}: what it wrote there the service could \
         not read. Start the service (`systemctl start gpuhostd`), or run it as that user (`runuser -u {name} -- gpuhostd`), or \
         with a state of its own (`--state DIR`)",
        state.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_another_user_is_not_written_to_and_the_way_out_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let euid = nix::unistd::geteuid().as_raw();
        assert!(keeps_its_owner(folder.path(), euid).is_ok());
        assert!(keeps_its_owner(&folder.path().join("none"), euid).is_ok());
        let said = keeps_its_owner(folder.path(), euid + 1).unwrap_err().to_string();
        let state = folder.path().display().to_string();
        for word in [&*state, "systemctl start gpuhostd", "runuser -u", "--state"] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
}
