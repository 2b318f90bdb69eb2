//! The daemon with all that it needs around it: a private bus, a reference manager, settings. The flags stand here alone.

use crate::Ground;
use crate::child::Running;
use anyhow::{Context, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// What the daemon is started with.
#[derive(Default)]
pub struct Wish<'a> {
    /// Another root for /sys.
    pub sysfs: Option<&'a Path>,
    /// The library and the tool that stand for NVIDIA's; without them, paths at which there is nothing.
    pub nvidia: Option<(&'a Path, &'a Path)>,
    /// Checks in with a reference manager.
    pub manager: bool,
    /// How documents of that manager reach the daemon.
    pub fetching: Fetching,
}

/// How documents reach the daemon.
#[derive(Clone, Copy, Default)]
pub enum Fetching {
    /// The manager holds a request until there is one.
    #[default]
    LongPoll,
    /// The replies to heartbeats name it, at this interval.
    Hints(Duration),
}

/// A folder with settings, state and sockets, and the processes around the daemon.
pub struct Rig {
    folder: TempDir,
    bin: PathBuf,
    sysfs: Option<PathBuf>,
    beside: Vec<Running>,
}

impl Rig {
    /// Starts the bus and, where it is wished for, the manager, and writes the settings.
    pub fn prepare(ground: &Ground, wish: &Wish<'_>) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("gpuhostd-bench.").tempdir()?;
        // The daemon may give up root: its user must find its way in.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let sysfs = wish.sysfs.map(Path::to_owned);
        let mut rig = Self { folder, bin: ground.bin.clone(), sysfs, beside: Vec::new() };
        for name in ["state", "run", "manager"] {
            fs::create_dir(rig.path(name))?;
        }
        rig.start_bus()?;
        let manager = if wish.manager { rig.start_manager(wish.fetching)? } else { String::new() };
        let absent = PathBuf::from("/nonexistent/nvidia");
        let (nvml, smi) = wish.nvidia.unwrap_or((&absent, &absent));
        let nvidia = format!("[nvidia]\nnvml_paths = [{nvml:?}]\nsmi_paths = [{smi:?}]\n");
        fs::write(rig.path("config.toml"), manager + &nvidia)?;
        Ok(rig)
    }

    /// A path in the rig's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The address of the bus.
    pub fn bus(&self) -> String {
        format!("unix:path={}", self.path("bus").display())
    }

    /// The daemon with its hands, not yet started.
    pub fn daemon(&self) -> Command {
        let mut command = Command::new(self.bin.join("gpuhostd"));
        command.args(["--with-hands", "--bus", &self.bus()]);
        command.arg("--state").arg(self.path("state"));
        command.arg("--run").arg(self.path("run"));
        command.arg("--config").arg(self.path("config.toml"));
        if let Some(root) = &self.sysfs {
            command.arg("--sysfs").arg(root);
        }
        command
    }

    /// The command line that asks this daemon.
    pub fn ctl(&self, arguments: &[&str]) -> Vec<String> {
        let program = self.bin.join("gpuhostctl").display().to_string();
        let mut line = vec![program, "--bus".to_owned(), self.bus()];
        line.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        line
    }

    /// Starts the daemon and waits until it answers.
    pub fn start_daemon(&self) -> anyhow::Result<Running> {
        self.start(self.daemon())
    }

    /// The daemon on a simulated host (the name of a built-in one, or a file), not yet started.
    pub fn simulated(&self, host: &str) -> Command {
        let mut command = Command::new(self.bin.join("gpuhostd-sim"));
        command.args(["--host", host, "--bus", &self.bus()]);
        command.arg("--state").arg(self.path("state")).arg("--run").arg(self.path("run"));
        command.arg("--config").arg(self.path("config.toml"));
        command
    }

    /// Starts this and waits until it answers on the bus.
    pub fn start(&self, mut command: Command) -> anyhow::Result<Running> {
        let mut running = Running::start(&mut command, &self.path("gpuhostd.log"))?;
        let status = self.ctl(&["status"]);
        let answers = || Command::new(&status[0]).args(&status[1..]).output().is_ok_and(|o| o.status.success());
        let ready = running.await_ready(answers);
        let log = fs::read_to_string(self.path("gpuhostd.log")).unwrap_or_default();
        ready.with_context(|| format!("its log: {}", log.lines().rev().take(5).collect::<Vec<_>>().join(" | ")))?;
        Ok(running)
    }

    /// Heartbeats that the manager has accepted so far.
    pub fn heartbeats(&self) -> usize {
        let log = fs::read_to_string(self.path("manager.log")).unwrap_or_default();
        log.lines().filter(|line| line.starts_with("heartbeat accepted")).count()
    }

    /// Gives the manager a document to hand out.
    pub fn hand_in(&self, document: &str) -> anyhow::Result<()> {
        let draft = self.path("document.new");
        fs::write(&draft, document)?;
        Ok(fs::rename(draft, self.path("document.json"))?)
    }

    fn start_bus(&mut self) -> anyhow::Result<()> {
        let bus = self.bus();
        let kinds = ["method_call", "method_return", "error", "signal"];
        let each = kinds.map(|kind| format!("<allow send_type=\"{kind}\"/><allow receive_type=\"{kind}\"/>"));
        let rules = format!("<allow own=\"*\"/><allow user=\"*\"/>{}", each.concat());
        let text = format!(
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
             \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig><listen>{bus}</listen>\
             <auth>EXTERNAL</auth><policy context=\"default\">{rules}</policy></busconfig>\n"
        );
        fs::write(self.path("bus.conf"), text)?;
        let mut command = Command::new("dbus-daemon");
        command.args(["--nofork", "--nopidfile", "--nosyslog"]);
        command.arg(format!("--config-file={}", self.path("bus.conf").display()));
        let mut running = Running::start(&mut command, &self.path("bus.log"))?;
        let socket = self.path("bus");
        running.await_ready(|| socket.exists())?;
        self.beside.push(running);
        Ok(())
    }

    /// Starts the manager and returns the settings that enrol with it.
    fn start_manager(&mut self, fetching: Fetching) -> anyhow::Result<String> {
        let (token, ca, log) = (self.path("token"), self.path("ca.pem"), self.path("manager.log"));
        let mut command = Command::new(self.bin.join("reference-manager"));
        command.args(["--listen", "127.0.0.1:0"]).arg("--state").arg(self.path("manager"));
        command.arg("--token-file").arg(&token).arg("--ca-file").arg(&ca);
        command.arg("--desired").arg(self.path("document.json"));
        if let Fetching::Hints(interval) = fetching {
            command.arg("--no-long-poll").arg("--every").arg(interval.as_secs().to_string());
        }
        let mut running = Running::start(&mut command, &log)?;
        let url = || {
            let text = fs::read_to_string(&log).ok()?;
            let line = text.lines().find(|line| line.contains("listening on https://"))?;
            line.split_whitespace().find(|word| word.starts_with("https://")).map(str::to_owned)
        };
        running.await_ready(|| url().is_some())?;
        let url = url().context("the manager says where it listens")?;
        ensure!(token.exists() && ca.exists(), "the manager wrote no token or authority");
        for file in [&token, &ca] {
            fs::set_permissions(file, fs::Permissions::from_mode(0o644))?;
        }
        self.beside.push(running);
        Ok(format!("[manager]\nurls = [{url:?}]\nca_file = {ca:?}\nenrolment_token_file = {token:?}\n"))
    }
}
