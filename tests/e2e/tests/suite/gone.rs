//! A GPU leaves the bus: it is told with what it was, on D-Bus, in the journal and to the manager, also after a restart, until
//! somebody says that they know.

use e2e::bus::Bus;
use e2e::daemon::{Daemon, Start};
use e2e::wait;
use e2e::world::World;
use manager::{Manager, Options};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

const TEN_S: Duration = Duration::from_secs(10);
const GPU: &str = "0000:07:00.0";

struct Rig {
    world: World,
    tree: PathBuf,
    bus: Bus,
}

impl Rig {
    fn start(&self) -> Daemon {
        let (bus, tree) = (Some(self.bus.address.clone()), Some(self.tree.clone()));
        Daemon::start(&self.world, &Start { bus, tree, ..Start::default() })
    }

    fn done(&self, args: &[&str]) {
        let ran = self.world.ctl(&self.bus.address, args);
        assert!(ran.status.success(), "{args:?}: {ran:?}");
    }

    /// The message of the condition, where it holds.
    fn gone(&self) -> Option<String> {
        let status = self.world.ctl_json(&self.bus.address, &["status"]);
        let conditions = status["Conditions"].as_array()?;
        conditions.iter().find(|held| held["Type"] == "gpu_gone")?["Message"].as_str().map(str::to_owned)
    }

    fn gpu(&self) -> Option<Value> {
        let gpus = self.world.ctl_json(&self.bus.address, &["gpus"]);
        gpus.as_array()?.iter().find(|gpu| gpu["Address"] == GPU).cloned()
    }
}

fn is_told(beat: &Value) -> bool {
    let conditions = beat["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|held| held["type"] == "gpu_gone" && held.to_string().contains(GPU)))
}

#[test]
fn a_gpu_that_leaves_is_told_until_somebody_knows() {
    let world = World::new();
    let tree = world.host_tree("dgx-a100");
    let bus = Bus::start(world.path()).expect("a bus");
    let rig = Rig { world, tree, bus };
    let mut daemon = rig.start();
    let uuid = wait::until("facts of the GPU", TEN_S, || rig.gpu()?["Uuid"].as_str().map(str::to_owned));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let manager = runtime.block_on(Manager::start(Options::default())).expect("a manager");
    let (token, ca) = (rig.world.path().join("token"), rig.world.path().join("ca.pem"));
    std::fs::write(&token, manager.issue_token()).expect("token");
    std::fs::write(&ca, manager.ca_pem()).expect("ca");
    let files = [token.to_str().expect("UTF-8"), "--ca-file", ca.to_str().expect("UTF-8")];
    rig.done(&[&["enroll", &manager.url(), "--token-file"][..], &files[..]].concat());

    let function = rig.tree.join("sys/bus/pci/devices").join(GPU);
    let target = std::fs::read_link(&function).expect("a link");
    std::fs::remove_file(&function).expect("the GPU leaves");
    rig.done(&["rescan"]);
    let told = wait::until("the condition", TEN_S, || rig.gone());
    for word in [GPU, "was here until", "NVIDIA A100", &uuid] {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert!(rig.gpu().is_none());
    wait::until("the journal", TEN_S, || daemon.log().contains("GPU 0000:07:00.0 was here until").then_some(()));
    wait::until("the heartbeat", TEN_S, || manager.heartbeats().iter().any(|beat| is_told(&beat.body)).then_some(()));
    let listed = String::from_utf8(rig.world.ctl(&rig.bus.address, &["gpus"]).stdout).expect("UTF-8");
    assert!(listed.contains("0000:07:00.0  gone  NVIDIA A100"), "{listed}");

    assert!(daemon.stop().0.success());
    daemon = rig.start();
    let again = wait::until("the condition after a restart", TEN_S, || rig.gone());
    assert_eq!(again, told, "what it was is not forgotten");
    rig.done(&["gpu", "acknowledge", "07:00.0"]);
    wait::until("the end of the condition", TEN_S, || rig.gone().is_none().then_some(()));
    assert_eq!(rig.world.ctl(&rig.bus.address, &["gpu", "acknowledge", "07:00.0"]).status.code(), Some(5));

    // It comes back, and goes while the daemon is down.
    std::os::unix::fs::symlink(&target, &function).expect("the GPU is back");
    rig.done(&["rescan"]);
    wait::until("the GPU", TEN_S, || rig.gpu());
    assert!(daemon.stop().0.success());
    std::fs::remove_file(&function).expect("the GPU leaves");
    daemon = rig.start();
    wait::until("the condition", TEN_S, || rig.gone());
    std::os::unix::fs::symlink(&target, &function).expect("the GPU is back");
    rig.done(&["rescan"]);
    wait::until("the end of the condition", TEN_S, || rig.gone().is_none().then_some(()));
    wait::until("the journal", TEN_S, || daemon.log().contains("GPU 0000:07:00.0 is here again").then_some(()));
    assert!(manager.violations().is_empty(), "{:?}", manager.violations());
}
