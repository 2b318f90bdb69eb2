//! Completion in bash, zsh and fish as people press the key, and what the scripts ask for.

use crate::rig::core::core;
use crate::rig::private_bus::PrivateBus;
use crate::rig::{Served, hosts, until};
use crate::run::{Ran, finish, program, told};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The candidates for the last word, and how the shell goes on.
fn candidates(bus: &str, words: &[&str]) -> (String, Vec<String>) {
    let mut command = program(bus);
    command.args(["__complete", "--"]).args(words);
    let ran = finish(command, b"");
    assert!(ran.status == 0 && ran.err.is_empty(), "{ran:?}");
    let mut lines = ran.out.lines().map(|line| line.split('\t').next().unwrap().to_owned());
    (lines.next().unwrap(), lines.collect())
}

#[test]
fn addresses_uuids_and_profiles_come_from_the_daemon() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::two_gpus()));
    let of = |words: &[&str], is_right: &dyn Fn(&str, &[String]) -> bool| {
        // The program waits 0.8 s for a daemon: on a machine that is busy it is asked again.
        until(&format!("the candidates for {words:?}"), || {
            let (how, values) = candidates(&bus.address, words);
            println!("{words:?}: {how} {values:?}");
            is_right(&how, &values)
        });
    };
    of(&["gpu", "show", ""], &|_, all| all.contains(&"0000:41:00.0".to_owned()) && all.len() == 2);
    // Without the domain, as it was begun.
    of(&["passthrough", "bind", "41"], &|_, all| all == ["41:00.0"]);
    of(&["gpu", "show", "GPU-"], &|_, uuid| !uuid.is_empty() && uuid.iter().all(|one| one.starts_with("GPU-")));
    of(&["run", "--gpus=41:00.0,41"], &|how, all| how == "parts" && all == ["--gpus=41:00.0,41:00.0"]);
    // Those of an H100.
    let layout = ["mig", "apply", "--gpu", "41:00.0", "--layout", "1g.10gb:2,3g"];
    of(&layout, &|how, all| how == "parts" && all == ["1g.10gb:2,3g.40gb"]);
}

