//! The whole daemon with its hands beside a real engine: it deploys a toolkit container, keeps it over restarts, and takes it back.

use crate::world::World;
use docker_engines::stand_in::Toolkit;
use docker_engines::{Engine, releases, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

const INSTALLED: &str = "/usr/local/nvidia/toolkit/nvidia-container-runtime";

/// The daemon in the mount namespace of an engine: what the toolkit installs is there alone.
pub(crate) struct Daemon<'a> {
    engine: &'a Engine,
    /// Another socket than the engine's.
    socket: Option<String>,
    folder: Arc<TempDir>,
    child: Option<Child>,
}

/// What of a daemon is there while its engine is restarted: its files, and its process where it runs.
pub(crate) struct Suspended {
    folder: Arc<TempDir>,
    child: Option<Child>,
}

impl Suspended {
    pub(crate) fn resume(mut self, engine: &Engine) -> Daemon<'_> {
        Daemon { engine, socket: None, folder: Arc::clone(&self.folder), child: self.child.take() }
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}

impl<'a> Daemon<'a> {
    pub(crate) fn new(engine: &'a Engine, world: &World) -> Self {
        let folder = TempDir::with_prefix("daemon-").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let images = world.policy(&[]).images;
        let registries = [world.registry.address()];
        let policy = format!("[host.nvidia]\nimages = {images:?}\n[host.workspaces]\nregistries = {registries:?}\n");
        fs::write(folder.path().join("policy.toml"), policy).unwrap();
        fs::create_dir(folder.path().join("desired")).unwrap();
        Self { engine, socket: None, folder: Arc::new(folder), child: None }
    }

    /// The same, which asks another Docker than the engine.
    pub(crate) fn asking(self, socket: &str) -> Self {
        let (folder, socket) = (Arc::clone(&self.folder), Some(socket.to_owned()));
        Self { engine: self.engine, socket, folder, child: None }
    }

    pub(crate) fn start(&mut self, wishes: &str) {
        let socket = self.socket.clone().unwrap_or_else(|| self.engine.socket());
        let config = format!("[docker]\nsocket = \"{socket}\"\n[nvidia]\n{wishes}\n");
        let at = |name: &str| self.folder.path().join(name);
        fs::write(at("config.toml"), config).unwrap();
        let log = fs::File::options().create(true).append(true).open(at("log")).unwrap();
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.engine.namespace_pid())).arg(program("gpuhostd"));
        command.args(["--with-hands", "--user", "nobody", "--bus", "none", "--config"]).arg(at("config.toml"));
        command.arg("--policy").arg(at("policy.toml")).arg("--state").arg(at("state")).arg("--run").arg(at("run"));
        command.arg("--desired").arg(at("desired"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// Writes the file of the local desired state; without one it is removed. A daemon that runs reads it.
    pub(crate) fn wish(&mut self, document: Option<&Value>) {
        let file = self.folder.path().join("desired/10.json");
        match document {
            Some(document) => fs::write(&file, document.to_string()).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        if let Some(child) = &self.child {
            kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGHUP).unwrap();
        }
    }

    /// Ends it as a power failure would, with all its hands.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _gone = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
            child.wait().unwrap();
        }
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _gone = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
            child.wait().unwrap();
        }
    }

    fn restart(&mut self, wishes: &str) {
        self.stop();
        self.start(wishes);
    }

    /// Starts it again with the same wish, and waits until it has seen that the toolkit is as wished.
    fn restart_and_look(&mut self, wishes: &str) {
        self.stop();
        let log = self.folder.path().join("log");
        let seen =
            move || fs::read_to_string(&log).unwrap_or_default().matches("the toolkit container is ready").count();
        let before = seen();
        self.start(wishes);
        self.until("the toolkit to be seen again", |_| (seen() > before).then_some(()));
    }

    pub(crate) fn suspend(mut self) -> Suspended {
        Suspended { folder: Arc::clone(&self.folder), child: self.child.take() }
    }

    pub(crate) fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Its process; its hands are below it.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits; where it takes too long the daemon's log is shown.
    pub(crate) fn until<T>(&mut self, what: &str, mut ask: impl FnMut(&Engine) -> Option<T>) -> T {
        let (engine, log) = (self.engine, self.folder.path().join("log"));
        until(&format!("{what}, {} ({})", engine.release(), log.display()), || {
            let child = self.child.as_mut().unwrap();
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the daemon has ended, {status}: {}", fs::read_to_string(&log).unwrap());
            }
            ask(engine)
        })
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// A program of the workspace's build.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join(name);
    assert!(path.exists(), "{} is missing: cargo build --workspace", path.display());
    path
}

fn has_runtime(engine: &Engine) -> bool {
    engine.info()["Runtimes"].get("nvidia").is_some()
}

fn toolkits(engine: &Engine) -> Vec<String> {
    let listed =
        engine.docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", "label=org.gpuhost.Agent1.role=toolkit"]);
    listed.lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "make test-docker runs it"]
fn a_toolkit_is_deployed_kept_over_restarts_and_taken_back_without_a_trace_in_docker() {
    let world = World::new();
    let image = world.toolkit("1.17.8", Toolkit::Sound);
    let wished = format!("deploy_toolkit = true\ntoolkit_image = \"{image}\"\ndriver_root = \"/run/nvidia/driver\"");
    for release in releases() {
        let engine = Engine::start(release);
        let (before, default_runtime) = (fs::read(engine.config()).unwrap(), engine.info()["DefaultRuntime"].clone());
        let mut daemon = Daemon::new(&engine, &world);
        daemon.start(&wished);
        daemon.until("the runtime", |engine| has_runtime(engine).then_some(()));
        assert!(engine.path(INSTALLED).exists());
        assert_eq!(engine.info()["DefaultRuntime"], default_runtime);
        let deployed = toolkits(&engine);
        assert_eq!(deployed.len(), 1, "{release}");
        let after = fs::read(engine.config()).unwrap();

        let pid = engine.pid();
        daemon.restart_and_look(&wished);
        assert_eq!(toolkits(&engine), deployed, "{release}: a restart creates nothing");
        daemon.restart("");
        daemon.until("the end of the toolkit", |engine| toolkits(engine).is_empty().then_some(()));
        daemon.until("the file as it was", |engine| (fs::read(engine.config()).unwrap() == before).then_some(()));
        assert_ne!(after, before);
        assert!(!has_runtime(&engine), "{release}");
        assert_eq!((engine.info()["DefaultRuntime"].clone(), engine.pid()), (default_runtime, pid));
        assert!(engine.path(INSTALLED).exists(), "what it has installed outlives it");
    }
}
