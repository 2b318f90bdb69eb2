//! The front: reads its configuration, takes its adapters, and lives.

use crate::args::FrontArgs;
use crate::config::InForce;
use crate::lifecycle::{self, Live, Ports, WholeHost};
use crate::linux::LinuxHost;
use anyhow::Context;
use hands::RemoteHost;
use host::front::{BootClock, FactsRoot, KernelLogReader, StateLock, Sysfs, UdevChanges, refuse_foreign_state};
use model::ports::{ChangePort, KernelLogPort};
use model::settings::Settings;
use program::logging;
use std::sync::Arc;
use std::time::Duration;

/// How long a thread that reads files waits for more to do: a little longer than from one sample or heartbeat to the next. They take
/// turns, so that more time keeps more of them, each with its stack and its heap.
const KEEP_THREADS: Duration = Duration::from_secs(35);

/// Runs the front on the Linux host under us until it is asked to stop.
///
/// # Errors
/// Another daemon works with the same state, the state is not ours, or a host that cannot even start a runtime.
pub fn run(args: FrontArgs) -> anyhow::Result<()> {
    if let Some(launcher) = args.launcher {
        program::launched::end_with(launcher).context("the launcher has ended")?;
    }
    keep_memory_private();
    let launched = args.launcher.is_some();
    let (folder, sysfs) = (args.run.join("hands"), args.sysfs.clone());
    run_on(args, move |settings| {
        let remote = RemoteHost::at(&folder, &settings.nvidia);
        let host = LinuxHost::new(Sysfs::new(&sysfs), FactsRoot { sys: sysfs.clone(), ..FactsRoot::default() }, remote);
        // A pipe takes the place of the kernel log only where our own launcher put it there.
        (host, UdevChanges::listen(), KernelLogReader::on_stdin(launched))
    })
}

/// Tokens and keys are in the memory of this process: no core file of it is written, and no other process of its user reads it.
fn keep_memory_private() {
    let hidden = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    if let Err(fault) = hidden {
        tracing::debug!(%fault, "a core file of this process may be written");
    }
}

/// Runs the front on whatever host `stand_on` gives, which is called inside the runtime.
///
/// # Errors
/// As [`run`].
pub fn run_on<H: WholeHost, C: ChangePort, L: KernelLogPort>(
    args: FrontArgs,
    stand_on: impl FnOnce(&Settings) -> (H, C, L),
) -> anyhow::Result<()> {
    // Where a launcher has started us it holds the folder, and has made us the user to whom it belongs.
    let _alone = match args.launcher {
        Some(_) => None,
        None => {
            refuse_foreign_state(&args.state)?;
            StateLock::take(&args.state)?
        }
    };
    let configuration = InForce::begin(&args.config, &args.state);
    let settings = configuration.now();
    let level = logging::start(&settings.agent.log_level, std::env::var("JOURNAL_STREAM").ok().as_deref());
    // A thread that reads files waits for the next sample: to make and end one for each costs more than to keep it.
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().thread_keep_alive(KEEP_THREADS).build().context("no runtime")?;
    let outcome = runtime.block_on(async {
        let (host, changes, kernel_log) = stand_on(&settings);
        let ports = Ports { host: Arc::new(host), changes, clock: Arc::new(BootClock), kernel_log };
        lifecycle::run(ports, Live { configuration, level }, args).await
    });
    // A call that hangs in a blocking thread must not keep the process.
    runtime.shutdown_background();
    outcome
}
