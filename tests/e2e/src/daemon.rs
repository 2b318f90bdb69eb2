//! The daemon under test: started as a user would start it, its log kept, and ended with the test.

use crate::wait;
use crate::world::{World, executable};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How to start it.
#[derive(Debug, Default, Clone)]
pub struct Start {
    /// Address of the bus; none = `--bus none`.
    pub bus: Option<String>,
    /// Folder of a simulated host; none = this machine.
    pub tree: Option<PathBuf>,
    /// Text of its configuration file.
    pub config: String,
    /// The kernel log cannot be opened.
    pub no_kernel_log: bool,
    /// Another executable than the one in the build folder.
    pub program: Option<PathBuf>,
}

/// A running daemon.
pub struct Daemon {
    child: Child,
    log: PathBuf,
    notify: UnixDatagram,
    kernel_log: File,
}

impl Daemon {
    /// Starts the daemon with its hands and waits until it has said READY=1.
    ///
    /// # Panics
    /// Where it does not start or is never ready.
    #[must_use]
    pub fn start(world: &World, start: &Start) -> Self {
        let dir = world.path();
        let config = dir.join("config.toml");
        let mut text = start.config.clone();
        if let Some(tree) = &start.tree {
            text.push_str(&format!(
                "\n[nvidia]\nnvml_paths = ['{0}/usr/lib/libnvidia-ml.so.1']\nsmi_paths = ['{0}/usr/bin/nvidia-smi']\n\
                 probe_timeout_ms = 2000\n",
                tree.display()
            ));
        }
        std::fs::write(&config, text).expect("configuration");
        let socket = dir.join("notify.sock");
        let _old = std::fs::remove_file(&socket);
        let notify = UnixDatagram::bind(&socket).expect("notify socket");
        notify.set_read_timeout(Some(Duration::from_millis(100))).expect("timeout");
        open_to_all(&socket);
        let log = dir.join("daemon.log");
        let out = std::fs::File::options().create(true).append(true).open(&log).expect("log");
        let mut command = Command::new(start.program.clone().unwrap_or_else(|| executable("gpuhostd")));
        command.args(["--with-hands", "--user", "nobody", "--config"]).arg(&config);
        command.arg("--state").arg(dir.join("state")).arg("--run").arg(dir.join("run"));
        command.args(["--bus", start.bus.as_deref().unwrap_or("none")]);
        let (kmsg, kernel_log) = kernel_log(world, start.tree.as_deref());
        let missing = world.path().join("no-such-kmsg");
        command.arg("--kernel-log").arg(if start.no_kernel_log { &missing } else { &kmsg });
        if let Some(tree) = &start.tree {
            command.arg("--sysfs").arg(tree.join("sys"));
        }
        command.env("NOTIFY_SOCKET", &socket).env_remove("JOURNAL_STREAM");
        command.stdin(Stdio::null()).stdout(out.try_clone().expect("log")).stderr(out);
        let child = command.spawn().expect("gpuhostd");
        let mut daemon = Self { child, log, notify, kernel_log };
        let deadline = Instant::now() + wait::PATIENCE;
        while !daemon.notification().is_some_and(|text| text.contains("READY=1")) {
            assert!(daemon.child.try_wait().expect("status").is_none(), "gpuhostd ended:\n{}", daemon.log());
            assert!(Instant::now() < deadline, "gpuhostd was never ready:\n{}", daemon.log());
        }
        daemon
    }

    /// The next notification, if one comes in a tenth of a second.
    pub fn notification(&self) -> Option<String> {
        let mut buffer = [0u8; 4096];
        let length = self.notify.recv(&mut buffer).ok()?;
        buffer.get(..length).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Has the kernel log a line now.
    ///
    /// # Panics
    /// Where the pipe that stands for `/dev/kmsg` cannot be written.
    pub fn kernel_says(&mut self, line: &str) {
        let uptime = std::fs::read_to_string("/proc/uptime").expect("uptime");
        let seconds: f64 = uptime.split(' ').next().and_then(|word| word.parse().ok()).expect("seconds");
        writeln!(self.kernel_log, "3,9999,{:.0},-;{line}", seconds * 1e6).expect("the pipe");
    }

    /// Everything it has logged.
    ///
    /// # Panics
    /// Where the log cannot be read.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("log")
    }

    /// Process id of what was started (with `--with-hands`: the launcher).
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid fits"))
    }

    /// Process id of the front, which the launcher has started.
    ///
    /// # Panics
    /// Where it is not there.
    #[must_use]
    pub fn front(&self) -> Pid {
        let launcher = self.pid().as_raw();
        let is_front = |pid: &i32| {
            let program = std::fs::read_link(format!("/proc/{pid}/exe"));
            parent(*pid) == Some(launcher) && program.is_ok_and(|path| path.ends_with("gpuhostd"))
        };
        let named = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse().ok();
        let mut all = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok).filter_map(named);
        Pid::from_raw(all.find(is_front).unwrap_or_else(|| panic!("no front is there:\n{}", self.log())))
    }

    /// Waits until it has ended by itself, as it does when its front was killed.
    ///
    /// # Panics
    /// Where it goes on.
    pub fn ended(&mut self) {
        wait::until("the daemon to end", wait::PATIENCE, || self.child.try_wait().expect("status"));
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// Where it has ended.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the daemon is there");
    }

    /// Sends SIGTERM and returns how it ended (well only where its front needed less than the 1.7 s after which the launcher
    /// kills it) and after how long.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn stop(&mut self) -> (ExitStatus, Duration) {
        let begin = Instant::now();
        self.signal(Signal::SIGTERM);
        let status = wait::until("the daemon to end", wait::PATIENCE, || self.child.try_wait().expect("status"));
        (status, begin.elapsed())
    }
}

/// The process that has started this one; none where it has gone.
fn parent(pid: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// A pipe in place of `/dev/kmsg`, with what the simulated host has logged so far.
fn kernel_log(world: &World, tree: Option<&Path>) -> (PathBuf, File) {
    let path = world.path().join("kmsg");
    let _old = std::fs::remove_file(&path);
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("a pipe");
    let mut pipe = File::options().read(true).write(true).open(&path).expect("the pipe");
    if let Some(tree) = tree {
        // A tree that is no host of ours has none.
        let records = std::fs::read(tree.join("kmsg.records")).unwrap_or_default();
        pipe.write_all(&records).expect("the pipe");
    }
    (path, pipe)
}

fn open_to_all(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).expect("mode");
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the daemon ---\n{}", self.log());
        }
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _gone = kill(self.pid(), Signal::SIGTERM);
            let _reaped = self.child.wait();
        }
    }
}
