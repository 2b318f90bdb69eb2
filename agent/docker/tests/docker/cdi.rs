//! CDI devices of engines that do not list them, and what each engine is.

use crate::server::{Reply, Server};
use crate::{PATIENCE, json};
use docker::facts;
use model::docker::{CdiAll, ContainerEngine, DockerFacts};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A specification of GPUs with these names, and `all` of these nodes.
fn yaml(names: &[&str], minors: &[u32]) -> String {
    let mut text = "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n".to_owned();
    for name in names {
        text.push_str(&format!("- name: \"{name}\"\n  containerEdits:\n    deviceNodes:\n    - path: /dev/nvidia9\n"));
    }
    text.push_str("- name: all\n  containerEdits:\n    deviceNodes:\n    - path: /dev/nvidiactl\n");
    for minor in minors {
        text.push_str(&format!("    - path: /dev/nvidia{minor}\n"));
    }
    text
}

/// What an engine with these answers and folders has.
async fn ask(version: &str, info: &str) -> DockerFacts {
    let server = Server::start(vec![("/version", json(version)), ("/info", Reply::Json(200, info.to_owned()))]);
    facts(&server.socket(), PATIENCE).await.unwrap()
}

fn info(folders: &[&Path], more: &str) -> String {
    let folders: Vec<String> = folders.iter().map(|folder| format!("{:?}", folder.display().to_string())).collect();
    format!(r#"{{"CDISpecDirs": [{}]{more}}}"#, folders.join(","))
}

const OLD: &str = r#"{"Version":"28.1.1","ApiVersion":"1.49"}"#;

#[tokio::test(flavor = "current_thread")]
async fn engines_before_api_1_50_have_the_devices_of_their_folders() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("nvidia.yaml"), yaml(&["0", "1"], &[0, 1])).unwrap();
    fs::write(folder.path().join("notes.txt"), yaml(&["7"], &[])).unwrap();
    for version in [OLD, r#"{"Version":"25.0.3","ApiVersion":"1.44"}"#] {
        let docker = ask(version, &info(&[folder.path(), Path::new("/no/such/folder")], "")).await;
        assert_eq!(docker.cdi_devices, ["nvidia.com/gpu=0", "nvidia.com/gpu=1", "nvidia.com/gpu=all"], "{version}");
        let all = CdiAll { names: vec!["0".to_owned(), "1".to_owned()], minors: vec![0, 1] };
        assert_eq!((docker.cdi_all, docker.cdi_problems.len()), (Some(all), 0), "{version}");
    }
    // Without the folders CDI is off, whatever lies in them.
    let docker = ask(OLD, "{}").await;
    assert!(docker.cdi_devices.is_empty() && docker.cdi_all.is_none(), "{docker:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn an_engine_that_lists_its_devices_is_believed_and_asked_for_all_in_its_folder() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("nvidia.yaml"), yaml(&["0", "1"], &[0, 1])).unwrap();
    let listed = r#", "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=all"}]"#;
    let docker = ask(r#"{"Version":"28.2.2","ApiVersion":"1.50"}"#, &info(&[folder.path()], listed)).await;
    assert_eq!(docker.cdi_devices, ["nvidia.com/gpu=all"]);
    for version in [OLD, "[]"] {
        let docker = ask(version, &info(&[folder.path()], listed)).await;
        assert_eq!(docker.cdi_devices, ["nvidia.com/gpu=all"], "{version}");
    }
    // Where the version is not known the folder says what the engine has.
    let docker_without_version = ask("[]", &info(&[folder.path()], "")).await;
    assert_eq!(docker_without_version.cdi_devices.len(), 3);
    let none = ask(r#"{"Version":"28.2.2","ApiVersion":"1.50"}"#, &info(&[folder.path()], "")).await;
    assert!(none.cdi_devices.is_empty(), "an engine that lists none has none: {none:?}");
    assert_eq!(docker.cdi_all.unwrap().minors, [0, 1]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_file_that_cannot_be_used_is_named_and_costs_itself() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("a.yaml"), "kind: nvidia.com/gpu\ndevices: 7\n").unwrap();
    fs::write(path("b.json"), vec![b' '; model::cdi::FILE_MAX_BYTES + 1]).unwrap();
    fs::write(path("c.yaml"), yaml(&["8"], &[]).replace("0.5.0", "0.8.0")).unwrap();
    fs::create_dir(path("d.yaml")).unwrap();
    // A pipe that nobody writes to is not waited for.
    assert!(Command::new("mkfifo").arg(path("e.yaml")).status().unwrap().success());
    fs::write(path("f.yaml"), yaml(&["0"], &[0])).unwrap();
    let old = ask(r#"{"Version":"27.5.1","ApiVersion":"1.47"}"#, &info(&[folder.path()], "")).await;
    assert_eq!(old.cdi_devices, ["nvidia.com/gpu=0", "nvidia.com/gpu=all"]);
    let names: Vec<bool> = ["a.yaml", "b.json", "c.yaml", "d.yaml", "e.yaml"]
        .iter()
        .zip(&old.cdi_problems)
        .map(|(name, problem)| problem.contains(&path(name).display().to_string()))
        .collect();
    assert_eq!(names, [true; 5], "{:#?}", old.cdi_problems);
    // From 28 on the newer form is read; then `all` is defined twice, and is none.
    let new = ask(OLD, &info(&[folder.path()], "")).await;
    assert_eq!(
        (new.cdi_devices, new.cdi_all),
        (vec!["nvidia.com/gpu=0".to_owned(), "nvidia.com/gpu=8".to_owned()], None)
    );
}

#[tokio::test(flavor = "current_thread")]
async fn many_files_and_many_problems_are_bounded() {
    let folder = TempDir::new().unwrap();
    for nth in 0..200 {
        fs::write(folder.path().join(format!("{nth}.yaml")), "7").unwrap();
    }
    let docker = ask(OLD, &info(&[folder.path()], "")).await;
    assert!(
        docker.cdi_problems.len() == 16 && docker.cdi_problems[0].contains("64 files"),
        "{:?}",
        docker.cdi_problems
    );
}

#[tokio::test(flavor = "current_thread")]
async fn podman_is_known_by_its_components_or_by_buildah() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("nvidia.yaml"), yaml(&["0"], &[0])).unwrap();
    let by_name =
        r#"{"Version":"5.4.0","ApiVersion":"1.41","Components":[{"Name":"Podman Engine"},{"Name":"Conmon"}]}"#;
    let docker = ask(by_name, &info(&[folder.path()], r#", "Rootless": true"#)).await;
    assert_eq!((docker.engine, docker.rootless), (ContainerEngine::Podman, true));
    assert_eq!(docker.cdi_devices, ["nvidia.com/gpu=0", "nvidia.com/gpu=all"], "Podman never lists its devices");
    let docker = ask("[]", &info(&[folder.path()], r#", "BuildahVersion": "1.39.0", "Rootless": false"#)).await;
    assert_eq!((docker.engine, docker.rootless), (ContainerEngine::Podman, false));
}

#[tokio::test(flavor = "current_thread")]
async fn a_docker_without_root_says_so_among_its_security_options() {
    let options = |options: &str| format!(r#"{{"SecurityOptions": {options}}}"#);
    let without = ask(OLD, &options(r#"["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"]"#)).await;
    assert_eq!((without.engine, without.rootless), (ContainerEngine::Docker, true));
    for more in ["[]", "null", r#"["name=seccomp,profile=rootless"]"#, r#""name=rootless""#] {
        assert!(!ask(OLD, &options(more)).await.rootless, "{more}");
    }
}
