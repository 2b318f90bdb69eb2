//! The daemon on a simulated or a recorded host.

use crate::wait;
use crate::world::{World, executable};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::{Child, Command, Stdio};

/// A running gpuhostd-sim; ends with this value.
pub struct SimDaemon {
    child: Child,
}

impl SimDaemon {
    /// Starts it on a host (a name, or the path of a description or of a snapshot) and waits until it has looked at all
    /// of it.
    ///
    /// # Panics
    /// Where it does not start, or does not answer.
    #[must_use]
    pub fn start(world: &World, bus: &str, host: &str) -> Self {
        Self::start_with(world, bus, host, "")
    }

    /// Has it read its configuration and policy again.
    ///
    /// # Panics
    /// Where it has ended.
    pub fn reload(&self) {
        let pid = i32::try_from(self.child.id()).expect("a pid fits");
        kill(Pid::from_raw(pid), Signal::SIGHUP).expect("the daemon is there");
    }

    /// The same with a configuration; the policy is `policy.toml` in the folder of the world, if it is there, and
    /// the local desired state `desired.d`.
    ///
    /// # Panics
    /// As [`SimDaemon::start`].
    #[must_use]
    pub fn start_with(world: &World, bus: &str, host: &str, settings: &str) -> Self {
        let dir = world.path();
        let log = std::fs::File::create(dir.join("sim.log")).expect("log");
        let config = dir.join("sim.toml");
        std::fs::write(&config, settings).expect("configuration");
        std::fs::create_dir_all(dir.join("sim-state")).expect("state");
        let mut command = Command::new(executable("gpuhostd-sim"));
        command.args(["--host", host, "--bus", bus, "--config"]).arg(config);
        command.arg("--policy").arg(dir.join("policy.toml")).arg("--desired").arg(dir.join("desired.d"));
        command.arg("--state").arg(dir.join("sim-state")).arg("--run").arg(dir.join("sim-run"));
        command.env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().expect("log")).stderr(log).spawn();
        let mut daemon = Self { child: child.expect("gpuhostd-sim") };
        wait::until("gpuhostd-sim to look at its host", wait::PATIENCE, || {
            let ended = daemon.child.try_wait().expect("status");
            let log = || std::fs::read_to_string(dir.join("sim.log")).unwrap_or_default();
            assert!(ended.is_none(), "gpuhostd-sim ended: {}", log());
            world.ctl(bus, &["rescan"]).status.success().then_some(())
        });
        daemon
    }
}

impl Drop for SimDaemon {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
