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
    let program = world.copied("gpuhostd", "home", 0o700, 0o755);
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
        assert_eq!(read(&process, "comm"), "gpuhostd\n");
        let line = read(&process, "cmdline");
        assert!(line.starts_with(&format!("{}\0", program.display())), "{line:?}");
    }
}

#[test]
fn an_executable_that_the_front_may_not_start_is_named_with_its_remedy() {
    if !we_are_root() {
        println!("SKIPPED: only root can become another user");
        return;
    }
    let world = World::new();
    let program = world.copied("gpuhostd", "home", 0o755, 0o700);
    let mut command = Command::new(&program);
    command.args(["--with-hands", "--user", "nobody", "--bus", "none", "--config", "/dev/null"]);
    command.arg("--state").arg(world.path().join("state")).arg("--run").arg(world.path().join("run"));
    let output = command.output().expect("gpuhostd");
    let said = String::from_utf8_lossy(&output.stderr);
    let remedy = format!("user nobody may not execute {0}; allow it with `chmod a+rx {0}`", program.display());
    assert!(!output.status.success() && said.contains(&remedy), "{said}");
}
