//! The host of a driver container on a made-up host: PID 1's program is a script that mounts and unmounts in a text, as the kernel would.

#![allow(clippy::unwrap_used, reason = "a test stops where its world is broken")]

use acts::driver_host::DriverHostTaker;
use host::front::FactsRoot;
use model::driver_host::{
    DriverHostFacts, DriverHostStep, LazyUnmountReason, MountStep, is_busy_mount, next_unmount, share_plan,
    unshare_step,
};
use model::ports::ActError;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;

const PRIVATE: &str = "28 1 254:0 / / rw - ext4 /dev/vda rw\n31 28 0:25 / /run rw - tmpfs tmpfs rw\n";
const SHARED: &str = "28 1 254:0 / / rw shared:1 - ext4 /dev/vda rw\n31 28 0:25 / /run rw shared:5 - tmpfs tmpfs rw\n";

/// `systemd-run … -- mount|umount …` on a text. A path in `held` is in use. `nothing` stands for a program that reports success only.
const SCRIPT: &str = r#"#!/bin/sh
table=ROOT/proc/1/mountinfo
echo "$@" >> ROOT/asked
[ -e ROOT/nothing ] && exit 0
while [ "$1" != -- ]; do shift; done
shift
program=$1
for last; do :; done
lazy=; for word; do [ "$word" = --lazy ] && lazy=1; done
case $program in
/usr/bin/mount) echo "40 31 0:25 /nvidia $last rw shared:7 - tmpfs tmpfs rw" >> $table; mkdir -p "ROOT$last" ;;
/usr/bin/umount)
    if [ -z "$lazy" ] && grep -qxF "$last" ROOT/held; then
        echo "umount: $last: target is busy." >&2
        exit 32
    fi
    # The upmost layer; a lazy one with what is mounted below.
    number=$(grep -nF " $last rw" $table | tail -n 1 | cut -d: -f1)
    sed -i "${number}d" $table
    if [ -n "$lazy" ]; then grep -vF " $last/" $table > $table.new; mv $table.new $table; fi ;;
esac
"#;

struct Host(TempDir);

