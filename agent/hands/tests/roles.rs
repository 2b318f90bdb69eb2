//! The registries of a real host, asked through a socket: programs that are really started, a Docker that is not there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which may"
)]

mod common;

use common::{LONG, Served, limits, ourselves};
use hands::RemoteHost;
use hands::program::{HandPaths, HandSettings};
use hands::registry::Registry;
use model::driver::{DriverSource, ProbeError};
use model::settings::Settings;
use protocol::hand::HandRole;
use protocol::hand::containers::ReadDockerFacts;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A shell command that writes a document without a GPU.
const NO_GPU: &str = "echo '<nvidia_smi_log></nvidia_smi_log>'";

fn program(folder: &Path, script: &str) -> String {
    let path = folder.join("nvidia-smi");
    // Written by a process of its own: a child that another test starts at this moment would inherit our descriptor, and a
    // file that somebody has open for writing cannot be executed.
    let text = format!("#!/bin/sh\n{script}\n");
    let written = Command::new("install").args(["-m", "755", "/dev/stdin"]).arg(&path).stdin(Stdio::piped()).spawn();
    let mut written = written.unwrap();
    written.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(written.wait().unwrap().success());
    path.display().to_string()
}

struct Hands {
    served: [Served; HandRole::ALL.len()],
    settings: Settings,
}

/// Both hands of a host whose nvidia-smi is this script (none where it is empty), and where no Docker runs.
fn hands(folder: &Path, script: &str) -> Hands {
    hands_with(folder, script, None)
}

fn hands_with(folder: &Path, script: &str, wrong: Option<&str>) -> Hands {
    let mut settings = Settings::default();
    settings.docker.socket = folder.join("docker.sock").display().to_string();
    settings.nvidia.smi_paths = if script.is_empty() { Vec::new() } else { vec![program(folder, script)] };
    settings.nvidia.probe_timeout_ms = 5000;
    let paths = HandPaths {
        sysfs: folder.join("sys"),
        policy: folder.join("policy.toml"),
        registries: folder.join("registries.json"),
    };
    let served = HandRole::ALL.map(|role| {
        let settings = HandSettings { settings: settings.clone(), wrong: wrong.map(str::to_owned) };
        Served::with(ourselves(), registry_of(role, settings, &paths), limits())
    });
    Hands { served, settings }
}

impl Hands {
    fn remote(&self) -> RemoteHost {
        RemoteHost::new(self.served.each_ref().map(Served::client), &self.settings.nvidia)
    }
}

#[tokio::test]
async fn the_host_hand_starts_nvidia_smi_and_reads_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let hands = hands(folder.path(), NO_GPU);
    let report = hands.remote().probe_driver(DriverSource::Smi).await.unwrap();
    assert!(report.source == DriverSource::Smi && report.gpus.is_empty(), "{report:?}");
}

#[tokio::test]
async fn an_nvidia_smi_that_hangs_is_ended_and_the_next_one_starts() {
    let folder = tempfile::tempdir().unwrap();
    let once = format!("if [ -e \"$0.ran\" ]; then {NO_GPU}; else : >\"$0.ran\"; exec sleep 1000; fi");
    let hands = hands(folder.path(), &once);
    let fault = hands.remote().probe_driver(DriverSource::Smi).await.unwrap_err();
    assert!(matches!(fault, ProbeError::Timeout { after_ms: 5000, .. }), "{fault:?}");
    assert!(hands.remote().probe_driver(DriverSource::Smi).await.is_ok());
}

#[tokio::test]
async fn what_is_not_there_is_said_to_be_absent() {
    let folder = tempfile::tempdir().unwrap();
    let hands = hands(folder.path(), "");
    for source in [DriverSource::Smi, DriverSource::SmiInDriverContainer] {
        let fault = hands.remote().probe_driver(source).await.unwrap_err();
        assert!(matches!(fault, ProbeError::Absent { .. }), "{source:?}: {fault:?}");
    }
    let fault = hands.remote().call(&ReadDockerFacts {}).await.unwrap_err();
    assert!(matches!(fault, ProbeError::Absent { .. }) && fault.to_string().contains("docker.sock"), "{fault:?}");
}

#[tokio::test]
async fn a_hand_with_a_wrong_configuration_works_and_says_so_where_it_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = Some("/etc/gpuhostd/config.toml:3:1: docker.sokcet is not known");
    let hands = hands_with(folder.path(), NO_GPU, wrong);
    assert!(hands.remote().probe_driver(DriverSource::Smi).await.is_ok());
    let fault = hands.remote().call(&ReadDockerFacts {}).await.unwrap_err().to_string();
    assert!(fault.contains("docker.sock") && fault.contains("config.toml:3:1: docker.sokcet"), "{fault}");
    let hello = hands.remote().hand(HandRole::Containers).hello(Duration::from_secs(10)).await.unwrap();
    assert!(hello.degraded.is_some_and(|why| why.contains("docker.sokcet")));
}

#[tokio::test]
async fn the_container_hand_says_that_it_is_degraded_without_docker() {
    let folder = tempfile::tempdir().unwrap();
    let hands = hands(folder.path(), "");
    let hello = hands.remote().hand(HandRole::Containers).hello(LONG).await.unwrap();
    let socket = folder.path().join("docker.sock").display().to_string();
    assert!(hello.degraded.is_some_and(|why| why.contains(&socket)));
}

/// The registry of this hand, as its program builds it.
fn registry_of(role: HandRole, settings: HandSettings, paths: &HandPaths) -> Registry {
    match role {
        HandRole::Host => gpuhostd_host::registry(settings, paths),
        HandRole::Containers => gpuhostd_containers::registry(settings, paths),
        HandRole::Holders => gpuhostd_holders::registry(settings, paths),
        HandRole::Mig => gpuhostd_mig::layout_registry(settings, paths),
        HandRole::MigMode => gpuhostd_mig::mode_registry(settings, paths),
    }
}
