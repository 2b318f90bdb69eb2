//! Our CDI specification on a real tree: a generator that works, fails, hangs, floods or lies, what is written and what stays; and the
//! write itself, killed before each of its system calls.
//!
//! This program is its own child, so it has no test harness: with `put FILE` it writes once.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up has failed"
)]

use acts::cdi::{CdiKeeper, CdiPlaces};
use model::cdi::{CdiGpu, CdiHost, CdiReader, CdiStep};
use model::nvidia_container::DriverRootKind;
use model::policy::Policy;
use model::ports::ActError;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;
use tempfile::TempDir;

const UUID: &str = "GPU-11111111-aaaa-4000-8000-000000000001";
const DRIVER: &str = "580.126.16";

type Test = fn();

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [word, file] = args.as_slice()
        && word == "put"
    {
        host::front::put_cdi_file(Path::new(file), NEW.as_bytes()).unwrap();
        return ExitCode::SUCCESS;
    }
    let tests: [(&str, Test); 9] = [
        ("a_generated_file_is_checked_and_written_once", a_generated_file_is_checked_and_written_once),
        ("a_generator_is_asked_with_what_it_needs", a_generator_is_asked_with_what_it_needs),
        ("a_generation_that_fails_leaves_the_old_file", a_generation_that_fails_leaves_the_old_file),
        ("what_does_not_fit_the_host_is_not_written", what_does_not_fit_the_host_is_not_written),
        ("no_name_is_written_that_another_file_has", no_name_is_written_that_another_file_has),
        ("the_file_is_removed_and_nothing_else", the_file_is_removed_and_nothing_else),
        ("the_policy_and_the_generator_are_checked", the_policy_and_the_generator_are_checked),
        ("a_look_shows_what_is_stale_and_tells_no_secret", a_look_shows_what_is_stale_and_tells_no_secret),
        (
            "a_write_that_is_killed_leaves_the_old_file_or_the_new",
            a_write_that_is_killed_leaves_the_old_file_or_the_new,
        ),
    ];
    let wanted = args.iter().find(|arg| !arg.starts_with('-'));
    for (name, test) in tests {
        if wanted.is_none_or(|wanted| name.contains(wanted.as_str())) {
            println!("test {name} ...");
            test();
        }
    }
    println!("test result: ok");
    ExitCode::SUCCESS
}

/// A host with one GPU, a driver and a toolkit that is a script of the test.
struct Host(TempDir);

impl Host {
    fn new() -> Self {
        let host = Self(TempDir::new().unwrap());
        for directory in ["run/cdi", "etc/cdi", "toolkit", "lib", "proc", "dev"] {
            fs::create_dir_all(host.path(directory)).unwrap();
        }
        host.put(&format!("lib/libcuda.so.{DRIVER}"), "");
        host.put("lib/nvidia-cdi-hook", "");
        host.put("proc/devices", "Character devices:\n195 nvidia\n");
        host.generates(&host.spec(&[("0", 0), (UUID, 0)]).to_string());
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        // What is below /tmp is not looked at: the unit of the hand has one of its own.
        self.0.path().join(path)
    }

    fn text(&self, path: &str) -> String {
        self.path(path).display().to_string()
    }

