//! The front on Linux: reads its configuration, takes its adapters, and lives.

use crate::args::FrontArgs;
use crate::lifecycle::{self, Live, Ports};
use crate::linux::LinuxHost;
use crate::{config, logging};
use anyhow::Context;
use hands::{Client, RemoteHost};
use host::front::{BootClock, FactsRoot, Sysfs, UdevChanges};
use std::sync::Arc;
use tokio::sync::watch;
use wire::hand::HandRole;

/// Runs the front until it is told to end.
///
/// # Errors
/// A wrong configuration, or a host that cannot even start a runtime.
pub fn run(args: FrontArgs) -> anyhow::Result<()> {
    let settings = config::read(&args.config)?;
    let level = logging::start(&settings.agent.log_level, std::env::var("JOURNAL_STREAM").ok().as_deref());
    if let Some(launcher) = args.launcher {
        hands::launcher::end_with(launcher).context("the launcher has ended")?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let outcome = runtime.block_on(async {
        let folder = args.run.join("hands");
        let remote = RemoteHost::new(
            Client::at(HandRole::Host, &folder),
            Client::at(HandRole::Containers, &folder),
            &settings.nvidia,
        );
        let ports = Ports {
            host: Arc::new(LinuxHost::new(Sysfs::new(&args.sysfs), FactsRoot::default(), remote)),
            changes: UdevChanges::listen(),
            clock: Arc::new(BootClock),
        };
        let live = Live { settings: watch::Sender::new(Arc::new(settings)), level };
        lifecycle::run(ports, live, args).await
    });
    // A call that hangs in a blocking thread must not keep the process.
    runtime.shutdown_background();
    outcome
}
