//! The daemon with hands where the user that its front becomes has no way in: a home that is closed to others, a file that is.

use e2e::bus::Bus;
use e2e::daemon::{Daemon, Start};
use e2e::world::World;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

fn we_are_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|ours| ours.uid() == 0)
}

#[test]
fn it_starts_from_a_folder_that_the_front_may_not_enter_and_has_its_name() {
    let world = World::new();
    let program = world.copied_with_hands("home", 0o700, 0o755);
    let bus = Bus::start(world.path()).expect("a bus");
    let start = Start { bus: Some(bus.address.clone()), program: Some(program.clone()), ..Start::default() };
    let daemon = Daemon::start(&world, &start);
    assert!(world.ctl(&bus.address, &["status"]).status.success(), "{}", daemon.log());
    let parent = format!("PPid:\t{}\n", daemon.pid());
    let read = |path: &Path, name| std::fs::read_to_string(path.join(name)).unwrap_or_default();
    let processes = std::fs::read_dir("/proc").expect("/proc").map(|entry| entry.expect("an entry").path());
    let started: Vec<_> = processes.filter(|process| read(process, "status").contains(&parent)).collect();
    assert_eq!(started.len(), 4, "the front and three hands: {started:?}");
    for process in started {
        let line = read(&process, "cmdline");
        let started = line.split('\0').next().unwrap_or_default();
        let name = started.strip_prefix(&format!("{}/", program.parent().expect("a folder").display()));
        let name = name.unwrap_or_else(|| panic!("{line:?}"));
        assert!(name == "gpuhostd" || name.starts_with("gpuhostd-"), "{line:?}");
        // The kernel keeps fifteen bytes of a name.
        assert_eq!(read(&process, "comm"), format!("{}\n", name.get(..15).unwrap_or(name)));
    }
}

/// Starts it with these places, expects that it refuses, and returns what it says.
fn refused(program: &Path, config: &Path, state: &Path, run: &Path) -> String {
    let mut command = Command::new(program);
    command.args(["--with-hands", "--user", "nobody", "--bus", "none", "--config"]).arg(config);
    let output = command.arg("--state").arg(state).arg("--run").arg(run).output().expect("gpuhostd");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_the_front_may_not_start_read_or_enter_is_named_with_its_remedy() {
    if !we_are_root() {
        println!("SKIPPED: only root can become another user");
        return;
    }
    let world = World::new();
    let program = world.copied_with_hands("open", 0o755, 0o700);
    let (nothing, open) = (Path::new("/dev/null"), world.path().join("state"));
    let said = refused(&program, nothing, &open, &world.path().join("run"));
    let remedy = format!("user nobody may not execute {0}; allow it with `chmod a+rx {0}`", program.display());
    assert!(said.contains(&remedy), "{said}");

    let program = world.copied_with_hands("home", 0o700, 0o755);
    let home = world.path().join("home");
    let config = home.join("config.toml");
    std::fs::write(&config, "").expect("a file");
    let below = home.join("below");
    let closed = format!("may not enter {}; choose a place that this user can access", home.display());
    for (config, state, run) in [(&*config, &open, &open), (nothing, &below, &open), (nothing, &open, &below)] {
        let said = refused(&program, config, state, run);
        assert!(said.contains(&closed) && !said.contains("ready"), "{said}");
    }
    assert!(!below.exists(), "it refused before it made anything");
    std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("mode");
    std::fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("mode");
    let said = refused(&program, &config, &open, &open);
    assert!(said.contains(&format!("may not read {};", config.display())), "{said}");
}
