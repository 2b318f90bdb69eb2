//! Finds who uses the functions of a scope: by device number, in every process of every namespace.

mod given;
mod nodes;
mod part;
mod process;

pub(crate) use given::container_nodes;

use model::holders::{Holders, UnreadableProcess};
use model::ids::PciAddress;
use model::plan::Scope;
use nodes::Nodes;
use std::path::{Path, PathBuf};

/// Where a look begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    /// `/sys`.
    pub(crate) sysfs: PathBuf,
    /// `/proc`.
    pub(crate) proc: PathBuf,
    /// `/dev`.
    pub(crate) dev: PathBuf,
}

impl Places {
    /// Those of the running system, with another `/sys` where one is simulated.
    #[must_use]
    pub(crate) fn with_sysfs(sysfs: impl Into<PathBuf>) -> Self {
        Self { sysfs: sysfs.into(), proc: "/proc".into(), dev: "/dev".into() }
    }
}

/// Everybody who has a device of the scope open or mapped, each container that was given one, and everybody who could not be
/// looked into. Blocking.
#[must_use]
pub(crate) fn holders(places: &Places, scope: &Scope) -> Holders {
    of_nodes(&places.proc, &Nodes::of(places, scope))
}

/// The same for one GPU and the MIG instances that it has or could have. Where their numbers are not known, anybody may have one.
#[must_use]
pub(crate) fn mig_holders(proc: &Path, gpu: PciAddress) -> Holders {
    match Nodes::of_mig(proc, gpu) {
        Ok(nodes) => of_nodes(proc, &nodes),
        Err(said) => {
            let unknown = UnreadableProcess { pid: None, command: None, said };
            Holders { found: Vec::new(), unreadable: vec![unknown] }
        }
    }
}

fn of_nodes(proc: &Path, nodes: &Nodes) -> Holders {
    let mut holders = Holders::default();
    let listed = match std::fs::read_dir(proc) {
        Ok(listed) => listed,
        Err(error) => {
            let said = format!("{} cannot be listed: {error}", proc.display());
            holders.unreadable.push(UnreadableProcess { pid: None, command: None, said });
            return holders;
        }
    };
    let pids = listed.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pids: Vec<u32> = pids.filter(|pid| *pid != std::process::id()).collect();
    for pid in &pids {
        process::look_into(&proc.join(pid.to_string()), *pid, nodes, &mut holders);
    }
    given::look(proc, &pids, nodes, &mut holders);
    holders
}

#[cfg(test)]
mod tests;
