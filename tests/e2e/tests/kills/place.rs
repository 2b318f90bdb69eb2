//! A host with its daemon, which is killed and started again.

use e2e::bus::Bus;
use e2e::daemon::{Daemon, Start};
use e2e::tracer::{self, Traced};
use e2e::wait::{self, PATIENCE};
use e2e::world::World;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use tokio::runtime::Runtime;

/// The shortest interval of heartbeats that there is, in seconds.
pub(crate) const EVERY_S: u64 = 5;

/// Where the managers run.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
    })
}

/// The host.
pub(crate) struct Place {
    /// First, so that it ends before its folder does.
    daemon: Option<Daemon>,
    start: Start,
    pub(crate) bus: Bus,
    pub(crate) world: World,
}

impl Place {
    /// With a running daemon without a manager.
    pub(crate) fn new() -> Self {
        let mut place = Self::unstarted();
        place.up();
        place
    }

    pub(crate) fn unstarted() -> Self {
        let world = World::new();
        let bus = Bus::start(world.path()).expect("a bus");
        let tree = Some(world.host_tree("no-iommu"));
        let config = format!("[manager]\nheartbeat_interval_s = {EVERY_S}\n");
        let start = Start { bus: Some(bus.address.clone()), tree, config, ..Start::default() };
        Self { world, bus, start, daemon: None }
    }

    pub(crate) fn up(&mut self) {
        self.daemon = Some(Daemon::start(&self.world, &self.start));
        self.until("its name on the bus", || {
            self.world.ctl(&self.bus.address, &["status"]).status.success().then_some(())
        });
    }

    /// Its front is killed; its launcher and hands end by themselves.
    pub(crate) fn kill(&mut self) {
        let mut daemon = self.daemon.take().expect("a daemon");
        kill(daemon.front(), Signal::SIGKILL).expect("the front");
        daemon.ended();
    }

    /// Kills the front at an instant of what begins so, or when it is over, and waits until all of the daemon has ended.
    pub(crate) fn killed_during(
        &mut self,
        kill_at: usize,
        begin: impl FnOnce(),
        is_over: impl Fn() -> bool + Sync,
    ) -> Traced {
        let mut daemon = self.daemon.take().expect("a daemon");
        let traced = tracer::follow(daemon.front(), kill_at, begin, is_over);
        daemon.ended();
        traced
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.world.path().join("daemon.log")).expect("the log")
    }

    /// A file or folder of its durable state.
    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.world.path().join("state").join(name)
    }

    /// What `gpuhostctl` prints as JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        self.world.ctl_json(&self.bus.address, args)
    }

    pub(crate) fn manager_state(&self) -> String {
        self.json(&["status"])["ManagerState"].as_str().expect("a state").to_owned()
    }

    /// The message of a condition that holds.
    pub(crate) fn condition(&self, kind: &str) -> Option<String> {
        let status = self.json(&["status"]);
        let held = status["Conditions"].as_array()?.iter().find(|one| one["Type"] == kind)?.clone();
        held["Message"].as_str().map(str::to_owned)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.world.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    }

    /// Enrols with a manager, and waits for it.
    pub(crate) fn enrol(&self, url: &str, token: &str, ca: &str) {
        let (token, ca) = (self.file("token", token), self.file("ca.pem", ca));
        let words = ["enroll", url, "--token-file", &token, "--ca-file", &ca];
        let ran = self.world.ctl(&self.bus.address, &words);
        assert!(ran.status.success(), "{}\n{}", String::from_utf8_lossy(&ran.stderr), self.log());
    }

    /// Waits, and shows the log of the daemon where it waits in vain.
    pub(crate) fn until<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let deadline = std::time::Instant::now() + PATIENCE;
        wait::until(what, PATIENCE * 2, || {
            let answer = ask();
            assert!(answer.is_some() || std::time::Instant::now() < deadline, "{what} in vain:\n{}", self.log());
            answer
        })
    }
}

/// The files that get their names in a folder: each is a whole write.
pub(crate) struct Writes {
    inotify: Inotify,
    seen: BTreeMap<String, usize>,
}

impl Writes {
    pub(crate) fn of(place: &Place) -> Self {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).expect("inotify");
        inotify.add_watch(&place.state(""), AddWatchFlags::IN_MOVED_TO).expect("the state");
        Self { inotify, seen: BTreeMap::new() }
    }

    /// How often that file was written.
    pub(crate) fn count(&mut self, name: &str) -> usize {
        while let Ok(events) = self.inotify.read_events() {
            assert!(
                events.iter().all(|event| !event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW)),
                "writes were missed"
            );
            for name in events.into_iter().filter_map(|event| event.name) {
                *self.seen.entry(name.to_string_lossy().into_owned()).or_default() += 1;
            }
        }
        self.seen.get(name).copied().unwrap_or_default()
    }
}
