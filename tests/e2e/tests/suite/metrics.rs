//! What an operator gets with `[metrics]` in the configuration, from curl and from the textfile, and the picture of `top`.

use e2e::bus::Bus;
use e2e::daemon::{Daemon, Start};
use e2e::wait::{self, PATIENCE};
use e2e::world::World;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn curl_reads_the_metrics_of_a_dgx_and_the_textfile_says_the_same() {
    let world = World::new();
    let tree = world.host_tree("dgx-a100");
    let bus = Bus::start(world.path()).expect("a bus");
    // The front has no powers: it may write only where it is let.
    let out = world.path().join("out");
    std::fs::create_dir(&out).expect("folder");
    std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o777)).expect("mode");
    let (socket, file) = (out.join("metrics.sock"), out.join("gpuhostd.prom"));
    let config = format!("[metrics]\nsocket = '{}'\ntextfile = '{}'\n", socket.display(), file.display());
    let start = Start { bus: Some(bus.address.clone()), tree: Some(tree), config, ..Start::default() };
    let mut daemon = Daemon::start(&world, &start);

    let scrape = || {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "5", "--fail", "--unix-socket"]).arg(&socket).arg("http://localhost/metrics");
        String::from_utf8(curl.output().expect("curl").stdout).expect("text")
    };
    let text = wait::until("the GPUs' metrics", PATIENCE, || Some(scrape()).filter(|text| text.contains("GPU_TEMP{")));
    let temperatures = text.lines().filter(|line| line.starts_with("DCGM_FI_DEV_GPU_TEMP{")).count();
    assert_eq!(temperatures, 8, "{text}");
    for part in ["pci_bus_id=\"00000000:07:00.0\"", "GPU_I_ID=\"", "gpuhostd_gpus{use=\"mig\"} 3", "gpuhostd_probe_up{"]
    {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    wait::until("the textfile", PATIENCE, || {
        std::fs::read_to_string(&file).ok().filter(|text| text.contains("DCGM_FI_DEV_FB_USED{"))
    });

    let top = world.ctl(&bus.address, &["top", "--once"]);
    let picture = String::from_utf8(top.stdout).expect("text");
    assert!(top.status.success() && picture.contains("0000:07:00.0 A100-SXM4-40GB"), "{picture}");

    let (status, _) = daemon.stop();
    assert!(status.success());
    assert!(!socket.exists() && !file.exists(), "nothing is left that could be taken for news");
}
