//! `top`: one picture, and the live view on a terminal that script(1) makes.

use crate::rig::core::core;
use crate::rig::private_bus::PrivateBus;
use crate::rig::{Served, hosts, until};
use crate::run::{gpuhostctl, json, told};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

/// The live view on a terminal of its own.
struct Live {
    child: Child,
    keys: Option<ChildStdin>,
    seen: Arc<Mutex<Vec<u8>>>,
    folder: tempfile::TempDir,
}

impl Live {
    fn start(bus: &str, colour: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let program = env!("CARGO_BIN_EXE_gpuhostctl");
        let view = format!("echo $$ >{at}/pid.new; mv {at}/pid.new {at}/pid; exec {program} top --interval 1");
        let whole = format!("stty rows 24 cols 100; tty >{at}/tty; sh -c '{view}'; echo ended=$?; stty -a; exit 0");
        let mut command = Command::new("script");
        command.args(["-q", "-e", "-f", "-c", &whole, "/dev/null"]).env("GPUHOSTD_BUS", bus).env("TERM", "xterm");
        command.env("SHELL", "/bin/sh").env_remove("NO_COLOR");
        if !colour {
            command.env("NO_COLOR", "1");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script(1) is there");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut output, kept) = (child.stdout.take().unwrap(), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut piece) {
                kept.lock().unwrap().extend_from_slice(&piece[..length]);
            }
        });
        Self { keys: child.stdin.take(), child, seen, folder }
    }

    fn output(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    fn shows(&self, text: &str) {
        until(&format!("{text:?} on the screen"), || self.output().contains(text));
    }

    /// Forgets what was shown until now.
    fn forget(&self) {
        self.seen.lock().unwrap().clear();
    }

    fn press(&mut self, keys: &[u8]) {
        let input = self.keys.as_mut().unwrap();
        input.write_all(keys).and_then(|()| input.flush()).unwrap();
    }

    fn signal(&self, signal: Signal) {
        let pid = std::fs::read_to_string(self.folder.path().join("pid")).unwrap();
        kill(Pid::from_raw(pid.trim().parse().unwrap()), signal).unwrap();
    }

    /// Waits for the end and asserts that the terminal was given back as it was.
    fn ended_well(mut self) {
        self.shows("ended=0");
        until("the terminal's state", || self.output().contains("extproc") || self.output().contains("echoke"));
        let output = self.output();
        let (view, after) = output.split_once("ended=0").unwrap();
        for (what, sequence) in [("left the other screen", "\u{1b}[?1049l"), ("showed the cursor", "\u{1b}[?25h")] {
            assert!(view.contains(sequence), "it has not {what}: {view:?}");
        }
        for mode in ["icanon", "isig", "echo", "opost", "icrnl"] {
            let on = after.split_whitespace().any(|word| word.trim_end_matches(';') == mode);
            assert!(on, "the terminal is not in mode {mode}: {after}");
        }
        self.keys = None;
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn one_picture_is_plain_text_and_fits() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::two_gpus()));
    for args in [&["top", "--once"][..], &["top"]] {
        let text = told(&bus, args);
        assert!(!text.contains('\u{1b}') && text.starts_with("node7"), "{text}");
        let row = text.lines().find(|line| line.starts_with("0000:41:00.0")).unwrap();
        assert!(row.contains("H100 80GB HBM3") && row.contains("python3 (4711)") && row.contains("36 °C"), "{text}");
        assert!(text.contains("not usable: "), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    }
}

#[test]
fn json_is_one_document() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::two_gpus()));
    let document = json(&bus, &["top", "--once", "--json"]);
    assert_eq!(document["Gpus"][0]["Metrics"]["TemperatureCelsius"], 36.0);
    assert!(document["Load"]["Now"].is_u64() && document["Host"]["Hostname"] == "node7", "{document}");
    let ran = gpuhostctl(&bus, &["top", "--json"]);
    assert!(ran.status == 2 && ran.err.contains("--once"), "{ran:?}");
    assert_eq!(gpuhostctl(&bus, &["top", "--interval", "0"]).status, 2);
}

#[test]
fn without_a_daemon_one_picture_is_a_failure() {
    let bus = PrivateBus::start();
    let ran = gpuhostctl(&bus, &["top", "--once"]);
    assert!(ran.status == 8 && ran.err.contains("not running"), "{ran:?}");
}

#[test]
fn it_follows_the_host_and_the_size_of_the_screen_and_ends_at_q() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    let mut live = Live::start(&bus.address, true);
    live.shows("H100 80GB HBM3");
    live.shows("36 °C");
    assert!(live.output().contains("\u{1b}[1m"), "titles are bold");
    served.core.observe(|next| {
        let gpu = next.gpus[0].driver.as_mut().unwrap();
        gpu.metrics.temperature_c = model::Reading::Known(91.0);
    });
    live.shows("91 °C");
    live.forget();
    let terminal = std::fs::read_to_string(live.folder.path().join("tty")).unwrap();
    let resized = Command::new("stty").args(["-F", terminal.trim(), "rows", "10", "cols", "40"]).status().unwrap();
    assert!(resized.success());
    // The next picture has the columns that 40 have room for.
    until("a narrow picture", || {
        let output = live.output();
        output
            .rsplit("\u{1b}[1;1H")
            .nth(1)
            .is_some_and(|picture| picture.contains("ADDRESS") && !picture.contains("NAME"))
    });
    live.press(b"q");
    live.ended_well();
}

#[test]
fn signals_and_ctrl_c_give_the_terminal_back() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::two_gpus()));
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let live = Live::start(&bus.address, true);
        live.shows("H100 80GB HBM3");
        live.signal(signal);
        live.ended_well();
    }
    let mut live = Live::start(&bus.address, true);
    live.shows("H100 80GB HBM3");
    live.press(b"\x03");
    live.ended_well();
}

#[test]
fn it_says_that_the_daemon_went_away_and_goes_on_when_it_is_back() {
    let bus = PrivateBus::start();
    let mut served = Served::start(&bus, core(hosts::two_gpus()));
    let mut live = Live::start(&bus.address, false);
    live.shows("36 °C");
    served.stop();
    drop(served);
    live.shows("is not running");
    live.forget();
    let again = Served::start(&bus, core(hosts::two_gpus()));
    live.shows("observed ");
    again
        .core
        .observe(|next| next.gpus[0].driver.as_mut().unwrap().metrics.temperature_c = model::Reading::Known(77.0));
    live.shows("77 °C");
    let colours = live.output().contains("\u{1b}[1m") || live.output().contains("\u{1b}[31m");
    assert!(!colours, "NO_COLOR: {:?}", live.output());
    live.press(b"q");
    live.ended_well();
}
