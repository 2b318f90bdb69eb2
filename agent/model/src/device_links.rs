//! The links `/dev/char/MAJOR:MINOR` of NVIDIA's device files: which are missing, which are wrong, which are left behind.
//!
//! systemd finds the name of a device number only by such a link. Where the cgroups of containers are systemd's and the link is missing,
//! each `systemctl daemon-reload` takes the device away from running containers ("Failed to initialize NVML: Unknown Error"). The
//! kernel makes the links of devices that are in sysfs; NVIDIA's are not.

use crate::docker::DockerFacts;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The number of a character device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceNumber {
    /// Which driver.
    pub major: u64,
    /// Which of its devices.
    pub minor: u64,
}

impl DeviceNumber {
    /// From the name of a link, `195:255`. `None` for a name that the kernel would not write so.
    #[must_use]
    pub fn from_link(name: &str) -> Option<Self> {
        let (major, minor) = name.split_once(':')?;
        let number = Self { major: major.parse().ok()?, minor: minor.parse().ok()? };
        (number.to_string() == name).then_some(number)
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// Major numbers of NVIDIA's character devices, from `/proc/devices`: `nvidia` (195), `nvidia-uvm`, `nvidia-caps`, `nvidia-nvswitch`, ….
#[must_use]
pub fn nvidia_majors(devices: &str) -> BTreeSet<u64> {
    let characters = devices.lines().skip_while(|line| line.trim() != "Character devices:").skip(1);
    let rows = characters.take_while(|line| !line.trim().is_empty()).filter_map(|line| line.trim().split_once(' '));
    let is_nvidias = |name: &str| name == "nvidia" || name.starts_with("nvidia-") || name == "nvidiactl";
    rows.filter(|(_, name)| is_nvidias(name.trim())).filter_map(|(number, _)| number.parse().ok()).collect()
}

/// What has a name in `/dev/char`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CharEntry {
    /// A link.
    Link {
        /// Its text.
        target: String,
        /// The device that it leads to; `None` if it leads to none.
        leads_to: Option<DeviceNumber>,
    },
    /// Something else, which is left alone.
    Other,
}

/// NVIDIA's device files and the links to them, as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceLinks {
    /// Major numbers of NVIDIA's drivers.
    pub majors: BTreeSet<u64>,
    /// Device files: the text that a link in `/dev/char` to it would have (`../nvidia0`), and its number.
    pub nodes: Vec<(String, DeviceNumber)>,
    /// Entries of `/dev/char` whose name has one of those majors.
    #[serde(with = "entries")]
    pub present: BTreeMap<DeviceNumber, CharEntry>,
}

/// A map whose keys are not texts, as a list.
mod entries {
    use super::{CharEntry, DeviceNumber};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    type Entries = BTreeMap<DeviceNumber, CharEntry>;

    pub(super) fn serialize<S: Serializer>(entries: &Entries, to: S) -> Result<S::Ok, S::Error> {
        entries.iter().collect::<Vec<_>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Entries, D::Error> {
        Ok(Vec::<(DeviceNumber, CharEntry)>::deserialize(from)?.into_iter().collect())
    }
}

/// What is to be done to the links.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkPlan {
    /// Links to be made, with their text; a link that leads elsewhere is replaced.
    pub make: Vec<(DeviceNumber, String)>,
    /// Links to be removed: they lead nowhere, and have the form of ours.
    pub remove: Vec<DeviceNumber>,
    /// Names that something else than a link has: left alone, and the device is not safe.
    pub in_the_way: Vec<DeviceNumber>,
}

impl LinkPlan {
    /// There is nothing to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.make.is_empty() && self.remove.is_empty()
    }
}

/// Which links are to be made and removed. A link that leads to its device is right, by whatever program it was made and however it is written.
#[must_use]
pub fn link_plan(seen: &DeviceLinks) -> LinkPlan {
    let mut nodes: BTreeMap<DeviceNumber, &str> = BTreeMap::new();
    for (target, number) in seen.nodes.iter().filter(|(_, number)| seen.majors.contains(&number.major)) {
        // Of two files of one device the first counts.
        nodes.entry(*number).or_insert(target);
    }
    let mut plan = LinkPlan::default();
    for (number, target) in &nodes {
        match seen.present.get(number) {
            Some(CharEntry::Link { leads_to, .. }) if *leads_to == Some(*number) => {}
            Some(CharEntry::Link { .. }) | None => plan.make.push((*number, (*target).to_owned())),
            Some(CharEntry::Other) => plan.in_the_way.push(*number),
        }
    }
    let is_left_behind = |(number, entry): &(&DeviceNumber, &CharEntry)| match entry {
        CharEntry::Link { target, leads_to: None } => !nodes.contains_key(number) && is_ours(target),
        CharEntry::Link { leads_to: Some(_), .. } | CharEntry::Other => false,
    };
    plan.remove = seen.present.iter().filter(is_left_behind).map(|(number, _)| *number).collect();
    plan
}