#[test]
fn without_a_daemon_and_with_one_that_is_silent_there_are_no_candidates_and_no_word() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("bus");
    // A bus that takes the connection and never answers.
    let _silent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for bus in ["unix:path=/nonexistent".to_owned(), format!("unix:path={}", socket.display())] {
        let begun = Instant::now();
        assert_eq!(candidates(&bus, &["gpu", "show", ""]), ("values".to_owned(), Vec::new()));
        // The program itself waits 0.8 s; the rest is for a machine that is busy.
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

/// What empties the line.
const CTRL_U: char = '\u{15}';
const PRESSED_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// A shell on a terminal that script(1) makes.
struct Terminal {
    child: std::process::Child,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn start(shell: &str, bus: &str, home: &Path) -> Self {
        let here = Path::new(env!("CARGO_BIN_EXE_gpuhostctl")).parent().unwrap();
        let path = format!("{}:{}", here.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("script");
        command.args(["-q", "-e", "-f", "-c", shell, "/dev/null"]).current_dir(home);
        command.env("PATH", path).env("GPUHOSTD_BUS", bus).env("TERM", "xterm").env("HOME", home).env("ZDOTDIR", home);
        command.env("SHELL", "/bin/sh").env("NO_COLOR", "1");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script(1) is there");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut output, kept) = (child.stdout.take().unwrap(), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut piece) {
                kept.lock().unwrap().extend_from_slice(&piece[..length]);
            }
        });
        let terminal = Self { child, seen };
        terminal.shows("ready>");
        terminal
    }

    fn shows(&self, text: &str) {
        until(&format!("{text:?} on the screen"), || self.output().contains(text));
    }

    fn output(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    fn press(&mut self, keys: &str) {
        self.seen.lock().unwrap().clear();
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(keys.as_bytes()).and_then(|()| input.flush()).unwrap();
    }

    /// Presses the keys until they lead to this: where the machine is busy, a key finds nothing within its 0.8 s, and the line that is
    /// not whole is run or left.
    fn press_until(&mut self, keys: &str, text: &str) {
        until(&format!("{text:?} on the screen"), || {
            self.press(&format!("{CTRL_U}{keys}"));
            let pressed = Instant::now();
            while pressed.elapsed() < PRESSED_AGAIN_AFTER && !self.output().contains(text) {
                std::thread::sleep(Duration::from_millis(20));
            }
            self.output().contains(text)
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// What the key does, in a shell that breaks words at a colon and in one that does not.
fn completes(terminal: &mut Terminal) {
    // The line that was completed is run: what it prints shows which words it had.
    for (keys, shown) in [
        ("gpuhostctl gpu show 0000:41\t\n", "Address              0000:41:00.0"),
        ("gpuhostctl gpu show 41:\t\n", "Address              0000:41:00.0"),
        ("gpuhostctl passth\tche\t41\t--no-\t\n", "group "),
        ("gpuhostctl mig profiles --product=H100\t\n", "7g.80gb"),
        ("gpuhostctl config check wron\t\n", "wrong file.toml:1:1: agnt is not known"),
    ] {
        terminal.press_until(keys, shown);
        terminal.shows("ready>");
    }
}

fn home(bus: &PrivateBus) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("wrong file.toml"), "agnt = 1\n").unwrap();
    for (shell, file) in [("bash", "completion.bash"), ("zsh", "_gpuhostctl"), ("fish", "completion.fish")] {
        fs::write(home.path().join(file), told(bus, &["completions", shell])).unwrap();
    }
    home
}

#[test]
fn bash_completes_addresses_options_and_files() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::two_gpus()));
    let home = home(&bus);
    fs::write(home.path().join("rc"), "PS1='ready>'; . ./completion.bash\n").unwrap();
    completes(&mut Terminal::start("bash --noprofile --rcfile rc -i", &bus.address, home.path()));
    let unbroken = "PS1='ready>'; COMP_WORDBREAKS=${COMP_WORDBREAKS//:}; . ./completion.bash\n";
    fs::write(home.path().join("rc"), unbroken).unwrap();
    completes(&mut Terminal::start("bash --noprofile --rcfile rc -i", &bus.address, home.path()));
}

#[test]
fn zsh_completes_addresses_options_and_files() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::two_gpus()));
    let home = home(&bus);
    let start = "PS1='ready>'; fpath=($HOME $fpath); autoload -U compinit; compinit -u -D\n";
    fs::write(home.path().join(".zshrc"), start).unwrap();
    completes(&mut Terminal::start("zsh -o no_global_rcs -i", &bus.address, home.path()));
}

#[test]
fn fish_completes_addresses_options_and_files() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::two_gpus()));
    let home = home(&bus);
    let here = Path::new(env!("CARGO_BIN_EXE_gpuhostctl")).parent().unwrap();
    let lines = ["gpu show 0000:41", "passth", "config check wr", "mig apply --config-file=wr", "run --kind "];
    let script: Vec<String> = lines.iter().map(|line| format!("complete -C 'gpuhostctl {line}'; echo end")).collect();
    let completed = || {
        let mut command = Command::new("fish");
        command.args(["-c", &format!("source completion.fish; {}", script.join("; "))]).current_dir(home.path());
        command.env("PATH", format!("{}:{}", here.display(), std::env::var("PATH").unwrap()));
        command.env("HOME", home.path()).env("GPUHOSTD_BUS", &bus.address).env("TERM", "xterm");
        finish(command, b"")
    };
    let expected = [
        "0000:41:00.0",
        "end",
        "passthrough",
        "end",
        "wrong file.toml",
        "end",
        "--config-file=wrong file.toml",
        "end",
        "user",
        "staged",
        "vdi",
        "end",
    ];
    // Only the daemon's candidates are late on a machine that is busy; anything else that is missing stays so.
    let mut ran = completed();
    let values = |ran: &Ran| -> Vec<String> {
        ran.out.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    };
    until("the candidates of the daemon", || {
        let is_there = values(&ran).first().is_some_and(|first| first != "end");
        if !is_there {
            ran = completed();
        }
        is_there
    });
    assert_eq!(values(&ran), expected, "{ran:?}");
}
