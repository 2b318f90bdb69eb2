//! A file of this host is installed as Ansible does it, and the daemon makes the host so.

use e2e::bus::Bus;
use e2e::sim::SimDaemon;
use e2e::wait;
use e2e::world::World;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

struct Rig {
    world: World,
    bus: Bus,
    folder: PathBuf,
}

/// Status and output of a command.
type Ran = (Option<i32>, String);

impl Rig {
    fn new() -> Self {
        let world = World::new();
        let bus = Bus::start(world.path()).unwrap();
        let folder = world.path().join("desired.d");
        std::fs::create_dir(&folder).unwrap();
        Self { world, bus, folder }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let file = self.world.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    }

    fn ctl(&self, args: &[&str]) -> Ran {
        let ran = self.world.ctl(&self.bus.address, args);
        (ran.status.code(), String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap())
    }

    fn apply(&self, file: &str, more: &[&str]) -> Ran {
        let folder = self.folder.display().to_string();
        self.ctl(&[&["desired", "apply", file, "--directory", folder.as_str()], more].concat())
    }
}

#[test]
fn a_file_is_installed_once_and_the_host_becomes_what_it_wishes() {
    let rig = Rig::new();
    let _daemon = SimDaemon::start(&rig.world, &rig.bus.address, "hgx-h100");
    let file = rig.write("10-site.toml", "[agent]\nzone = 'ams-1'\nlabels = { rack = '7' }\n");
    let target = rig.folder.join("10-site.toml");
    let preview = rig.ctl(&["desired", "diff", &file]);
    assert!(preview.0 == Some(0) && preview.1.contains("set zone to ams-1"), "{preview:?}");
    let check = rig.apply(&file, &["--check", "--diff"]);
    assert!(check.0 == Some(3) && check.1.contains("+zone = 'ams-1'") && !target.exists(), "{check:?}");
    let done = rig.apply(&file, &[]);
    assert_eq!(done.0, Some(0), "{done:?}");
    assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    // The items are met one after the other: all of them are waited for.
    let view = wait::until("the zone and the label are set", wait::PATIENCE, || {
        let view = rig.world.ctl_json(&rig.bus.address, &["desired", "show"]);
        let items = view["Items"].as_array()?;
        (items.len() == 2 && items.iter().all(|item| item["State"] == "met")).then_some(view)
    });
    assert_eq!(view["Effective"]["Zone"], "ams-1");
    assert_eq!((&view["Source"], &view["Effective"]["Labels"]["rack"]), (&"local".into(), &"7".into()));
    assert!(rig.ctl(&["desired", "show"]).1.contains("2 of 2 items met"));
    assert_eq!(rig.ctl(&["desired", "diff"]), (Some(0), "This host is as it is wished.\n".to_owned()));
    for more in [&["--check"][..], &[]] {
        let again = rig.apply(&file, more);
        assert!(again.0 == Some(0) && again.1.contains("is the same already"), "{again:?}");
    }
    let before = target.metadata().unwrap().modified().unwrap();
    let json =
        rig.world.ctl_json(&rig.bus.address, &["desired", "apply", &file, "--directory", rig.folder.to_str().unwrap()]);
    assert_eq!((&json["changed"], target.metadata().unwrap().modified().unwrap()), (&false.into(), before));
}

#[test]
fn what_is_wrong_is_never_installed_and_a_link_is_never_replaced() {
    let rig = Rig::new();
    for (name, text, said) in [
        ("10-typo.toml", "[agent]\nzoen = 'a'\n", "this name is not known"),
        ("20-word.json", "{\"agent\": {\"log_level\": \"loud\"}}", "expected one of off"),
        ("30-document.json", "{\"epoch\": \"e\", \"revision\": 1}", "is a document of a manager"),
    ] {
        let ran = rig.apply(&rig.write(name, text), &[]);
        assert!(ran.0 == Some(1) && ran.1.contains(said), "{name}: {ran:?}");
    }
    let good = rig.write("40-site.toml", "[agent]\nzone = 'a'\n");
    assert_eq!(rig.apply(&good, &["--name", "site.conf"]).0, Some(2), "the daemon would not read it");
    assert_eq!(rig.apply(&good, &["--name", "site.json"]).0, Some(2), "it is not JSON");
    assert_eq!(rig.folder.read_dir().unwrap().count(), 0);
    symlink("/dev/null", rig.folder.join("40-site.toml")).unwrap();
    let ran = rig.apply(&good, &[]);
    assert!(ran.0 == Some(7) && ran.1.contains("is a link"), "a masked file stays masked: {ran:?}");
    let nowhere = rig.ctl(&["desired", "apply", &good, "--directory", "/nonexistent"]);
    assert!(nowhere.0 == Some(10) && nowhere.1.contains("/nonexistent/40-site.toml"), "{nowhere:?}");
}

#[test]
fn a_file_that_others_could_write_is_installed_anew() {
    let rig = Rig::new();
    let file = rig.write("10-site.toml", "[agent]\nzone = 'a'\n");
    assert_eq!(rig.apply(&file, &[]).0, Some(0));
    let target = rig.folder.join("10-site.toml");
    std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(rig.apply(&file, &["--check"]).0, Some(3), "the daemon refuses it as it is");
    assert_eq!(rig.apply(&file, &[]).0, Some(0));
    assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o644);
}