/// The form of our links: `../nvidia0`, `../nvidia-caps/nvidia-cap1`, and the same below the root of the driver container.
fn is_ours(target: &str) -> bool {
    let Some(name) = target.strip_prefix("../").or_else(|| target.strip_prefix("/run/nvidia/driver/dev/")) else {
        return false;
    };
    name.starts_with("nvidia") && !name.split('/').any(|part| part == "..")
}

/// Devices that running containers lose at the next `systemctl daemon-reload`; none where Docker does not use systemd's cgroups.
#[must_use]
pub fn at_risk(docker: &DockerFacts, seen: &DeviceLinks) -> Vec<DeviceNumber> {
    if docker.cgroup_driver.as_deref() != Some("systemd") {
        return Vec::new();
    }
    let plan = link_plan(seen);
    let mut all: Vec<DeviceNumber> = plan.make.into_iter().map(|(number, _)| number).chain(plan.in_the_way).collect();
    all.sort_unstable();
    all
}

/// Whether a container still has a device that it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceAccess {
    /// Its cgroup allows it to read and write the device.
    Kept,
    /// Its cgroup does not.
    Lost,
}

/// Judges `devices.list` of a container's cgroup (version 1), for instance after a `daemon-reload`. Version 2 has no such list: there
/// only an open inside the container shows it.
#[must_use]
pub fn device_access(devices_list: &str, device: DeviceNumber) -> DeviceAccess {
    let allows = |line: &str| {
        let mut columns = line.split_ascii_whitespace();
        let (Some(kind), Some(number), Some(access)) = (columns.next(), columns.next(), columns.next()) else {
            return false;
        };
        let fits = |text: &str, number: u64| text == "*" || text.parse() == Ok(number);
        let is_it =
            number.split_once(':').is_some_and(|(major, minor)| fits(major, device.major) && fits(minor, device.minor));
        matches!(kind, "a" | "c") && is_it && access.contains('r') && access.contains('w')
    };
    if devices_list.lines().any(allows) { DeviceAccess::Kept } else { DeviceAccess::Lost }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(major: u64, minor: u64) -> DeviceNumber {
        DeviceNumber { major, minor }
    }

    fn link(target: &str, leads_to: Option<DeviceNumber>) -> CharEntry {
        CharEntry::Link { target: target.to_owned(), leads_to }
    }

    const DEVICES: &str = "Character devices:\n  1 mem\n195 nvidia\n195 nvidia-modeset\n195 nvidiactl\n235 nvidia-caps\n\
                           510 nvidia-uvm\n226 drm\n\nBlock devices:\n  7 loop\n240 nvidia-x\n";

    fn seen(present: Vec<(DeviceNumber, CharEntry)>) -> DeviceLinks {
        let node = |name: &str, major, minor| (format!("../{name}"), at(major, minor));
        DeviceLinks {
            majors: nvidia_majors(DEVICES),
            nodes: vec![
                node("nvidia-caps/nvidia-cap1", 235, 1),
                node("nvidia-uvm", 510, 0),
                node("nvidia0", 195, 0),
                node("nvidia0-copy", 195, 0),
                node("nvidia1", 226, 1),
                node("nvidiactl", 195, 255),
            ],
            present: present.into_iter().collect(),
        }
    }

    #[test]
    fn the_majors_are_those_of_nvidias_character_devices() {
        assert_eq!(nvidia_majors(DEVICES), BTreeSet::from([195, 235, 510]));
        assert_eq!(nvidia_majors("Character devices:\n195 nvidia-frontend\n"), BTreeSet::from([195]));
        assert_eq!(nvidia_majors(""), BTreeSet::new());
    }

    #[test]
    fn missing_links_are_made_and_no_link_to_another_drivers_device() {
        let plan = link_plan(&seen(Vec::new()));
        let made: Vec<String> = plan.make.iter().map(|(number, target)| format!("{number} {target}")).collect();
        assert_eq!(
            made,
            ["195:0 ../nvidia0", "195:255 ../nvidiactl", "235:1 ../nvidia-caps/nvidia-cap1", "510:0 ../nvidia-uvm"]
        );
        assert!(plan.remove.is_empty() && plan.in_the_way.is_empty() && !plan.is_empty());
    }

    #[test]
    fn a_link_that_leads_to_its_device_stays_however_it_is_written() {
        let right = vec![
            (at(195, 0), link("/dev/nvidia0", Some(at(195, 0)))),
            (at(195, 255), link("/run/nvidia/driver/dev/nvidiactl", Some(at(195, 255)))),
            (at(235, 1), link("../nvidia-caps/nvidia-cap1", Some(at(235, 1)))),
            (at(510, 0), link("../nvidia-uvm", Some(at(510, 0)))),
        ];
        let plan = link_plan(&seen(right));
        assert!(plan.is_empty() && plan.in_the_way.is_empty(), "{plan:?}");
    }

    #[test]
    fn only_links_are_corrected_and_only_ours_that_lead_nowhere_are_removed() {
        let plan = link_plan(&seen(vec![
            (at(195, 0), link("../nvidia1", Some(at(195, 1)))),
            (at(195, 255), CharEntry::Other),
            (at(235, 1), link("../nvidia-caps/nvidia-cap7", None)),
            (at(510, 0), link("../nvidia-uvm", Some(at(510, 0)))),
            // Left behind: ours, one of another tool, one that leads somewhere, and one that would lead out of /dev.
            (at(195, 7), link("../nvidia7", None)),
            (at(195, 8), link("/dev/nvidia8", None)),
            (at(195, 9), link("../nvidia0", Some(at(195, 0)))),
            (at(235, 9), link("../nvidia/../../etc/x", None)),
            (at(235, 10), link("/run/nvidia/driver/dev/nvidia-caps/nvidia-cap10", None)),
        ]));
        let made: Vec<String> = plan.make.iter().map(|(number, target)| format!("{number} {target}")).collect();
        assert_eq!(made, ["195:0 ../nvidia0", "235:1 ../nvidia-caps/nvidia-cap1"]);
        assert_eq!((plan.remove, plan.in_the_way), (vec![at(195, 7), at(235, 10)], vec![at(195, 255)]));
    }

    #[test]
    fn a_name_is_read_only_as_the_kernel_writes_it() {
        assert_eq!(DeviceNumber::from_link("195:255"), Some(at(195, 255)));
        for none in ["195", "195:", ":1", "0195:1", "195:+1", "195:1:1", "a:b", "195:1 "] {
            assert_eq!(DeviceNumber::from_link(none), None, "{none:?}");
        }
    }

    /// nvidia-docker#1650: what `devices.list` shows before and after a `daemon-reload`.
    #[test]
    fn a_reload_that_took_the_device_away_is_seen() {
        let before = "c 1:3 rwm\nc 195:255 rw\nc 195:0 rw\n";
        assert_eq!(device_access(before, at(195, 0)), DeviceAccess::Kept);
        for after in ["c 1:3 rwm\nc 195:* m\n", "c 195:10 rw\n", "b 195:0 rw\n", "c 195:0 r\n", "", "c 195:0"] {
            assert_eq!(device_access(after, at(195, 0)), DeviceAccess::Lost, "{after:?}");
        }
        for all in ["a *:* rwm", "c 195:* rw", "c *:* rwm"] {
            assert_eq!(device_access(all, at(195, 0)), DeviceAccess::Kept, "{all}");
        }
    }

    #[test]
    fn only_systemds_cgroups_lose_devices() {
        let docker = |driver: &str| DockerFacts { cgroup_driver: Some(driver.to_owned()), ..DockerFacts::default() };
        assert_eq!(at_risk(&docker("systemd"), &seen(Vec::new())).len(), 4);
        assert_eq!(at_risk(&docker("cgroupfs"), &seen(Vec::new())), []);
    }

    #[test]
    fn links_cross_a_socket() {
        let all = seen(vec![(at(195, 0), link("../nvidia0", None)), (at(195, 1), CharEntry::Other)]);
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<DeviceLinks>(&text).unwrap(), all);
    }
}
