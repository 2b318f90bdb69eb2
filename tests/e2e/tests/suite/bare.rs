//! The daemon with nothing around it: no bus, no manager, no Docker, no driver, no /sys at all.

use e2e::bus::Bus;
use e2e::daemon::{Daemon, Start};
use e2e::wait::{self, PATIENCE};
use e2e::world::{World, executable};
use nix::sys::signal::Signal;

#[test]
fn it_starts_with_an_empty_sys_and_says_so() {
    let world = World::new();
    let tree = world.path().join("nothing");
    std::fs::create_dir_all(tree.join("sys")).expect("folder");
    let bus = Bus::start(world.path()).expect("a bus");
    let config = "[docker]\nsocket = '/nonexistent/docker.sock'\n".to_owned();
    let daemon =
        Daemon::start(&world, &Start { bus: Some(bus.address.clone()), tree: Some(tree), config, ..Start::default() });
    let conditions = wait::until("conditions", PATIENCE, || {
        let status = world.ctl_json(&bus.address, &["status"]);
        let kinds: Vec<String> =
            status["Conditions"].as_array()?.iter().filter_map(|c| c["Type"].as_str().map(str::to_owned)).collect();
        kinds.contains(&"docker_unavailable".to_owned()).then_some(kinds)
    });
    assert!(conditions.contains(&"pci_scan_failed".to_owned()), "{conditions:?}");
    let rose = "condition docker_unavailable holds (absent): Docker does not answer: Docker (/nonexistent/docker.sock) was not found";
    wait::until("the condition in the log", PATIENCE, || daemon.log().contains(rose).then_some(()));
}

#[test]
fn it_needs_no_bus_and_ends_before_its_launcher_would_kill_it() {
    let world = World::new();
    let mut daemon = Daemon::start(&world, &Start::default());
    let (status, took) = daemon.stop();
    assert!(status.success(), "{status} after {took:?}\n{}", daemon.log());
}

#[test]
fn leaving_says_what_came_of_it() {
    let world = World::new();
    let bus = Bus::start(world.path()).expect("a bus");
    let daemon = Daemon::start(&world, &Start { bus: Some(bus.address.clone()), ..Start::default() });
    let left = world.ctl(&bus.address, &["leave"]);
    let said = String::from_utf8_lossy(&left.stdout).into_owned();
    assert!(
        left.status.success() && said.starts_with("This host was not enrolled: there was no manager to leave"),
        "{left:?}"
    );
    wait::until("the job in the log", PATIENCE, || {
        daemon.log().contains("ended: leave done: this host was not enrolled").then_some(())
    });
    // A job that failed stands out, and says why.
    let token = world.path().join("token");
    std::fs::write(&token, "one-use").expect("token");
    let enrol = ["enroll", "https://127.0.0.1:9", "--token-file", token.to_str().expect("UTF-8")];
    assert_eq!(world.ctl(&bus.address, &enrol).status.code(), Some(8));
    let failed = wait::until("the job in the log", PATIENCE, || {
        daemon.log().lines().find(|line| line.contains("ended: enrol unavailable: ")).map(str::to_owned)
    });
    assert!(failed.contains("WARN") && failed.contains("127.0.0.1:9"), "{failed}");
}

#[test]
fn a_bus_that_comes_late_is_served() {
    let world = World::new();
    let address = format!("unix:path={}", world.path().join("bus.sock").display());
    let _daemon = Daemon::start(&world, &Start { bus: Some(address.clone()), ..Start::default() });
    let bus = Bus::start(world.path()).expect("a bus");
    wait::until("the name on the late bus", PATIENCE, || {
        world.ctl(&bus.address, &["status"]).status.success().then_some(())
    });
}

/// The message of the condition `config_invalid`, while it stands.
fn config_invalid(world: &World, bus: &Bus) -> Option<String> {
    let status = world.ctl_json(&bus.address, &["status"]);
    let found = status["Conditions"].as_array()?.iter().find(|one| one["Type"] == "config_invalid")?;
    found["Message"].as_str().map(str::to_owned)
}

