//! The rig itself: engines beside each other, killed and started again, a registry, a relay, a full disk, and nothing left behind.

use docker_engines::{Behaviour, Engine, Image, Options, Registry, Relay, Release, Users, releases, until};
use nix::sys::signal::Signal;

#[test]
#[ignore = "make test-docker runs it"]
fn engines_run_beside_each_other_and_leave_nothing() {
    let engines: Vec<Engine> = releases().into_iter().map(Engine::start).collect();
    let folders: Vec<_> = engines.iter().map(|engine| engine.folder().to_owned()).collect();
    for engine in &engines {
        let version = engine.docker(&["version", "--format", "{{.Server.Version}}"]);
        assert!(version.starts_with(engine.release().name()), "{version}");
        Image::new().import(engine, "base:1");
        engine.docker(&["run", "--detach", "--name", "lasting", "--network=none", "base:1", "sleep", "1000"]);
        let said = engine.docker(&["run", "--rm", "--privileged", "--network=none", "base:1", "echo", "inside"]);
        assert_eq!(said, "inside");
    }
    for engine in &engines {
        assert_eq!(engine.docker(&["ps", "--format", "{{.Names}}"]), "lasting", "each has its own");
    }
    drop(engines);
    for folder in folders {
        assert!(!folder.exists(), "{}", folder.display());
        let name = folder.display().to_string();
        let of_it = |pid: &str| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&name))
        };
        let left: Vec<String> = std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name().display().to_string())
            .collect();
        let left: Vec<&String> = left.iter().filter(|pid| of_it(pid)).collect();
        assert!(left.is_empty(), "processes of {name}: {left:?}");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&name), "{mounts}");
    }
}

#[test]
#[ignore = "make test-docker runs it"]
fn an_engine_that_is_killed_finds_its_containers_again() {
    for release in releases() {
        let live_restore = Options { config: br#"{"live-restore": true}"#.to_vec(), ..Options::default() };
        let mut engine = Engine::start_with(release, live_restore);
        Image::new().import(&engine, "base:1");
        engine.docker(&["run", "--detach", "--name", "lasting", "--network=none", "base:1", "sleep", "1000"]);
        let before = engine.inspect("lasting")["State"]["Pid"].clone();
        engine.kill();
        assert!(!engine.ping());
        engine.start_again();
        assert_eq!(engine.inspect("lasting")["State"]["Pid"], before, "{release}");
        engine.signal(Signal::SIGSTOP);
        engine.signal(Signal::SIGCONT);
        until("it to answer again", || engine.ping().then_some(()));
    }
}

#[test]
#[ignore = "make test-docker runs it"]
fn a_registry_serves_by_digest_and_a_relay_cuts_it() {
    let registry = Registry::start(Users::All);
    let closed = Registry::start(Users::One);
    for release in releases() {
        let engine = Engine::start(release);
        Image::new().ballast(2_000_000, 7).import(&engine, "made:1");
        let digest = registry.push(&engine, "made:1", "stand-in/driver:1");
        engine.docker(&["pull", "--quiet", &digest]);

        // By itself Docker tries again five times, for a minute.
        let once = Options { arguments: vec!["--max-download-attempts=1".to_owned()], ..Options::default() };
        let other = Engine::start_with(release, once);
        let relay = Relay::start(registry.address(), Behaviour::Cut(100_000));
        let cut = digest.replace(registry.address(), relay.address());
        assert!(!other.try_docker(&["pull", &cut]).status.success(), "{release}: cut every time");
        relay.behave(Behaviour::Through);
        other.docker(&["pull", "--quiet", &cut]);

        let refused = other.try_docker(&["pull", &digest.replace(registry.address(), closed.address())]);
        assert!(!refused.status.success(), "{release}: it knows no user");
        other.docker(&["login", "--username", "gpu", "--password", "secret-of-the-registry", closed.address()]);
    }
}

#[test]
#[ignore = "make test-docker runs it"]
fn a_disk_can_be_full() {
    let registry = Registry::start(Users::All);
    let source = Engine::start(Release::V26_1);
    Image::new().ballast(40_000_000, 3).import(&source, "large:1");
    let digest = registry.push(&source, "large:1", "large:1");
    for release in releases() {
        let small = Engine::start_with(release, Options { data_mib: Some(30), ..Options::default() });
        let refused = small.try_docker(&["pull", &digest]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("no space left"), "{release}: {said}");
    }
}

#[test]
#[ignore = "make test-docker runs it"]
fn a_driver_folder_is_shared_with_the_namespace_of_the_engine_alone() {
    for release in releases() {
        let engine = Engine::start(release);
        Image::new().import(&engine, "base:1");
        let script = "mkdir /run/nvidia/driver && mount -o bind / /run/nvidia/driver";
        let volume = "--volume=/run/nvidia:/run/nvidia:shared";
        engine.docker(&["run", "--rm", "--privileged", "--network=none", volume, "base:1", "sh", "-c", script]);
        assert!(engine.path("/run/nvidia/driver/bin/busybox").exists(), "{release}: the mount outlives the container");
        let here = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!here.contains("/run/nvidia/driver"), "{release}: and is not seen outside");
    }
}
