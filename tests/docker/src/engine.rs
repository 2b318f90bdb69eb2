//! One Docker engine of its own: data, sockets, configuration, control group and mount namespace; gone with the value.

use crate::holder::Holder;
use crate::parts::{Release, part};
use crate::{PATIENCE, leftovers, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// A root without `CAP_SYS_RESOURCE` cannot give it away: its runc must not ask for it. Docker finds runc by `PATH`, so neither
/// the configuration nor the arguments know of this.
const RUNC: &str = r#"#!/bin/bash
config= last=
for argument in "$@"; do
    case $last in --bundle) config=$argument/config.json ;; --process) config=$argument ;; esac
    last=$argument
done
if [ -f "$config" ]; then sed -i 's/,"CAP_SYS_RESOURCE"//g; s/"CAP_SYS_RESOURCE",//g' "$config"; fi
for runc in /usr/sbin/runc /usr/bin/runc; do if [ -x "$runc" ]; then exec "$runc" "$@"; fi; done
"#;
const CAP_SYS_RESOURCE: u32 = 24;

/// How to start it.
#[derive(Debug, Clone)]
pub struct Options {
    /// The bytes of `daemon.json`.
    pub config: Vec<u8>,
    /// The images and containers have a file system of this size for themselves.
    pub data_mib: Option<u32>,
    /// More arguments of dockerd.
    pub arguments: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { config: b"{}\n".to_vec(), data_mib: None, arguments: Vec::new() }
    }
}

/// An engine that answers.
pub struct Engine {
    release: Release,
    options: Options,
    group: String,
    daemon: Option<Child>,
    // Dropped last: the namespace, then the folder.
    holder: Holder,
    folder: TempDir,
}

impl Engine {
    /// Starts one with its defaults.
    #[must_use]
    pub fn start(release: Release) -> Self {
        Self::start_with(release, Options::default())
    }

    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// Where it does not start: with the end of its log.
    #[must_use]
    pub fn start_with(release: Release, options: Options) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = TempDir::with_prefix("engine-").expect("a folder");
        for name in ["data", "bin", "cli"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        if !has_capability(CAP_SYS_RESOURCE) {
            let runc = folder.path().join("bin/runc");
            fs::write(&runc, RUNC)
                .and_then(|()| fs::set_permissions(&runc, fs::Permissions::from_mode(0o755)))
                .expect("runc");
        }
        let holder = Holder::start(folder.path(), &folder.path().join("data"), options.data_mib);
        let group = format!("gpuhostd-engine-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut engine = Self { release, options, group, daemon: None, holder, folder };
        fs::write(engine.config(), &engine.options.config).expect("daemon.json");
        engine.start_again();
        engine
    }

    /// Starts dockerd again, in the same folders and the same mount namespace.
    ///
    /// # Panics
    /// Where it does not answer.
    pub fn start_again(&mut self) {
        self.launch();
        until("dockerd to answer", || {
            let ended = self.daemon.as_mut().and_then(|daemon| daemon.try_wait().expect("its status"));
            assert!(ended.is_none(), "dockerd {} exited ({ended:?}):\n{}", self.release, self.log());
            self.ping().then_some(())
        });
    }

    /// Starts dockerd, which is expected to refuse: how it exited.
    ///
    /// # Panics
    /// Where it answers instead.
    pub fn start_in_vain(&mut self) -> ExitStatus {
        self.launch();
        let ended = until("dockerd to exit", || {
            assert!(!self.ping(), "dockerd {} answers", self.release);
            self.daemon.as_mut().and_then(|daemon| daemon.try_wait().expect("its status"))
        });
        self.daemon = None;
        ended
    }

    fn launch(&mut self) {
        assert!(self.daemon.is_none(), "dockerd runs");
        let (folder, tree) = (self.folder.path(), self.release.tree());
        let log = File::options().create(true).append(true).open(folder.join("log")).expect("a log");
        let mut command = self.holder.command(&tree.join("usr/sbin/dockerd"), "TERM");
        command.arg("--config-file").arg(self.config()).arg("--host").arg(format!("unix://{}", self.socket()));
        command.arg("--data-root").arg(folder.join("data")).arg("--exec-root").arg(folder.join("exec"));
        command.arg("--pidfile").arg(self.pid_file()).args(["--bridge=none", "--iptables=false", "--ip6tables=false"]);
        command.args(["--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent"]).arg(format!("/{}", self.group));
        command.args(&self.options.arguments).stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        command.env(
            "PATH",
            format!(
                "{}:{}/usr/bin:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin",
                folder.join("bin").display(),
                tree.display()
            ),
        );
        self.daemon = Some(command.spawn().expect("setpriv and nsenter of util-linux"));
    }

    /// Which it is.
    #[must_use]
    pub fn release(&self) -> Release {
        self.release
    }

    /// The path of its socket.
    #[must_use]
    pub fn socket(&self) -> String {
        self.folder.path().join("docker.sock").display().to_string()
    }

    /// The path of its `daemon.json`.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("daemon.json")
    }

    /// The path of the file with its process id.
    #[must_use]
    pub fn pid_file(&self) -> PathBuf {
        self.folder.path().join("docker.pid")
    }

