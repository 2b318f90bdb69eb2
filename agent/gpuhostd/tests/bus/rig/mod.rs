//! A private message bus with a system bus's manners, and the D-Bus face on it over a core that the test steers.
#![allow(dead_code, reason = "two test programs share the rig, and neither uses all of it")]

pub(crate) mod core;
pub(crate) mod hosts;
pub(crate) mod private_bus;

use core::{Core, CoreEnds};
use gpuhostd::bus::{self, BusAddress, BusState};
use private_bus::PrivateBus;
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// No wait of a test takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The user that may nothing.
pub(crate) const NOBODY: u32 = 65_534;

/// The face on a bus, in a thread of its own.
pub(crate) struct Served {
    pub(crate) core: Core,
    pub(crate) state: watch::Receiver<BusState>,
    cancel: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Served {
    /// Starts the face on a bus address and does not wait for the bus.
    pub(crate) fn start_at(address: &str, core: (Core, CoreEnds)) -> Self {
        let (core, ends) = core;
        let cancel = CancellationToken::new();
        let (hand_over, taken) = std::sync::mpsc::channel();
        let (stop, at) = (cancel.clone(), BusAddress::At(address.to_owned()));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let running = bus::start(at, ends.sources.clone(), stop);
                hand_over.send(running.state.clone()).unwrap();
                let serving = tokio::spawn(ends.serve());
                running.task.await.unwrap();
                serving.abort();
            });
        });
        let state = taken.recv().unwrap();
        Self { core, state, cancel, thread: Some(thread) }
    }

    /// Starts the face on a bus and waits until the name is owned.
    pub(crate) fn start(bus: &PrivateBus, core: (Core, CoreEnds)) -> Self {
        let served = Self::start_at(&bus.address, core);
        served.wait_for("the name is owned", |state| matches!(state, BusState::Serving { .. }));
        served
    }

    /// Waits until the state is as wanted.
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&BusState) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !wanted(&self.state.borrow()) {
            assert!(Instant::now() < end, "waited in vain: {what}; the state is {:?}", self.state.borrow());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops the face and waits for its end.
    pub(crate) fn stop(&mut self) {
        self.cancel.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Waits for a condition, with a deadline.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs busctl on the bus as root or as somebody else.
pub(crate) fn busctl_as(bus: &PrivateBus, uid: u32, args: &[&str]) -> Output {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new("busctl");
    command.arg(format!("--address={}", bus.address)).arg("--no-pager").args(args);
    if uid != 0 {
        command.uid(uid).gid(uid);
    }
    command.output().expect("busctl is installed")
}

/// Runs busctl as root and returns what it printed; it must succeed.
pub(crate) fn busctl(bus: &PrivateBus, args: &[&str]) -> String {
    let output = busctl_as(bus, 0, args);
    assert!(output.status.success(), "busctl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What busctl says when a call fails; it must fail.
pub(crate) fn busctl_refused(bus: &PrivateBus, uid: u32, args: &[&str]) -> String {
    let output = busctl_as(bus, uid, args);
    assert!(!output.status.success(), "busctl {args:?} passed: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// The name and message of the D-Bus error that a call ends with.
pub(crate) fn error_of<T: std::fmt::Debug>(answer: zbus::Result<T>) -> (String, String) {
    match answer {
        Err(zbus::Error::MethodError(name, message, _)) => (name.to_string(), message.unwrap_or_default()),
        Err(zbus::Error::FDO(error)) => (zbus::DBusError::name(&*error).to_string(), error.to_string()),
        other => panic!("expected a D-Bus error, and {other:?} came"),
    }
}

/// Runs an async test body on a runtime of its own.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE * 3, work).await.expect("the test ends in its time") })
}

/// A client on the bus.
pub(crate) async fn client(bus: &PrivateBus) -> zbus::Connection {
    let builder = zbus::connection::Builder::address(bus.address.as_str()).method_timeout(PATIENCE);
    builder.build().await.expect("the private bus lets us in")
}
