//! Whether a running workspace may still open its GPU, on each engine: seen in its `/dev`, and asked of its control group from inside.

use crate::workspace_world::{Host, OTHER_UUID, by_runtime, image, workspace};
use crate::world::World;
use acts::container_devices;
use docker_engines::releases;
use model::device_links::DeviceNumber;
use model::ids::ContainerId;
use model::workspace_life::{CgroupVerdict, DeviceVerdict, WorkspaceDeed};
use spawn::{Own, Supervisor};
use std::fs;
use std::path::PathBuf;

/// `/dev/full`: the stand-in runtime gives it as a GPU.
const GPU: DeviceNumber = DeviceNumber { major: 1, minor: 7 };
/// `/dev/kmsg`, which every host has and no container may open.
const KMSG: DeviceNumber = DeviceNumber { major: 1, minor: 11 };

fn child() -> Own {
    let own = std::env::current_exe().expect("this test's own path");
    Own::at(own.parent().and_then(|deps| deps.parent()).expect("target/debug").join("gpuhostd-child"))
}

async fn may_open(id: &ContainerId, pid: u32, devices: &[DeviceNumber]) -> Vec<DeviceVerdict> {
    container_devices::probe(&Supervisor::default(), &child(), (id, pid), devices).await.unwrap()
}

/// The control group of its devices in version 1, which can be written again as systemd does.
fn group(pid: u32) -> Option<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let path = text.lines().find_map(|line| line.split_once(":devices:").map(|(_, path)| path.to_owned()))?;
    Some(PathBuf::from(format!("/sys/fs/cgroup/devices{path}")))
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_workspace_that_lost_its_gpu_is_found_from_inside_its_control_group_and_has_it_again_after_a_start() {
    let world = World::new();
    let image = image(&world, "1", &[]);
    for release in releases() {
        let host = Host::start(release, &world, "runc");
        host.pull(&image).await;
        let id = host.run(by_runtime("w-1", &image, &[OTHER_UUID])).await;
        let pid = host.seen(&workspace("w-1")).await.pid.unwrap();

        let nodes = container_devices::list(&Supervisor::default(), &child(), &id, pid).await.unwrap();
        assert!(nodes.iter().any(|node| node.path == "/dev/nvidia1" && node.number == GPU), "{release}: {nodes:?}");
        let verdict = |number, verdict| DeviceVerdict { number, verdict };
        let (kept, denied) = (verdict(GPU, CgroupVerdict::Allowed), verdict(KMSG, CgroupVerdict::Denied));
        assert_eq!(may_open(&id, pid, &[GPU, KMSG]).await, [kept.clone(), denied], "{release}");

        // Neither another container nor another process is taken for it.
        let other: ContainerId = "ab".repeat(32).parse().unwrap();
        let own = std::process::id();
        for (id, pid) in [(&other, pid), (&id, own), (&id, 1)] {
            assert!(container_devices::list(&Supervisor::default(), &child(), id, pid).await.is_err(), "{release}");
            let asked = container_devices::probe(&Supervisor::default(), &child(), (id, pid), &[GPU]).await;
            assert!(asked.is_err(), "{release}: {asked:?}");
        }

        let Some(group) = group(pid) else {
            println!("SKIPPED: this machine has control groups of version 2, which only systemd writes again");
            continue;
        };
        let before = fs::read_to_string(group.join("cgroup.procs")).unwrap();
        fs::write(group.join("devices.deny"), "c 1:7 rw").unwrap();
        assert_eq!(may_open(&id, pid, &[GPU]).await, [verdict(GPU, CgroupVerdict::Denied)], "{release}");
        let after = fs::read_to_string(group.join("cgroup.procs")).unwrap();
        assert_eq!(before.lines().next(), after.lines().next(), "{release}: the workspace is untouched");
        let gone: u64 = 199;
        let gone = DeviceNumber { major: gone, minor: 0 };
        assert_eq!(may_open(&id, pid, &[gone]).await, [verdict(gone, CgroupVerdict::NoDriver)], "{release}");

        // As the keeper repairs it.
        let workspace_id = workspace("w-1");
        let stop = WorkspaceDeed::Stop { workspace_id: workspace_id.clone(), id: id.clone(), grace_s: 20 };
        host.apply(stop).await.unwrap();
        host.apply(WorkspaceDeed::Start { workspace_id, id: id.clone() }).await.unwrap();
        let pid = host.seen(&workspace("w-1")).await.pid.unwrap();
        assert_eq!(may_open(&id, pid, &[GPU]).await, [kept], "{release}");
    }
}
