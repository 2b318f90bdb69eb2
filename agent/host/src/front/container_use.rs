//! What `/proc` shows of running containers: the counters of their networks, and which processes are in them.

use model::workspace_life::{ContainerUse, ContainerUseAsked, NetworkCounters, container_among};
use std::collections::BTreeSet;
use std::path::Path;

/// Longest table of interfaces that is read: a container has a few, with a hundred bytes each.
const INTERFACES_MAX_BYTES: usize = 64 * 1024;
/// Longest list of control groups that is read.
const GROUPS_MAX_BYTES: usize = 16 * 1024;

/// Reads what is asked for. A process that has exited, or is in none of the containers (its number can be another's by now), shows nothing.
/// Blocking. No namespace is entered: `/proc/PID/net` is that of the process.
#[must_use]
pub fn container_use(proc: &Path, asked: &ContainerUseAsked) -> ContainerUse {
    let text = |pid: u32, file: &str, most| files::read_text(&proc.join(pid.to_string()).join(file), most).ok();
    let all: BTreeSet<_> = asked.containers.iter().map(|one| &one.container).collect();
    let mut used = ContainerUse::default();
    for one in &asked.containers {
        let counters = text(one.pid, "net/dev", INTERFACES_MAX_BYTES).and_then(|text| NetworkCounters::read(&text));
        let only = BTreeSet::from([&one.container]);
        let is_in =
            text(one.pid, "cgroup", GROUPS_MAX_BYTES).is_some_and(|text| container_among(&text, &only).is_some());
        if let Some(counters) = counters.filter(|_| is_in) {
            used.networks.insert(one.container.clone(), counters);
        }
    }
    for pid in &asked.gpu_pids {
        let groups = text(*pid, "cgroup", GROUPS_MAX_BYTES);
        if let Some(container) = groups.as_deref().and_then(|text| container_among(text, &all)) {
            used.processes.insert(*pid, container.clone());
        }
    }
    used
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that cannot be set up has failed")]

    use super::*;
    use model::ids::ContainerId;
    use model::workspace_life::ContainerProcess;
    use std::fs;

    #[test]
    fn a_number_that_is_another_process_by_now_shows_nothing() {
        let proc = tempfile::tempdir().unwrap();
        let id = |digits: &str| digits.repeat(32).parse::<ContainerId>().unwrap();
        let (ours, other) = (id("3f"), id("4e"));
        let process = |pid: u32, container: &ContainerId| {
            let folder = proc.path().join(pid.to_string());
            fs::create_dir_all(folder.join("net")).unwrap();
            fs::write(folder.join("cgroup"), format!("0::/docker/{}\n", container.as_str())).unwrap();
            let table = format!("Inter-| x\n face |bytes y\n eth0: {pid} 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n");
            fs::write(folder.join("net/dev"), table).unwrap();
        };
        process(7, &ours);
        process(8, &other);
        process(9, &ours);
        let asked = |pid| ContainerUseAsked {
            containers: vec![ContainerProcess { container: ours.clone(), pid }],
            gpu_pids: vec![7, 8, 9, 10],
        };
        let seen = container_use(proc.path(), &asked(7));
        assert_eq!(seen.networks[&ours], NetworkCounters { received_bytes: 7, sent_bytes: 9 });
        let in_it: Vec<u32> = seen.processes.keys().copied().collect();
        assert_eq!(in_it, [7, 9], "another container is not asked about");
        for gone in [8, 10] {
            assert!(container_use(proc.path(), &asked(gone)).networks.is_empty(), "{gone}");
        }
    }

    #[test]
    fn the_kernel_shows_the_interfaces_of_this_process() {
        let path = format!("/proc/{}/net/dev", std::process::id());
        let table = files::read_text(Path::new(&path), INTERFACES_MAX_BYTES).unwrap();
        assert!(NetworkCounters::read(&table).is_some(), "{table}");
    }
}