    fn put(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    /// What nvidia-ctk writes for GPUs with these names and minor numbers.
    fn spec(&self, gpus: &[(&str, u32)]) -> Value {
        let device = |(name, minor): &(&str, u32)| {
            let node = json!({ "path": format!("/dev/nvidia{minor}"), "hostPath": format!("/dev/nvidia{minor}") });
            // The device file of another machine: what this one has is not the test's.
            let edits = if Path::new("/dev/nvidia0").exists() {
                json!({ "deviceNodes": [node] })
            } else {
                json!({ "env": ["A=B"] })
            };
            json!({ "name": name, "containerEdits": edits })
        };
        let library = self.text(&format!("lib/libcuda.so.{DRIVER}"));
        json!({
            "cdiVersion": "1.0.0",
            "kind": "nvidia.com/gpu",
            "devices": gpus.iter().map(device).collect::<Vec<_>>(),
            "containerEdits": {
                "hooks": [{ "hookName": "createContainer", "path": self.text("lib/nvidia-cdi-hook") }],
                "mounts": [{ "hostPath": library, "containerPath": library }],
            },
        })
    }

    fn script(&self, body: &str) {
        let path = self.path("toolkit/nvidia-ctk");
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The generator prints this and a remark on standard error.
    fn generates(&self, output: &str) {
        self.put("output", output);
        self.script(&format!("echo 'time=x level=info msg=\"Auto-detected mode\"' >&2; cat {}", self.text("output")));
    }

    fn keeper(&self) -> CdiKeeper {
        CdiKeeper::new(CdiPlaces {
            ours: self.path("run/cdi/gpuhostd-nvidia.json"),
            generators: vec![self.path("none/nvidia-ctk"), self.path("toolkit/nvidia-ctk")],
            generate_within: Duration::from_secs(60),
            proc: self.path("proc"),
            dev: self.path("dev"),
        })
    }

    fn reader(&self) -> CdiReader {
        CdiReader {
            directories: vec![self.text("etc/cdi"), self.text("run/cdi")],
            docker_version: Some("26.1.5".to_owned()),
        }
    }

    fn step(&self) -> CdiStep {
        let gpu = CdiGpu {
            address: "0000:41:00.0".parse().unwrap(),
            uuid: Some(UUID.to_owned()),
            index: Some(0),
            minor: Some(0),
            mig: None,
        };
        let host = CdiHost { driver: Some(DRIVER.to_owned()), gpus: vec![gpu] };
        CdiStep::Generate { driver_root: DriverRootKind::Host, reader: self.reader(), host }
    }

    fn generate(&self) -> Result<(), ActError> {
        act(&self.keeper(), self.step())
    }

    fn ours(&self) -> Option<String> {
        fs::read_to_string(self.path("run/cdi/gpuhostd-nvidia.json")).ok()
    }

    /// The names in our directory.
    fn listed(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path("run/cdi"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn act(keeper: &CdiKeeper, step: CdiStep) -> Result<(), ActError> {
    run(keeper.act(step, Policy::default()))
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn a_generated_file_is_checked_and_written_once() {
    let host = Host::new();
    fs::remove_dir(host.path("run/cdi")).unwrap();
    host.generate().unwrap();
    let file = host.path("run/cdi/gpuhostd-nvidia.json");
    let written: Value = serde_json::from_str(&host.ours().unwrap()).unwrap();
    let mut expected = host.spec(&[("0", 0), (UUID, 0)]);
    expected["cdiVersion"] = json!("0.5.0");
    assert_eq!(written, expected);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o644, 0o755));
    assert_eq!(host.listed(), ["gpuhostd-nvidia.json"], "no unfinished copy is left");
    let inode = fs::metadata(&file).unwrap().ino();
    host.generate().unwrap();
    assert_eq!(fs::metadata(&file).unwrap().ino(), inode, "nothing has changed, so nothing is written");
    host.generates(&host.spec(&[(UUID, 0)]).to_string());
    host.generate().unwrap();
    assert_ne!(fs::metadata(&file).unwrap().ino(), inode);
    assert!(!host.ours().unwrap().contains("\"name\":\"0\""));
}

fn a_generator_is_asked_with_what_it_needs() {
    let host = Host::new();
    host.put("toolkit/nvidia-cdi-hook", "");
    host.script(&format!("echo \"$@\" > {}; env >> {0}; cat {}", host.text("asked"), host.text("output")));
    host.generate().unwrap();
    let asked = fs::read_to_string(host.path("asked")).unwrap();
    let expected = format!(
        "cdi generate --format=json --device-name-strategy=index --device-name-strategy=uuid --driver-root=/ --dev-root=/ \
         --nvidia-cdi-hook-path={}\n",
        host.text("toolkit/nvidia-cdi-hook")
    );
    assert!(asked.starts_with(&expected), "{asked}");
    assert!(!asked.contains("NVIDIA_CTK"), "its environment is ours: {asked}");
    assert!(!asked.contains("--output"), "it writes no file: {asked}");
}

fn a_generation_that_fails_leaves_the_old_file() {
    let host = Host::new();
    host.generate().unwrap();
    let old = host.ours();
    let cut = host.spec(&[("0", 0)]).to_string();
    host.put("cut", &cut[..cut.len() / 2]);
    let cat = |file: &str| format!("cat {}", host.text(file));
    for (script, said) in [
        (
            "echo 'ERROR: failed to initialize NVML: Driver/library version mismatch' >&2; exit 1".to_owned(),
            "version mismatch",
        ),
        ("kill -SEGV $$".to_owned(), "signal: 11"),
        (cat("cut"), "it is not JSON"),
        (format!("{}; {0}", cat("output")), "2 documents"),
        ("echo '{}'".to_owned(), "0 documents"),
        ("echo 'not json'".to_owned(), "it is not JSON"),
        ("exec yes 0123456789".to_owned(), "it wrote more than"),
        ("exec yes 0123456789 >&2".to_owned(), "it wrote more than"),
    ] {
        host.script(&script);
        let fault = host.generate().unwrap_err().to_string();
        assert!(fault.contains(said) && fault.contains("generate"), "{script}: {fault}");
        assert_eq!(host.ours(), old, "{script}");
        assert_eq!(host.listed(), ["gpuhostd-nvidia.json"], "{script}");
    }
    // One that hangs is ended at its deadline, with what it has started.
    host.script("sleep 100000 & exec sleep 100000");
    let mut places = CdiPlaces::of_this_host();
    places.generators = vec![host.path("toolkit/nvidia-ctk")];
    places.generate_within = Duration::from_millis(200);
    places.ours = host.path("run/cdi/gpuhostd-nvidia.json");
    let keeper = CdiKeeper::new(places);
    let fault = act(&keeper, host.step()).unwrap_err().to_string();
    assert!(fault.contains("did not exit within 200 ms") && !keeper.hangs(), "{fault}");
    assert_eq!(host.ours(), old);
    // Something else than a file has the name.
    host.generates(&host.spec(&[(UUID, 0)]).to_string());
    let file = host.path("run/cdi/gpuhostd-nvidia.json");
    fs::rename(&file, host.path("moved")).unwrap();
    symlink(host.path("moved"), &file).unwrap();
    let fault = host.generate().unwrap_err().to_string();
    assert!(fault.contains("is a link"), "{fault}");
    assert_eq!(fs::read_to_string(host.path("moved")).ok(), old, "what it leads to is not written");
}

fn what_does_not_fit_the_host_is_not_written() {
    let host = Host::new();
    let whole = host.spec(&[("0", 0), (UUID, 0)]).to_string();
    let other = whole.replace(DRIVER, "575.64.03");
    for (output, said) in [
        (other, "575.64.03"),
        (host.spec(&[("0", 0)]).to_string(), "no device GPU-11111111"),
        (host.spec(&[(UUID, 0), ("7", 0)]).to_string(), "device 7 is of no GPU"),
        (
            whole.replace("\"hooks\":", "\"netDevices\":[{\"hostInterfaceName\":\"a\",\"name\":\"b\"}],\"hooks\":"),
            "newer than",
        ),
    ] {
        host.generates(&output);
        match host.generate() {
            Err(fault) => assert!(!said.is_empty() && fault.to_string().contains(said), "{said}: {fault}"),
            Ok(()) => assert!(said.is_empty()),
        }
        if !said.is_empty() {
            assert_eq!(host.ours(), None, "{said}");
        } else {
            fs::remove_file(host.path("run/cdi/gpuhostd-nvidia.json")).unwrap();
        }
    }
}

fn no_name_is_written_that_another_file_has() {
    let host = Host::new();
    // In another directory the same name is no conflict: the later directory wins.
    host.put("etc/cdi/nvidia.yaml", &host.spec(&[("0", 0), (UUID, 0)]).to_string());
    host.generate().unwrap();
    assert!(host.ours().unwrap().contains("\"name\":\"0\""));
    host.put("run/cdi/nvidia.yaml", &host.spec(&[("0", 0)]).to_string());
    host.generate().unwrap();
    let ours = host.ours().unwrap();
    assert!(!ours.contains("\"name\":\"0\"") && ours.contains(UUID), "{ours}");
    // NVIDIA's own service comes later and defines all: ours goes.
    host.put("run/cdi/nvidia.yaml", &host.spec(&[("0", 0), (UUID, 0)]).to_string());
    host.generate().unwrap();
    assert_eq!(host.listed(), ["nvidia.yaml"]);
}

fn the_file_is_removed_and_nothing_else() {
    let host = Host::new();
    host.put("run/cdi/nvidia.yaml", "kind: x/y\n");
    host.generate().unwrap();
    for _ in 0..2 {
        act(&host.keeper(), CdiStep::Remove).unwrap();
        assert_eq!(host.listed(), ["nvidia.yaml"]);
    }
    fs::remove_dir_all(host.path("run/cdi")).unwrap();
    act(&host.keeper(), CdiStep::Remove).unwrap();
}

fn the_policy_and_the_generator_are_checked() {
    let host = Host::new();
    let fault = run(host.keeper().act(host.step(), Policy::strictest())).unwrap_err().to_string();
    assert!(fault.contains("host.nvidia.cdi is false") && host.ours().is_none(), "{fault}");
    fs::set_permissions(host.path("toolkit/nvidia-ctk"), fs::Permissions::from_mode(0o777)).unwrap();
    match host.generate() {
        Err(fault) => assert!(fault.to_string().contains("root does not start it"), "{fault}"),
        // Who is not root starts what it could start anyway.
        Ok(()) => assert!(!nix::unistd::geteuid().is_root()),
    }
    fs::remove_file(host.path("toolkit/nvidia-ctk")).unwrap();
    let fault = host.generate().unwrap_err().to_string();
    assert!(fault.contains("nvidia-ctk is not installed") && fault.contains("none/nvidia-ctk"), "{fault}");
}

fn a_look_shows_what_is_stale_and_tells_no_secret() {
    let host = Host::new();
    host.put("etc/cdi/old.json", &host.spec(&[(UUID, 0)]).to_string().replace("1.0.0", "0.5.0"));
    host.put("etc/cdi/new.json", &host.spec(&[("1", 0)]).to_string());
    host.put("etc/cdi/broken.yaml", "kind: nvidia.com/gpu\ndevices: {password: swordfish}\n");
    host.put("etc/cdi/secret.yaml", "swordfish\n");
    fs::set_permissions(host.path("etc/cdi/secret.yaml"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("old.json", host.path("etc/cdi/link.json")).unwrap();
    nix::unistd::mkfifo(&host.path("etc/cdi/pipe.json"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let look = run(host.keeper().look(host.reader())).unwrap();
    let names: Vec<&str> = look.files.iter().map(|file| file.path.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["broken.yaml", "link.json", "new.json", "old.json", "pipe.json", "secret.yaml"]);
    let broken: Vec<bool> = look.files.iter().map(|file| file.broken.is_some()).collect();
    assert_eq!(broken, [true, false, true, false, true, true]);
    assert!(!look.files[5].broken.as_ref().unwrap().contains("swordfish"), "{:?}", look.files[5]);
    assert_eq!(look.files[3].drivers, [DRIVER]);
    assert_eq!(look.generator, Some(host.text("toolkit/nvidia-ctk")));
    assert_eq!(look.links.majors.iter().copied().collect::<Vec<u64>>(), [195]);
    let none = CdiReader { directories: vec![host.text("none"), "relative".to_owned()], docker_version: None };
    let look = run(host.keeper().look(none)).unwrap();
    assert!(look.files.is_empty() && look.problems.is_empty(), "{look:?}");
}

const OLD: &str = "{\"old\": true}\n";
const NEW: &str = "{\"new\": true}\n";

/// strace kills the writer as it enters a system call: each that it makes, one run for one call.
fn a_write_that_is_killed_leaves_the_old_file_or_the_new() {
    assert!(Path::new("/usr/bin/strace").exists(), "this machine has no strace: tests/setup.sh test installs it");
    let host = Host::new();
    let file = host.text("run/cdi/gpuhostd-nvidia.json");
    let write = |options: &[&str]| {
        host.put("run/cdi/gpuhostd-nvidia.json", OLD);
        let mut strace = Command::new("/usr/bin/strace");
        strace.args(["-f", "-qq"]).args(options).arg(std::env::current_exe().unwrap()).args(["put", &file]);
        (strace.status().unwrap().success(), host.ours().unwrap())
    };
    let trace = host.text("trace");
    assert_eq!(write(&["-o", &trace]), (true, NEW.to_owned()));
    let (mut calls, mut seen) = (std::collections::BTreeMap::<String, u32>::new(), [0, 0]);
    for line in fs::read_to_string(&trace).unwrap().lines() {
        let call = line.split_once(' ').and_then(|(_, call)| call.trim_start().split_once('(')).map(|(name, _)| name);
        if let Some(name) = call
            .filter(|name| *name != "execve" && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
        {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    for (call, times) in &calls {
        for nth in 1..=*times {
            let (ended, found) = write(&["-o", "/dev/null", "-e", &format!("inject={call}:signal=SIGKILL:when={nth}")]);
            assert!([OLD, NEW].contains(&found.as_str()), "killed at {call} {nth}: {found:?}");
            assert!(!ended || found == NEW, "{call} {nth}");
            seen[usize::from(found == NEW)] += 1;
        }
    }
    println!(
        "  killed at each of {} system calls: {} times the old file, {} times the new",
        seen[0] + seen[1],
        seen[0],
        seen[1]
    );
    for call in ["openat", "write", "fchmod", "fsync", "unlinkat"] {
        assert!(calls.contains_key(call), "strace did not see {call}: {calls:?}");
    }
    assert!(seen[0] > 0 && seen[1] > 0, "before the rename the old file, behind it the new");
    assert_eq!(write(&["-o", "/dev/null"]).1, NEW);
    assert_eq!(
        host.listed(),
        ["gpuhostd-nvidia.json"],
        "the unfinished copy of a killed writer is gone with the next write"
    );
}
