//! `/proc/1/mountinfo`: what is unmounted is mounted below `/run/nvidia`, and unmounting ends.

use super::often;
use crate::Target;
use crate::bounds::Bounds;
use model::driver_host::{MountStep, RUN_NVIDIA, RunNvidiaMounts, next_unmount, share_plan};

/// The target.
pub const TARGET: Target = Target {
    name: "mountinfo",
    what: "/proc/1/mountinfo, of which the mounts at and below /run/nvidia are kept",
    run,
    seeds,
    words: &[
        "31 28 0:25 / /run rw shared:5 - tmpfs tmpfs rw\n",
        "50 31 0:60 / /run/nvidia/driver rw shared:9 - overlay o rw\n",
        " /run/nvidia ",
        " /run/nvidia/",
        "\\040",
        "\\134",
        "\\777",
        "\\0",
        " shared:1",
        " master:1",
        " - ",
        "4294967295 ",
        "4294967296 ",
        "-1 ",
        "/../",
    ],
    bounds: Bounds::USUAL,
};

fn run(input: &[u8]) {
    let mut mounts = RunNvidiaMounts::read(input);
    assert!(share_plan(&mounts).len() <= 1);
    let before = mounts.below.len();
    let mut steps = 0;
    // The kernel's side: the upmost mount of that path goes.
    while let Some(MountStep::Unmount { path, .. }) = next_unmount(&mounts, None) {
        assert!(path.starts_with(RUN_NVIDIA) && path.len() > RUN_NVIDIA.len() + 1, "{path}");
        let at = mounts.below.iter().rposition(|mount| mount.point == path).expect("what is unmounted is mounted");
        mounts.below.remove(at);
        steps += 1;
        // A plan over thousands of layers is asked for again after each of them.
        if steps > 64 {
            return;
        }
    }
    assert_eq!(steps, before);
}

fn seeds() -> Vec<Vec<u8>> {
    let host = "28 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n31 28 0:25 / /run rw,nosuid shared:5 - tmpfs tmpfs rw\n";
    let layer = "50 31 0:60 / /run/nvidia/driver rw shared:9 master:3 - overlay overlay rw\n\
        51 50 0:4 / /run/nvidia/driver/proc rw shared:10 - proc proc rw\n";
    let texts = [
        host.to_owned(),
        format!("{host}{layer}{layer}"),
        format!("{host}40 31 0:25 /nvidia /run/nvidia rw - tmpfs t rw\n{layer}"),
        "70 31 0:7 / /run/nvidia/a\\040b\\134c rw - t t rw\n".to_owned(),
        "50 51 0:1 / /run/nvidia/a rw - t t rw\n51 50 0:1 / /run/nvidia/b rw - t t rw\n".to_owned(),
    ];
    let mut seeds: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
    seeds.push(often(layer, 400));
    seeds
}