impl Host {
    fn new(mounts: &str) -> Self {
        let host = Self(TempDir::new().unwrap());
        host.put("proc/1/mountinfo", mounts);
        host.put("proc/locks", "");
        host.put("held", "");
        host.put("run/systemd/system/x", "");
        let script = host.path("systemd-run");
        host.put("systemd-run", &SCRIPT.replace("ROOT", host.0.path().to_str().unwrap()));
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn taker(&self) -> DriverHostTaker {
        let root = FactsRoot {
            proc: self.path("proc"),
            sys: self.path("sys"),
            os_release: vec![],
            files: self.0.path().to_owned(),
        };
        DriverHostTaker::new(root, self.path("systemd-run"))
    }

    fn mounted(&self) -> String {
        fs::read_to_string(self.path("proc/1/mountinfo")).unwrap()
    }
}

async fn look(taker: &DriverHostTaker) -> DriverHostFacts {
    taker.look(None).await.unwrap()
}

async fn mounts(taker: &DriverHostTaker, step: MountStep) -> Result<(), ActError> {
    taker.act(&DriverHostStep::Mounts(step), true).await
}

fn driver(layers: usize) -> String {
    let layer = "50 40 0:60 / /run/nvidia/driver rw shared:9 - overlay o rw\n51 50 0:4 / /run/nvidia/driver/proc rw - proc p rw\n";
    (0..layers)
        .map(|n| layer.replace("50", &format!("{}", 50 + 10 * n)).replace("51", &format!("{}", 51 + 10 * n)))
        .collect()
}

#[tokio::test]
async fn what_was_shared_is_taken_back_and_nothing_differs() {
    let host = Host::new(PRIVATE);
    let taker = host.taker();
    for step in share_plan(look(&taker).await.mounts.known().unwrap()) {
        mounts(&taker, step).await.unwrap();
    }
    let facts = look(&taker).await;
    assert_eq!((facts.mounts.known().unwrap().is_shared(), facts.run_nvidia_is_ours), (Some(true), true));
    // Twice is no second mount.
    mounts(&taker, MountStep::ShareRunNvidia).await.unwrap();
    let asked = fs::read_to_string(host.path("asked")).unwrap();
    assert_eq!(asked.lines().count(), 1, "{asked}");
    assert!(
        asked.contains("--wait --pipe --collect") && asked.contains("-- /usr/bin/mount -o bind,rshared"),
        "{asked}"
    );
    let step = unshare_step(facts.mounts.known().unwrap(), facts.run_nvidia_is_ours).unwrap();
    mounts(&taker, step).await.unwrap();
    assert_eq!(host.mounted(), PRIVATE);
    assert!(!look(&taker).await.run_nvidia_is_ours);
}

#[tokio::test]
async fn a_mount_of_another_is_not_taken_back() {
    let host = Host::new(&format!("{PRIVATE}40 31 0:25 /nvidia /run/nvidia rw shared:7 - tmpfs t rw\n"));
    let taker = host.taker();
    let before = host.mounted();
    mounts(&taker, MountStep::ShareRunNvidia).await.unwrap();
    let said = mounts(&taker, MountStep::UnshareRunNvidia).await.unwrap_err().to_string();
    assert!(said.contains("was not made by gpuhostd"), "{said}");
    assert_eq!(host.mounted(), before);
}

#[tokio::test]
async fn stacked_layers_go_one_by_one_and_only_what_is_in_use_is_detached() {
    let host = Host::new(&format!("{SHARED}{}", driver(3)));
    host.put("held", "/run/nvidia/driver\n");
    let taker = host.taker();
    let (mut refused, mut lazily) = (None, 0);
    while let Some(step) = next_unmount(look(&taker).await.mounts.known().unwrap(), refused.as_deref()) {
        let MountStep::Unmount { path, lazily: reason } = &step else { panic!("{step}") };
        lazily += usize::from(*reason == Some(LazyUnmountReason::InUseOfGoneContainer));
        let path = path.clone();
        refused = match mounts(&taker, step).await {
            Ok(()) => None,
            Err(error) => {
                assert!(is_busy_mount(&error.to_string()), "{error}");
                assert!(
                    error
                        .to_string()
                        .contains("umount: /run/nvidia/driver: target is busy. `fuser -vm /run/nvidia/driver`"),
                    "{error}"
                );
                Some(path)
            }
        };
    }
    assert_eq!((host.mounted(), lazily), (SHARED.to_owned(), 3));
}

#[tokio::test]
async fn a_program_that_reports_success_without_effect_is_not_believed() {
    let host = Host::new(&format!("{PRIVATE}{}", driver(1)));
    host.put("nothing", "");
    let taker = host.taker();
    let said = mounts(&taker, MountStep::ShareRunNvidia).await.unwrap_err().to_string();
    assert!(said.contains("it had no effect: /run/nvidia is not shared"), "{said}");
    assert!(!look(&taker).await.run_nvidia_is_ours);
    let step = MountStep::Unmount { path: "/run/nvidia/driver/proc".to_owned(), lazily: None };
    assert!(mounts(&taker, step).await.unwrap_err().to_string().contains("it had no effect"));
}

#[tokio::test]
async fn without_systemd_the_command_is_named_and_nothing_is_run() {
    let host = Host::new(PRIVATE);
    fs::remove_dir_all(host.path("run/systemd")).unwrap();
    let said = mounts(&host.taker(), MountStep::ShareRunNvidia).await.unwrap_err().to_string();
    assert!(
        said.contains("run `/usr/bin/mount -o bind,rshared,X-mount.mkdir /run/nvidia /run/nvidia` as root"),
        "{said}"
    );
    assert!(!host.path("asked").exists());
    assert_eq!(host.mounted(), PRIVATE);
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_answer_of_the_host() {
    let host = Host::new(PRIVATE);
    fs::remove_file(host.path("systemd-run")).unwrap();
    let said = mounts(&host.taker(), MountStep::ShareRunNvidia).await.unwrap_err().to_string();
    assert!(said.contains("systemd-run"), "{said}");
}

#[tokio::test]
async fn the_policy_holds_in_the_hand_too() {
    let host = Host::new(PRIVATE);
    let taker = host.taker();
    let step = DriverHostStep::Mounts(MountStep::ShareRunNvidia);
    let said = taker.act(&step, false).await.unwrap_err().to_string();
    assert!(said.contains("host.nvidia.driver is false") && !host.path("asked").exists(), "{said}");
    taker.act(&DriverHostStep::RemoveReadiness, false).await.unwrap();
}

#[tokio::test]
async fn readiness_files_are_there_only_while_a_driver_is_loaded() {
    let host = Host::new(SHARED);
    host.put("run/nvidia/driver/dev/null", "");
    let taker = host.taker();
    let said = taker.act(&DriverHostStep::WriteReadiness, true).await.unwrap_err().to_string();
    assert!(said.contains("module nvidia is not loaded"), "{said}");
    assert!(look(&taker).await.readiness_files.is_empty());
    host.put("sys/module/nvidia/refcnt", "3\n");
    taker.act(&DriverHostStep::WriteReadiness, true).await.unwrap();
    assert_eq!(look(&taker).await.readiness_files, [".driver-ctr-ready", "driver-ready"]);
    let text = fs::read_to_string(host.path("run/nvidia/validations/driver-ready")).unwrap();
    assert!(text.contains("NVIDIA_DEV_ROOT=/run/nvidia/driver\n"), "{text}");
    host.put("run/nvidia/validations/.driver-daemons-status", "Ready\n");
    taker.act(&DriverHostStep::RemoveReadiness, true).await.unwrap();
    assert!(look(&taker).await.readiness_files.is_empty());
    // A folder that cannot be made is named with what the host answered.
    fs::remove_dir_all(host.path("run/nvidia")).unwrap();
    let said = taker.act(&DriverHostStep::WriteReadiness, true).await.unwrap_err().to_string();
    assert!(
        said.contains("/run/nvidia/validations") && said.contains("No such file") && said.contains("systemd-tmpfiles"),
        "{said}"
    );
}