    /// A folder of its own for what a test installs; dockerd finds programs in its `bin`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process id of dockerd.
    ///
    /// # Panics
    /// Where it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        // setpriv and nsenter become it.
        self.daemon.as_ref().expect("dockerd runs").id()
    }

    /// A process that lives in the mount namespace of this engine: `nsenter --mount=/proc/PID/ns/mnt` leads there.
    #[must_use]
    pub fn namespace_pid(&self) -> u32 {
        self.holder.pid()
    }

    /// How this process sees a path as the engine does: its `/run` is its own.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        self.holder.outside(inside)
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// True where it answers `GET /_ping`.
    #[must_use]
    pub fn ping(&self) -> bool {
        let Ok(mut stream) = UnixStream::connect(self.socket()) else { return false };
        let mut answer = [0; 15];
        stream.set_read_timeout(Some(Duration::from_secs(10))).is_ok()
            && stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n").is_ok()
            && stream.read_exact(&mut answer).is_ok()
            && &answer == b"HTTP/1.1 200 OK"
    }

    /// The `docker` command against it.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(arguments).env("DOCKER_HOST", format!("unix://{}", self.socket()));
        command.env("DOCKER_CONFIG", self.folder.path().join("cli")).env_remove("DOCKER_CONTEXT").stdin(Stdio::null());
        command
    }

    /// Runs `docker`, whatever comes of it.
    ///
    /// # Panics
    /// Where there is no `docker`.
    #[must_use]
    pub fn try_docker(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the docker command")
    }

    /// Runs `docker`, which must succeed: its output without the end of the line.
    ///
    /// # Panics
    /// Where it fails.
    pub fn docker(&self, arguments: &[&str]) -> String {
        let output = self.try_docker(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {arguments:?} on {}: {said}", self.release);
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// What `docker inspect` prints of one thing.
    ///
    /// # Panics
    /// Where there is no such thing.
    #[must_use]
    pub fn inspect(&self, name: &str) -> Value {
        let text = self.docker(&["inspect", name]);
        let mut list: Vec<Value> = serde_json::from_str(&text).expect("a list");
        list.remove(0)
    }

    /// Sends a signal to dockerd (`SIGHUP` reloads, `SIGSTOP` makes it silent).
    ///
    /// # Panics
    /// Where it does not run.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).expect("a pid")), signal).expect("dockerd runs");
    }

    /// Ends dockerd as a crash does; the containers run on, and nobody watches them.
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _gone = daemon.kill();
            let _reaped = daemon.wait();
        }
        // Its containerd is gone with it. Where its orphan is not reaped at once, the next dockerd would wait for it in vain.
        let _stale = fs::remove_file(self.folder.path().join("exec/containerd/containerd.pid"));
        let _stale = fs::remove_file(self.pid_file());
    }

    /// Ends dockerd as systemd does: without live-restore it stops its containers first.
    ///
    /// # Panics
    /// Where it does not run, or does not end.
    pub fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let mut daemon = self.daemon.take().expect("dockerd runs");
        until("dockerd to exit", || daemon.try_wait().expect("its status"));
    }

    /// The runtimes and all else that `GET /info` shows.
    ///
    /// # Panics
    /// Where it does not answer.
    #[must_use]
    pub fn info(&self) -> Value {
        // Not by the `docker` command: an older one leaves out what it does not know.
        let mut stream = UnixStream::connect(self.socket()).expect("the socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
        stream.write_all(b"GET /info HTTP/1.0\r\n\r\n").expect("a question");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let text = String::from_utf8(answer).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(" 200 "), "{head}");
        serde_json::from_str(body).expect("JSON")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the end of the log of dockerd {} ---", self.release);
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("{}", lines[lines.len().saturating_sub(25)..].join("\n"));
        }
        if std::thread::panicking() && self.ping() {
            for id in String::from_utf8_lossy(&self.try_docker(&["ps", "-aq"]).stdout).lines() {
                let logs = self.try_docker(&["logs", "--tail", "20", id]);
                eprintln!(
                    "--- container {id} ---\n{}{}",
                    String::from_utf8_lossy(&logs.stdout),
                    String::from_utf8_lossy(&logs.stderr)
                );
            }
        }
        leftovers::kill_containers(&self.group);
        if let Some(mut daemon) = self.daemon.take() {
            let pid = Pid::from_raw(i32::try_from(daemon.id()).unwrap_or(i32::MAX));
            let _runs = kill(pid, Signal::SIGCONT);
            let _asked = kill(pid, Signal::SIGTERM);
            let deadline = std::time::Instant::now() + Duration::from_secs(30);
            while daemon.try_wait().is_ok_and(|ended| ended.is_none()) && std::time::Instant::now() < deadline {
                leftovers::kill_containers(&self.group);
                std::thread::sleep(Duration::from_millis(20));
            }
            let _gone = daemon.kill();
            let _reaped = daemon.wait();
        }
        leftovers::kill_by_folder(self.folder.path());
        leftovers::remove_groups(&self.group);
    }
}

fn has_capability(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("the status of this process");
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).expect("CapBnd");
    u64::from_str_radix(bounding.trim(), 16).expect("a number") >> number & 1 == 1
}

/// The static busybox that images are made of.
pub(crate) fn busybox() -> PathBuf {
    let path = part("tools").join("bin/busybox");
    assert!(path.exists(), "{} is missing: run these tests with `make test-docker`", path.display());
    path
}
