//! In which container a process runs: read out of its cgroup, where the daemon is on this very machine.

use std::collections::BTreeMap;
use wire::dbus::snapshot::Snapshot;

/// Process id and container id.
pub(crate) type Containers = BTreeMap<u32, String>;

/// Length of a container id in hexadecimal digits.
const ID_LENGTH: usize = 64;

/// The containers of the processes in the picture. A daemon on another machine (or on a simulated one) has another boot id:
/// its process ids mean nothing here.
pub(crate) fn of(snapshot: &Snapshot) -> Containers {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    if snapshot.host.boot_id.as_deref() != Some(boot.trim()) {
        return Containers::new();
    }
    let processes = snapshot.gpus.iter().flat_map(|gpu| gpu.metrics.processes.iter().flatten());
    let container = |pid: u32| id(&std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?);
    processes.filter_map(|process| Some((process.pid, container(process.pid)?))).collect()
}

/// The container id in the text of a cgroup file: `docker-<id>.scope`, `/docker/<id>`, `cri-containerd-<id>.scope`.
fn id(cgroup: &str) -> Option<String> {
    let is_id = |piece: &&str| piece.len() == ID_LENGTH && piece.bytes().all(|b| b.is_ascii_hexdigit());
    let mut pieces = cgroup.lines().flat_map(|line| line.split(['/', '-', '.', ':']));
    pieces.rfind(is_id).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f1d5a0c9b7e4d2f8a6c1e0b5d7f9a3c2e4b6d8f0a1c3e5b7d9f1a3c5e7b9d0f";

    #[test]
    fn each_way_to_name_a_container_is_understood() {
        for text in [
            format!("0::/system.slice/docker-{ID}.scope\n"),
            format!("12:devices:/docker/{ID}\n11:memory:/docker/{ID}\n"),
            format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope\n"),
        ] {
            assert_eq!(id(&text).as_deref(), Some(ID), "{text}");
        }
        for text in ["0::/user.slice/user-1000.slice/session-3.scope\n", "0::/\n", "", "0::/docker/abc\n"] {
            assert_eq!(id(text), None, "{text}");
        }
    }
}
