//! The stand-ins of NVIDIA's containers do on each engine what the real ones are known for.

use docker_engines::stand_in::{self, Driver, Toolkit, UUID};
use docker_engines::{Engine, Image, Options, releases, until};
use std::fs;
use std::path::Path;

const RUNTIME: &str = env!("CARGO_BIN_EXE_nvidia-container-runtime");
const NVIDIA: &str = "/run/nvidia/validations/.driver-daemons-status";

fn start_driver(engine: &Engine, name: &str, image: &str, environment: &str) {
    engine.docker(&[
        "run",
        "--detach",
        "--name",
        name,
        "--privileged",
        "--pid=host",
        "--network=none",
        "--env",
        environment,
        "--volume=/run/nvidia:/run/nvidia:rshared",
        image,
    ]);
}

fn is_ready(engine: &Engine) -> Option<()> {
    (fs::read_to_string(engine.path(NVIDIA)).ok()?.trim() == "Ready").then_some(())
}

fn exited(engine: &Engine, name: &str) -> i64 {
    until("the container to exit", || {
        let state = engine.inspect(name)["State"].clone();
        (state["Status"] == "exited").then(|| state["ExitCode"].as_i64().expect("a number"))
    })
}

#[test]
#[ignore = "make test-docker runs it"]
fn a_driver_container_installs_refuses_while_it_is_used_and_outlives_a_kill() {
    for release in releases() {
        let engine = Engine::start(release);
        stand_in::driver("580.126.16", Driver::Sound).import(&engine, "driver:1");
        start_driver(&engine, "first", "driver:1", "DRIVER_CONFIG_DIGEST=1");
        until("the driver", || is_ready(&engine));
        let library = engine.path("/run/nvidia/driver/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.126.16");
        assert!(library.exists(), "{}", library.display());
        assert!(engine.docker(&["exec", "first", "nvidia-smi", "-q", "-x"]).contains("<driver_version>580.126.16<"));

        // In use: it does not unload, until Docker kills it; its mount and its module stay.
        fs::write(engine.path("/run/nvidia/.module/refcnt"), "3\n").unwrap();
        engine.docker(&["stop", "--time", "1", "first"]);
        assert_eq!(exited(&engine, "first"), 137, "{release}");
        assert!(library.exists() && engine.docker(&["logs", "first"]).contains("driver is in use"));

        // With another digest it fails at once, with the same it finds its modules again.
        start_driver(&engine, "other", "driver:1", "DRIVER_CONFIG_DIGEST=2");
        assert_eq!(exited(&engine, "other"), 1, "{release}");
        start_driver(&engine, "same", "driver:1", "DRIVER_CONFIG_DIGEST=1");
        until("the driver again", || is_ready(&engine));
        fs::write(engine.path("/run/nvidia/.module/refcnt"), "0\n").unwrap();
        engine.docker(&["stop", "same"]);
        assert_eq!(exited(&engine, "same"), 0, "{release}");
        assert!(!library.exists() && !engine.path("/run/nvidia/.module").exists(), "{release}");
    }
}

#[test]
#[ignore = "make test-docker runs it"]
fn a_toolkit_container_installs_programs_that_outlive_it_and_edits_what_it_is_told() {
    for release in releases() {
        let engine = Engine::start(release);
        let volume = "--volume=/usr/local/nvidia:/usr/local/nvidia";
        for (version, leaves) in [("1.17.8", false), ("1.19.1", true)] {
            stand_in::toolkit(version, Toolkit::Sound, Path::new(RUNTIME)).import(&engine, "toolkit:1");
            engine.docker(&[
                "run",
                "--detach",
                "--name",
                version,
                "--privileged",
                "--pid=host",
                "--network=none",
                volume,
                "--volume=/run/nvidia:/run/nvidia",
                "--env=NO_RUNTIME_CONFIG=true",
                "--env=NVIDIA_RUNTIME_SET_AS_DEFAULT=false",
                "--env=RUNTIME_CONFIG=/run/nvidia/scratch.json",
                "--env=RUNTIME_RESTART_MODE=none",
                "toolkit:1",
            ]);
            until("the toolkit", || engine.docker(&["logs", version]).contains("Waiting for signal").then_some(()));
            let scratch = fs::read_to_string(engine.path("/run/nvidia/scratch.json"));
            assert_eq!(scratch.is_err(), leaves, "{release}, {version}: {scratch:?}");
            engine.docker(&["stop", version]);
            let _old = fs::remove_file(engine.path("/run/nvidia/scratch.json"));
        }
        assert!(!engine.path("/run/nvidia/.docker-was-reloaded").exists());
        assert!(engine.path("/usr/local/nvidia/toolkit/nvidia-container-runtime").exists());
        assert!(!Path::new("/usr/local/nvidia/toolkit/.config/devices").exists(), "only there");
    }
}

#[test]
#[ignore = "make test-docker runs it"]
fn the_runtime_gives_what_is_asked_by_any_name_and_nothing_unknown() {
    for release in releases() {
        let devices = tempfile::NamedTempFile::new().unwrap();
        fs::write(devices.path(), format!("0 {UUID} /dev/null\n")).unwrap();
        let wrapper = tempfile::TempDir::new().unwrap();
        let program = wrapper.path().join("nvidia-container-runtime");
        fs::write(
            &program,
            format!("#!/bin/sh\nSTAND_IN_DEVICES={} exec {RUNTIME} \"$@\"\n", devices.path().display()),
        )
        .unwrap();
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let config = format!(r#"{{"runtimes": {{"nvidia": {{"path": "{}"}}}}}}"#, program.display());
        let engine = Engine::start_with(release, Options { config: config.into_bytes(), ..Options::default() });
        Image::new().import(&engine, "base:1");
        let run = |more: &[&str]| {
            let mut arguments = vec!["run", "--rm", "--runtime=nvidia", "--network=none"];
            arguments.extend(more);
            arguments.extend(["base:1", "sh", "-c", "echo $NVIDIA_VISIBLE_DEVICES; ls /dev"]);
            engine.try_docker(&arguments)
        };
        for visible in ["all", UUID, " 0 ,", "nvidia.com/gpu=0"] {
            let ran = run(&["--env", &format!("NVIDIA_VISIBLE_DEVICES={visible}")]);
            let said = String::from_utf8_lossy(&ran.stdout).into_owned();
            assert!(
                said.starts_with("void\n") && said.contains("nvidia0"),
                "{release}, {visible:?}: {said} {}",
                String::from_utf8_lossy(&ran.stderr)
            );
        }
        let none = String::from_utf8_lossy(&run(&["--env=NVIDIA_VISIBLE_DEVICES=void"]).stdout).into_owned();
        assert!(!none.contains("nvidia0"), "{release}: {none}");
        let unknown = run(&["--env=NVIDIA_VISIBLE_DEVICES=GPU-00000000-0000-0000-0000-000000000000"]);
        assert!(!unknown.status.success());
        let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
        assert!(said.contains("unresolvable CDI devices"), "{release}: {said}");
    }
}