#[test]
fn wrong_files_stop_neither_the_daemon_nor_its_hands_and_are_told_until_they_are_right() {
    let world = World::new();
    let tree = world.host_tree("no-iommu");
    let bus = Bus::start(world.path()).expect("a bus");
    let start = |config: &str| {
        let config = config.to_owned();
        let start = Start { bus: Some(bus.address.clone()), tree: Some(tree.clone()), config, ..Start::default() };
        Daemon::start(&world, &start)
    };
    let told = || config_invalid(&world, &bus);
    let uuid = || world.ctl_json(&bus.address, &["gpus"])[0]["Uuid"].as_str().map(str::to_owned);
    let mut daemon = start("[agent]\nsample_interval = 5\n");
    let first = wait::until("the condition", PATIENCE, told);
    assert!(
        first.contains("config.toml:2:1: agent.sample_interval is not known; did you mean sample_interval_s?"),
        "{first}"
    );
    assert!(first.contains("the defaults are in force (no earlier settings are saved)"), "{first}");
    // The hand goes by what is right: the library of this simulated host is found all the same.
    wait::until("driver facts", PATIENCE, uuid);
    let file = world.path().join("config.toml");
    let right =
        std::fs::read_to_string(&file).expect("configuration").replace("sample_interval ", "sample_interval_s ");
    std::fs::write(&file, &right).expect("configuration");
    daemon.signal(Signal::SIGHUP);
    wait::until("the end of the condition", PATIENCE, || told().is_none().then_some(()));
    wait::until("the end in the log", PATIENCE, || {
        daemon.log().contains("condition config_invalid is over after").then_some(())
    });
    // Whatever stands there is no reason to wait.
    std::fs::remove_file(&file).expect("removed");
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    daemon.signal(Signal::SIGHUP);
    let pipe = wait::until("the condition", PATIENCE, told);
    assert!(pipe.contains("config.toml: is a named pipe") && pipe.contains("from before the reload"), "{pipe}");
    std::fs::remove_file(&file).expect("removed");
    assert!(daemon.stop().0.success(), "{}", daemon.log());
    let daemon = start("[agent]\nsample_interval = 5\n");
    let again = wait::until("the condition", PATIENCE, told);
    assert!(again.contains("the last valid settings, of "), "{again}");
    assert!(daemon.log().contains("the configuration is invalid, and the last valid settings"), "{}", daemon.log());
}

#[test]
fn a_reload_with_a_wrong_file_keeps_the_old_settings() {
    let world = World::new();
    let mut daemon = Daemon::start(&world, &Start::default());
    std::fs::write(world.path().join("config.toml"), "[manager]\nurl = 1\n").expect("configuration");
    daemon.signal(Signal::SIGHUP);
    let said =
        wait::until("the reload to end", PATIENCE, || daemon.notification().filter(|text| text.contains("READY=1")));
    assert!(!said.is_empty());
    wait::until("the fault in the log", PATIENCE, || {
        daemon.log().contains("config.toml:2:1: manager.url").then_some(())
    });
    let (status, _) = daemon.stop();
    assert!(status.success());
}

#[test]
fn a_hand_that_is_killed_comes_back_with_its_powers() {
    let world = World::new();
    let tree = world.host_tree("no-iommu");
    let bus = Bus::start(world.path()).expect("a bus");
    let start = Start { bus: Some(bus.address.clone()), tree: Some(tree), ..Start::default() };
    let daemon = Daemon::start(&world, &start);
    let uuid = || world.ctl_json(&bus.address, &["gpus"])[0]["Uuid"].as_str().map(str::to_owned);
    let before = wait::until("driver facts", PATIENCE, uuid);
    let marker = format!("gpuhostd-host --front-uid .*{}", world.path().display());
    let killed = std::process::Command::new("pkill").args(["-KILL", "-f", &marker]).status().expect("pkill");
    assert!(killed.success(), "there was no host hand");
    let rescan = || world.ctl(&bus.address, &["rescan"]).status.success().then(uuid).flatten();
    assert_eq!(wait::until("the hand to come back", PATIENCE, rescan), before, "{}", daemon.log());
}

