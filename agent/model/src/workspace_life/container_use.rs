//! What `/proc` shows of containers: the counters of their network interfaces, and which processes are in them.

use crate::ids::ContainerId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A container, and the process that Docker shows as its first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerProcess {
    /// The container.
    pub container: ContainerId,
    /// The process. What it shows counts only while it is in that container.
    pub pid: u32,
}

/// What is to be read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerUseAsked {
    /// Whose network counters.
    pub containers: Vec<ContainerProcess>,
    /// Processes of which it is asked in which of these containers they are.
    pub gpu_pids: Vec<u32>,
}

/// Bytes that went over the network interfaces of a container since they were made, without its loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkCounters {
    /// Received.
    pub received_bytes: u64,
    /// Sent.
    pub sent_bytes: u64,
}

/// What was read. What cannot be read, or is in none of the containers, is missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerUse {
    /// The counters of each container.
    pub networks: BTreeMap<ContainerId, NetworkCounters>,
    /// The container of each process that is in one.
    pub processes: BTreeMap<u32, ContainerId>,
}

impl NetworkCounters {
    /// From `/proc/PID/net/dev` (`net/core/net-procfs.c`): a line for each interface of the network namespace of that process, `NAME: ` and
    /// sixteen numbers, of which the first is what was received and the ninth what was sent. `None` where a line means something else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut all = Self::default();
        for line in text.lines().skip(2) {
            let (name, numbers) = line.split_once(':')?;
            let numbers: Vec<u64> = numbers.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
            if name.trim() != "lo" {
                all.received_bytes = all.received_bytes.saturating_add(*numbers.first()?);
                all.sent_bytes = all.sent_bytes.saturating_add(*numbers.get(8)?);
            }
        }
        // The two lines of the head are there also where there is no interface.
        (text.lines().nth(1)?.contains("bytes")).then_some(all)
    }
}

/// Which of these containers a process is in, by its control groups (`/proc/PID/cgroup`): Docker names one after the container, itself
/// or through systemd. A process of a container in the container is in it too.
#[must_use]
pub fn container_among<'a>(cgroups: &str, containers: &BTreeSet<&'a ContainerId>) -> Option<&'a ContainerId> {
    let id = |part: &str| {
        let bare = part.strip_prefix("docker-").and_then(|rest| rest.strip_suffix(".scope"));
        bare.unwrap_or(part).parse::<ContainerId>().ok()
    };
    let parts = cgroups.lines().flat_map(|line| line.splitn(3, ':').skip(2)).flat_map(|path| path.split('/'));
    parts.filter_map(id).find_map(|id| containers.get(&id).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";

    #[test]
    fn counters_are_of_all_interfaces_but_the_loopback() {
        let lines = "    lo: 900 9 0 0 0 0 0 0 900 9 0 0 0 0 0 0\n  eth0: 1000 10 0 0 0 0 0 0 70 7 0 0 0 0 0 0\n  eth1:5 1 0 0 0 0 0 0 3 1 0 0 0 0 0 0\n";
        let seen = NetworkCounters::read(&format!("{HEAD}{lines}"));
        assert_eq!(seen, Some(NetworkCounters { received_bytes: 1005, sent_bytes: 73 }));
        let alone = HEAD.to_owned() + lines.lines().next().unwrap();
        assert_eq!(NetworkCounters::read(&alone), Some(NetworkCounters::default()), "a network of its own alone");
    }

    #[test]
    fn what_is_no_table_of_interfaces_is_unknown_and_never_0() {
        let cut = format!("{HEAD}  eth0: 1000 10 0");
        let odd = format!("{HEAD}  eth0: 1000 10 0 0 0 0 0 0 -7 7 0 0 0 0 0 0\n");
        for text in ["", "Inter-|\n", "a\nb\n", &cut, &odd] {
            assert_eq!(NetworkCounters::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_process_is_in_the_container_that_its_control_group_is_named_after() {
        let id: ContainerId = "3f".repeat(32).parse().unwrap();
        let other: ContainerId = "4e".repeat(32).parse().unwrap();
        let asked = BTreeSet::from([&id]);
        let (of_it, inner) = (id.as_str(), other.as_str());
        for text in [
            format!("0::/system.slice/docker-{of_it}.scope\n"),
            format!("12:devices:/docker/{of_it}\n11:memory:/docker/{of_it}\n0::/\n"),
            format!("12:name=systemd:/docker/{of_it}\n"),
            format!("0::/kasm.slice/{of_it}/docker/{inner}\n"),
        ] {
            assert_eq!(container_among(&text, &asked), Some(&id), "{text}");
        }
        for text in [
            format!("0::/system.slice/docker-{inner}.scope\n"),
            format!("0::/docker/{of_it}0\n"),
            format!("0::/docker/{}\n", &of_it[..12]),
            "0::/user.slice/user-1000.slice\n".to_owned(),
            String::new(),
        ] {
            assert_eq!(container_among(&text, &asked), None, "{text}");
        }
    }
}
