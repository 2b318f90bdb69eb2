//! That `make run` ends as it should: by a signal without leftovers, and with a reason where a part of it fails.
//!
//! The script runs with stand-ins for the built programs: what is tested is how it starts, shows, and clears away.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);
const MANAGER: &str = r#"
while [ $# -gt 0 ]; do case $1 in --token-file|--ca-file) echo x >"$2" ;; --dump-last) last=$2 ;; esac; shift; done
echo "listening on https://127.0.0.1:1 fingerprint=00"
echo '{"seq":1,"gpus":[1,2,3,4,5,6,7,8]}' >"$last"
echo "heartbeat accepted host=stand-in seq=1"
exec -a "$0" sleep 1000
"#;

struct Stage {
    folder: PathBuf,
    child: Child,
}

impl Stage {
    /// Starts the script with a daemon and a command line that do what is given.
    fn start(name: &str, daemon: &str, ctl: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("house-demo-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let programs = [
            ("bin/cargo", "echo cargo 1.95.0"),
            ("debug/reference-manager", MANAGER),
            ("debug/gpuhostd", daemon),
            ("debug/gpuhostctl", ctl),
        ];
        for (path, text) in programs {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().expect("it lies in a folder")).unwrap();
            fs::write(&path, format!("#!/bin/bash\n{text}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::create_dir(folder.join("tmp")).unwrap();
        let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap());
        let output = fs::File::create(folder.join("output")).unwrap();
        // A test that was started in the background of a script has inherited that Ctrl-C is ignored.
        let child = Command::new("env")
            .arg("--default-signal=INT,TERM")
            .arg(house::tree::root().join("tests/run/demo.sh"))
            .envs([("PATH", path)])
            .env("CARGO_TARGET_DIR", &folder)
            .env("DEMO_OUT", folder.join("out"))
            .env("TMPDIR", folder.join("tmp"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { folder, child }
    }

    fn output(&self) -> String {
        fs::read_to_string(self.folder.join("output")).unwrap()
    }

    fn await_output(&mut self, text: &str) {
        let begin = Instant::now();
        while !self.output().contains(text) {
            assert!(begin.elapsed() < PATIENCE, "no {text:?} in\n{}", self.output());
            assert!(self.child.try_wait().unwrap().is_none(), "ended early:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// The exit status, after the script has ended by itself or by a signal sent before.
    fn ended(&mut self) -> Option<i32> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begin.elapsed() < PATIENCE, "it does not end:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Command lines of processes that were started from the stage's folder.
    fn left_running(&self) -> Vec<String> {
        let mine = self.folder.display().to_string();
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|l| l.contains(&mine)).collect()
    }

    fn left_files(&self) -> Vec<PathBuf> {
        fs::read_dir(self.folder.join("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_signal_ends_it_without_leftovers() {
    for signal in ["-INT", "-TERM"] {
        let mut stage = Stage::start(signal, r#"exec -a "$0" sleep 1000"#, "echo \"said $3\"");
        stage.await_output("heartbeat accepted host=stand-in");
        assert!(stage.left_running().len() >= 3, "manager, bus and daemon run: {:?}", stage.left_running());
        stage.signal(signal);
        assert_eq!(stage.ended(), Some(0), "{}", stage.output());
        let output = stage.output();
        for part in ["said status", "said gpus", "... and 6 more", "nothing is left running"] {
            assert!(output.contains(part), "no {part:?} in\n{output}");
        }
        assert_eq!(stage.left_running(), Vec::<String>::new());
        assert_eq!(stage.left_files(), Vec::<PathBuf>::new());
        assert!(Path::new(&stage.folder).join("out/gpuhostd.log").exists());
    }
}

#[test]
fn a_daemon_that_ends_is_told_with_its_log() {
    let mut stage = Stage::start("dead", "echo the cable is out; exit 3", "exit 8");
    assert_eq!(stage.ended(), Some(1), "{}", stage.output());
    let output = stage.output();
    assert!(output.contains("ended before it was ready") && output.contains("the cable is out"), "{output}");
    assert_eq!(stage.left_running(), Vec::<String>::new());
    assert_eq!(stage.left_files(), Vec::<PathBuf>::new());
}

#[test]
fn a_killed_script_takes_its_programs_with_it() {
    let mut stage = Stage::start("killed", r#"exec -a "$0" sleep 1000"#, "true");
    stage.await_output("heartbeat accepted host=stand-in");
    stage.signal("-KILL");
    assert_eq!(stage.ended(), None);
    let begin = Instant::now();
    while !stage.left_running().is_empty() {
        assert!(begin.elapsed() < PATIENCE, "still running: {:?}", stage.left_running());
        std::thread::sleep(Duration::from_millis(20));
    }
}