#[test]
fn a_hand_that_ended_of_itself_comes_back_for_the_next_request_and_not_before() {
    let world = World::new();
    let tree = world.host_tree("no-iommu");
    let bus = Bus::start(world.path()).expect("a bus");
    let start = Start { bus: Some(bus.address.clone()), tree: Some(tree), ..Start::default() };
    let daemon = Daemon::start(&world, &start);
    let uuid = || world.ctl_json(&bus.address, &["gpus"])[0]["Uuid"].as_str().map(str::to_owned);
    let before = wait::until("driver facts", PATIENCE, uuid);
    let of = |hand: &str| format!("gpuhostd-{hand} --front-uid .*{}", world.path().display());
    let is_there = |hand: &str| {
        std::process::Command::new("pgrep").args(["-f", &of(hand)]).output().expect("pgrep").status.success()
    };
    for hand in ["holders", "host"] {
        // As at the end of its idle time, it ends with success.
        std::process::Command::new("pkill").args(["-TERM", "-f", &of(hand)]).status().expect("pkill");
        wait::until("the hand to end", PATIENCE, || (!is_there(hand)).then_some(()));
    }
    let rescan = || world.ctl(&bus.address, &["rescan"]).status.success().then(uuid).flatten();
    assert_eq!(wait::until("the host hand to come back", PATIENCE, rescan), before, "{}", daemon.log());
    assert!(is_there("host") && !is_there("holders"), "{}", daemon.log());
    assert!(!daemon.log().contains("it is restarted"), "{}", daemon.log());
}

#[test]
fn no_process_is_left_when_the_daemon_is_killed() {
    let world = World::new();
    let daemon = Daemon::start(&world, &Start::default());
    let marker = world.path().join("run").display().to_string();
    let mine = || {
        let all = std::process::Command::new("pgrep").args(["-f", &marker]).output().expect("pgrep");
        String::from_utf8_lossy(&all.stdout).lines().count()
    };
    assert!(mine() >= 2, "the front and its hands are processes of their own");
    daemon.signal(Signal::SIGKILL);
    wait::until("all of them to end", PATIENCE, || (mine() == 0).then_some(()));
}

#[test]
fn a_second_daemon_is_refused_and_the_first_does_not_notice() {
    let world = World::new();
    let tree = world.host_tree("no-iommu");
    let bus = Bus::start(world.path()).expect("a bus");
    let start = Start { bus: Some(bus.address.clone()), tree: Some(tree), ..Start::default() };
    let mut daemon = Daemon::start(&world, &start);
    let uuid = || world.ctl_json(&bus.address, &["gpus"])[0]["Uuid"].as_str().map(str::to_owned);
    wait::until("driver facts", PATIENCE, uuid);
    let at = |name: &str| world.path().join(name).display().to_string();
    let second = |state: &str, run: &str, more: &[&str]| {
        let mut command = std::process::Command::new(executable("gpuhostd"));
        command.args(["--bus", "none", "--config", &at("config.toml"), "--state", state, "--run", run]).args(more);
        let ended = command.output().expect("gpuhostd");
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        String::from_utf8_lossy(&ended.stderr).into_owned()
    };
    let launch = ["--with-hands", "--user", "nobody"];
    let said = second(&at("state"), &at("run"), &launch);
    let holder = format!("another gpuhostd uses {} (process {}, gpuhostd-launch)", at("state"), daemon.pid());
    assert!(said.contains(&holder), "{said}");
    let said = second(&at("other"), &at("run"), &launch);
    assert!(said.contains("host.sock already has a server") && said.contains("systemctl stop"), "{said}");
    assert!(!world.path().join("other").exists(), "nothing is made for a daemon that does not start");
    assert!(world.ctl(&bus.address, &["rescan"]).status.success());
    assert!(uuid().is_some(), "the hands' sockets are the first daemon's");
    assert!(daemon.stop().0.success());
    // What is left of it is no obstacle.
    let _again = Daemon::start(&world, &start);
}
