//! Processes as `/proc` shows them, in a folder of our own.

use super::*;
use std::fs;
use tempfile::TempDir;

const PID: u32 = 812;
const SERVICE: &str = "0::/system.slice/docker.service\n";

/// A process, and this one beside it.
fn proc(command: &[&str], comm: &str, uid: u32, cgroup: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let its = folder.path().join(PID.to_string());
    let own = folder.path().join("self");
    for folder in [&its, &own] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("uid_map"), "0 0 4294967295\n").unwrap();
    }
    let command: String = command.iter().map(|word| format!("{word}\0")).collect();
    let status = format!("Name:\t{comm}\nUid:\t0\t{uid}\t0\t0\nGid:\t0\t0\t0\t0\n");
    for (name, text) in [("cmdline", command.as_str()), ("comm", comm), ("status", &status), ("cgroup", cgroup)] {
        fs::write(its.join(name), text).unwrap();
    }
    folder
}

fn found(command: &[&str]) -> Result<DockerProcess, WhyUnusable> {
    docker_process(proc(command, "dockerd\n", 0, SERVICE).path(), PID)
}

#[test]
fn the_file_is_the_one_that_it_was_started_with() {
    for (command, file, args) in [
        (&["/usr/bin/dockerd", "-H", "fd://"][..], None, &["-H", "fd://"][..]),
        (&["dockerd", "--config-file", "/a b/c.json", "-D"], Some("/a b/c.json"), &["-D"]),
        (&["dockerd", "--config-file=/x=y.json"], Some("/x=y.json"), &[]),
        (&["dockerd", "--config-file=/1", "--config-file", "/2"], Some("/2"), &[]),
        (&["dockerd", "--label", "x", "--", "--config-file=/1"], None, &["--label", "x", "--", "--config-file=/1"]),
        (&["dockerd", "--config-files=/1", "--data-root=/d"], None, &["--config-files=/1", "--data-root=/d"]),
    ] {
        let docker = found(command).unwrap();
        assert_eq!(docker.file, file.unwrap_or("/etc/docker/daemon.json"), "{command:?}");
        assert_eq!((docker.is_required, docker.args.as_slice()), (file.is_some(), args.map_str().as_slice()));
        assert_eq!((docker.program.as_str(), docker.unit.as_deref()), (command[0], Some("docker.service")));
    }
}

trait MapStr {
    fn map_str(&self) -> Vec<String>;
}

impl MapStr for &[&str] {
    fn map_str(&self) -> Vec<String> {
        self.iter().map(|&word| word.to_owned()).collect()
    }
}

#[test]
fn what_is_no_docker_of_this_host_is_left_alone() {
    let code = |folder: TempDir| docker_process(folder.path(), PID).map_err(|why| why.code());
    let dockerd = &["/usr/bin/dockerd"][..];
    for (folder, expected) in [
        (proc(&["/snap/docker/2932/bin/dockerd"], "dockerd\n", 0, SERVICE), "docker_snap"),
        (proc(dockerd, "dockerd\n", 0, "0::/system.slice/snap.docker.dockerd.service\n"), "docker_snap"),
        (proc(dockerd, "dockerd\n", 1000, SERVICE), "docker_rootless"),
        (proc(&["/usr/bin/podman", "system", "service"], "podman\n", 0, SERVICE), "not_docker"),
        (proc(&["balenad"], "balenad\n", 0, SERVICE), "not_docker"),
        (proc(&[], "dockerd\n", 0, SERVICE), "docker_unknown"),
        (proc(&["dockerd", "--config-file", "etc/d.json"], "dockerd\n", 0, SERVICE), "docker_config_relative"),
        (proc(&["dockerd", "--config-file"], "dockerd\n", 0, SERVICE), "docker_config_relative"),
        (proc(&["dockerd", "--add-runtime=kata=/k"], "dockerd\n", 0, SERVICE), "docker_runtime_flag"),
        (proc(&["dockerd", "--add-runtime", "kata=/k"], "dockerd\n", 0, SERVICE), "docker_runtime_flag"),
    ] {
        assert_eq!(code(folder), Err(expected));
    }
    let in_namespace = proc(dockerd, "dockerd\n", 0, SERVICE);
    fs::write(in_namespace.path().join("812/uid_map"), "0 100000 65536\n").unwrap();
    assert_eq!(code(in_namespace), Err("docker_rootless"));
    let gone = tempfile::tempdir().unwrap();
    assert_eq!(code(gone), Err("docker_unknown"));
}

#[test]
fn the_unit_is_the_innermost_service_of_systemds_own_hierarchy() {
    for (cgroup, unit) in [
        (SERVICE, Some("docker.service")),
        ("12:pids:/docker.slice\n1:name=systemd:/system.slice/docker.service\n", Some("docker.service")),
        ("0::/lxc.payload/system.slice/docker-two.service\n", Some("docker-two.service")),
        ("0::/system.slice/docker.service/supervised\n", Some("docker.service")),
        ("0::/user.slice/user-0.slice/session-3.scope\n", None),
        ("5:cpu:/x.service\n", None),
        ("0::/\n", None),
        ("0::/system.slice/--force.service\n", None),
        ("0::/system.slice/a b.service\n", None),
        ("", None),
    ] {
        assert_eq!(unit_of(cgroup).as_deref(), unit, "{cgroup:?}");
    }
}

#[test]
fn the_kernel_shows_of_this_process_what_is_read() {
    let (proc, pid) = (Path::new("/proc"), std::process::id());
    for name in ["cmdline", "comm", "status", "cgroup", "mountinfo", "uid_map"] {
        assert!(!text(proc, pid, name).unwrap().is_empty(), "{name}");
    }
    assert_eq!(uid_of(&text(proc, pid, "status").unwrap()), Some(nix::unistd::geteuid().as_raw()));
}
