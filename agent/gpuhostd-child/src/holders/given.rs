//! Finds containers that were given a device, whether they have it open now or not: the node is in their own `/dev`.
//!
//! By looking into the container and not by asking its runtime: it is the same for Docker, Podman, containerd and systemd-nspawn,
//! and for devices that a hook brought in.

use super::nodes::Nodes;
use super::part::{Part, without_ways_in};
use super::process::{container, has_ended, shown};
use model::device_links::DeviceNumber;
use model::holders::{Hold, Holder, Holders, UnreadableProcess};
use model::ids::ContainerId;
use model::os_cause::OsCause;
use model::workspace_life::ContainerNode;
use nix::sys::stat::{major, makedev, minor};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Where runtimes put nodes: `/dev` and these folders of it.
const FOLDERS: [&str; 6] = ["", "dri", "vfio", "vfio/devices", "snd", "nvidia-caps"];
/// Most device files of a container that are listed: a process that is root in it can make more.
const NODES_MAX: usize = 4096;
/// Most names in these folders that are looked at.
const NAMES_MAX: usize = 16_384;
/// Of one that has more nothing is known: what is missing in a part of the list can be in the rest.
const TOO_MANY: &str = "it has more device files than are looked at";
/// `/dev/mem` (Documentation/admin-guide/devices.txt).
const MEM: (u64, u64) = (1, 1);

/// What one container has in its `/dev`.
#[derive(Debug, Default)]
struct Devices {
    nodes: Vec<(String, u64)>,
}

impl Devices {
    /// Links are not followed: they would lead into our own files. Without `/dev` the process may have ended.
    fn of(dev: &Path) -> io::Result<Self> {
        let mut devices = Self::default();
        let mut names = 0;
        for folder in FOLDERS {
            let path = dev.join(folder);
            match fs::symlink_metadata(&path) {
                Ok(about) if about.is_dir() => {}
                Ok(_) => continue,
                Err(error) if has_ended(&error) && !folder.is_empty() => continue,
                Err(error) => return Err(error),
            }
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                names += 1;
                if names > NAMES_MAX {
                    return Err(io::Error::other(TOO_MANY));
                }
                let Ok(about) = entry.metadata() else { continue };
                if about.file_type().is_char_device() {
                    let name = Path::new("/dev").join(folder).join(entry.file_name());
                    devices.nodes.push((shown(&name.to_string_lossy()), about.rdev()));
                }
            }
        }
        Ok(devices)
    }

    /// A privileged container has every device of the host, meant or not. Monitoring runs so on most servers: what counts of
    /// such a one is what it has open.
    fn are_all(&self) -> bool {
        self.nodes.iter().any(|(_, number)| *number == makedev(MEM.0, MEM.1))
    }
}

/// The device files of the container that a process is in.
///
/// # Errors
/// It is in another container or in none, or they cannot be listed, or are too many.
pub(crate) fn container_nodes(proc: &Path, of: &ContainerId, pid: u32) -> Result<Vec<ContainerNode>, OsCause> {
    let folder = proc.join(pid.to_string());
    let is_it = || container(&folder).is_some_and(|id| id == of.short());
    let elsewhere = || OsCause::found(format!("process {pid} is not in container {} any more", of.short()));
    if !is_it() {
        return Err(elsewhere());
    }
    let devices = Devices::of(&folder.join("root/dev"))?;
    // Another process may have got its number meanwhile.
    if !is_it() {
        return Err(elsewhere());
    }
    if devices.nodes.len() > NODES_MAX {
        return Err(OsCause::found(TOO_MANY));
    }
    let node = |(path, number): (String, u64)| ContainerNode {
        path,
        number: DeviceNumber { major: major(number), minor: minor(number) },
    };
    Ok(devices.nodes.into_iter().map(node).collect())
}

/// Adds the containers among these processes that were given a device of the scope, each once.
pub(super) fn look(proc: &Path, pids: &[u32], nodes: &Nodes, holders: &mut Holders) {
    let mut seen = BTreeSet::new();
    for pid in pids {
        let folder = proc.join(pid.to_string());
        let Some(id) = container(&folder).filter(|id| !seen.contains(id)) else { continue };
        match Devices::of(&folder.join("root/dev")) {
            Ok(devices) => {
                add(&devices, &id, nodes, holders);
                seen.insert(id);
            }
            // Another process of the container may still be there.
            Err(error) if has_ended(&error) => {}
            Err(error) => {
                let said = format!("the devices of container {id} cannot be listed: {error}");
                holders.unreadable.push(UnreadableProcess { pid: Some(*pid), command: None, said });
                seen.insert(id);
            }
        }
    }
}

fn add(devices: &Devices, id: &str, nodes: &Nodes, holders: &mut Holders) {
    if devices.are_all() {
        return;
    }
    let mut given: Vec<(Part, &String)> =
        devices.nodes.iter().filter_map(|(path, number)| Some((nodes.part(*number)?, path))).collect();
    without_ways_in(&mut given);
    // What it has open says more.
    let is_open = |part: &Part| {
        holders.found.iter().any(|one| one.container.as_deref() == Some(id) && one.instance == part.instance)
    };
    given.retain(|(part, _)| !is_open(part));
    holders.found.extend(given.into_iter().map(|(part, path)| Holder {
        pid: None,
        command: None,
        unit: None,
        container: Some(id.to_owned()),
        address: Some(part.address),
        instance: part.instance,
        hold: Hold::ContainerDevice { device: path.clone() },
    }));
}
