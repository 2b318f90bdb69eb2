//! `toolkit enable --wait`: it waits through every phase until the toolkit is ready or cannot be, and ends with the exit status of that.

use crate::rig::core::core;
use crate::rig::private_bus::PrivateBus;
use crate::rig::{Served, hosts, until};
use crate::run::program;
use model::nvidia_container::{NvidiaFault, NvidiaHold, NvidiaPhase, NvidiaState};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::Arc;

/// The command, waiting, and what it prints on standard error.
struct Waiting {
    child: Child,
    shown: BufReader<std::process::ChildStderr>,
}

impl Waiting {
    fn start(bus: &PrivateBus, served: &Served) -> Self {
        let before = served.core.got.borrow().len();
        let mut command = program(&bus.address);
        command.args(["toolkit", "enable", "--wait"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        until("it is asked for", || served.core.got.borrow().len() > before);
        let shown = BufReader::new(child.stderr.take().unwrap());
        Self { child, shown }
    }

    /// Reads on until it shows this phase: it has looked, and goes on waiting.
    fn shows(&mut self, phase: &str) {
        let mut line = String::new();
        while line.trim() != phase {
            line.clear();
            assert!(self.shown.read_line(&mut line).unwrap() > 0, "it has ended, and never showed {phase}");
        }
        assert!(self.child.try_wait().unwrap().is_none(), "it waits");
    }

    fn end(mut self) -> (i32, String) {
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        self.shown.read_to_string(&mut text).unwrap();
        (self.child.wait().unwrap().code().unwrap(), text)
    }
}

fn toolkit(served: &Served, wished: bool, phase: NvidiaPhase, (hold, deed): (Option<NvidiaHold>, Option<&str>)) {
    let mut state = NvidiaState::not_looked();
    (state.toolkit.wished, state.toolkit.phase, state.toolkit.hold) = (wished, phase, hold);
    state.toolkit.deed = deed.map(str::to_owned);
    served.core.nvidia.send_replace(Arc::new(state));
}

#[test]
fn toolkit_enable_waits_through_every_phase_until_it_is_ready() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    // What is left of an earlier wish is not taken for the end of this one.
    toolkit(&served, false, NvidiaPhase::Ready, (None, None));
    let mut waiting = Waiting::start(&bus, &served);
    waiting.shows("ready");
    toolkit(&served, true, NvidiaPhase::Pulling { done_bytes: 1, total_bytes: 2 }, (None, None));
    waiting.shows("pulling");
    toolkit(&served, true, NvidiaPhase::Starting { lacks: "its programs".to_owned() }, (None, None));
    waiting.shows("starting");
    // Its container is ready, and Docker's configuration, the CDI file and the probe are not: that is not the end.
    toolkit(&served, true, NvidiaPhase::Ready, (None, Some("add the runtime nvidia to daemon.json")));
    waiting.shows("ready");
    toolkit(&served, true, NvidiaPhase::Ready, (None, None));
    let (status, text) = waiting.end();
    assert!(status == 0 && text.contains("ready"), "{status}: {text}");
}

#[test]
fn toolkit_enable_ends_with_the_exit_status_of_what_keeps_it_from_being_ready() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    let failed = |retry_at| NvidiaPhase::Failed {
        fault: NvidiaFault::Exited,
        reason: "it ended five times".to_owned(),
        retry_at,
    };
    toolkit(&served, true, NvidiaPhase::Absent { why: "Docker".to_owned() }, (None, None));
    let mut waiting = Waiting::start(&bus, &served);
    waiting.shows("absent");
    // It is tried again: that is not the end either.
    toolkit(&served, true, failed(Some(model::time::UnixMillis(4_000_000_000_000))), (None, None));
    waiting.shows("failed");
    toolkit(&served, true, failed(None), (None, None));
    let (status, text) = waiting.end();
    assert!(status == 10 && text.contains("it ended five times"), "{status}: {text}");
}
