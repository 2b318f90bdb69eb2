//! The capability files of MIG instances, `/dev/nvidia-caps/nvidia-capN`: which number is whose, and which files are to be made and removed.
//!
//! The driver numbers its capabilities (`nv_cap_tables_init`) and makes no device file for them. A re-created instance can have the
//! number of a former one: a file that stays behind would open it.

use super::mig_state::MigGpuInstance;
use crate::holders::MigPlace;
use std::collections::{BTreeMap, BTreeSet};

/// Most lines of the table that are read: 32 GPUs with 15 GPU instances of 8 compute instances each are 4,320.
const ROWS_MAX: usize = 65_536;

/// The numbers of the capabilities of MIG instances, as in `/proc/driver/nvidia-caps/mig-minors`. Those that are of no instance
/// (`config`, `monitor`) are not among them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MigMinors {
    by_number: BTreeMap<u64, (u32, MigPlace)>,
}

impl MigMinors {
    /// Reads lines of the form `gpu0/gi1/access 12` and `gpu0/gi1/ci0/access 13`; others are ignored.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let rows = text.lines().take(ROWS_MAX).filter_map(|line| {
            let (name, number) = line.trim().rsplit_once(' ')?;
            let (gpu, rest) = name.strip_prefix("gpu")?.split_once('/')?;
            Some((number.parse().ok()?, (gpu.parse().ok()?, place(rest)?)))
        });
        Self { by_number: rows.collect() }
    }

    /// The instance of the GPU with this number whose capability this is.
    #[must_use]
    pub fn place(&self, gpu_minor: u32, number: u64) -> Option<MigPlace> {
        self.by_number.get(&number).filter(|(gpu, _)| *gpu == gpu_minor).map(|(_, place)| *place)
    }

    /// The number of an instance's capability.
    #[must_use]
    pub fn number(&self, gpu_minor: u32, place: MigPlace) -> Option<u64> {
        let mut rows = self.of(gpu_minor);
        rows.find(|(_, known)| *known == place).map(|(number, _)| number)
    }

    /// Every capability of the GPU's possible instances.
    pub fn of(&self, gpu_minor: u32) -> impl Iterator<Item = (u64, MigPlace)> + '_ {
        let rows = self.by_number.iter().filter(move |(_, (gpu, _))| *gpu == gpu_minor);
        rows.map(|(number, (_, place))| (*number, *place))
    }
}

/// `gi1/access`, `gi1/ci0/access`.
fn place(text: &str) -> Option<MigPlace> {
    let mut parts = text.split('/');
    let gpu_instance = parts.next()?.strip_prefix("gi")?.parse().ok()?;
    let compute_instance = match parts.next()? {
        "access" => return parts.next().is_none().then_some(MigPlace { gpu_instance, compute_instance: None }),
        part => Some(part.strip_prefix("ci")?.parse().ok()?),
    };
    (parts.next()? == "access" && parts.next().is_none()).then_some(MigPlace { gpu_instance, compute_instance })
}

/// The instance whose capability file of the older form this is: `/proc/driver/nvidia/capabilities/gpu0/mig/gi1/ci0/access`.
#[must_use]
pub fn place_of_proc_file(path: &str, gpu_minor: u32) -> Option<MigPlace> {
    let rest = path.strip_prefix("/proc/driver/nvidia/capabilities/gpu")?;
    let (gpu, rest) = rest.split_once("/mig/")?;
    (gpu.parse() == Ok(gpu_minor)).then(|| place(rest)).flatten()
}

/// The major number of the character devices `nvidia-caps`, from `/proc/devices`.
#[must_use]
pub fn caps_major(devices: &str) -> Option<u64> {
    let characters = devices.lines().skip_while(|line| line.trim() != "Character devices:").skip(1);
    let mut rows = characters.take_while(|line| !line.trim().is_empty()).filter_map(|line| line.trim().split_once(' '));
    rows.find(|(_, name)| name.trim() == "nvidia-caps").and_then(|(number, _)| number.parse().ok())
}

/// The number of a GPU's own device file, from `/proc/driver/nvidia/gpus/ADDRESS/information`.
#[must_use]
pub fn device_minor(information: &str) -> Option<u32> {
    information.lines().find_map(|line| line.strip_prefix("Device Minor:")?.trim().parse().ok())
}

/// What is to be done to the capability files of one GPU, by number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CapabilityFiles {
    /// To be made; where a file is in the way, it is replaced.
    pub make: Vec<u64>,
    /// To be removed: no instance has the capability any more.
    pub remove: Vec<u64>,
    /// Instances that the driver has no capability for, as far as the table goes.
    pub unknown: Vec<MigPlace>,
}

/// Which files of the GPU are to be made and removed. `present` are the numbers in the names of the files that are there, each with
/// whether it leads to the capability in its name. Files of other GPUs, `config` and `monitor` are never among them.
#[must_use]
pub fn capability_files(
    minors: &MigMinors,
    gpu_minor: u32,
    instances: &[MigGpuInstance],
    present: &BTreeMap<u64, bool>,
) -> CapabilityFiles {
    let places = instances.iter().flat_map(|instance| {
        let compute = instance.compute.iter().map(|compute| Some(compute.id));
        let each = [None].into_iter().chain(compute);
        each.map(|compute_instance| MigPlace { gpu_instance: instance.id, compute_instance })
    });
    let mut files = CapabilityFiles::default();
    let mut wanted = BTreeSet::new();
    for place in places {
        match minors.number(gpu_minor, place) {
            Some(number) => drop(wanted.insert(number)),
            None => files.unknown.push(place),
        }
    }
    files.make = wanted.iter().copied().filter(|number| present.get(number) != Some(&true)).collect();
    let stale = |number: &u64| present.contains_key(number) && !wanted.contains(number);
    files.remove = minors.of(gpu_minor).map(|(number, _)| number).filter(stale).collect();
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::absence::{Absence, Reading};
    use crate::mig::MigComputeInstance;

    const TABLE: &str = "config 1\nmonitor 2\ngpu0/gi0/access 3\ngpu0/gi0/ci0/access 4\ngpu0/gi1/access 12\n\
                         gpu0/gi1/ci0/access 13\ngpu0/gi1/ci1/access 14\ngpu1/gi1/access 147\ngpu1/gi1/ci0/access 148\n\
                         gpu1/gi1/ci0 149\ngpux/gi1/access 150\ngpu1/gi1/ci0/access/more 151\n";

    fn at(gpu_instance: u32, compute_instance: Option<u32>) -> MigPlace {
        MigPlace { gpu_instance, compute_instance }
    }

    fn instance(id: u32, compute: &[u32]) -> MigGpuInstance {
        let compute = compute.iter().map(|id| MigComputeInstance {
            id: *id,
            slices: 1,
            uuid: Reading::Absent(Absence::NotReported),
            processes: Vec::new(),
        });
        let compute = compute.collect();
        MigGpuInstance { id, profile: "1g.5gb".to_owned(), start: 0, size: 1, compute }
    }

    #[test]
    fn a_number_is_one_instance_of_one_gpu() {
        let minors = MigMinors::read(TABLE);
        assert_eq!(minors.place(0, 12), Some(at(1, None)));
        assert_eq!(minors.place(0, 14), Some(at(1, Some(1))));
        assert_eq!(minors.place(1, 148), Some(at(1, Some(0))));
        for (gpu, number) in [(0, 147), (1, 12), (0, 1), (0, 2), (1, 149), (1, 150), (1, 151)] {
            assert_eq!(minors.place(gpu, number), None, "{gpu} {number}");
        }
        assert_eq!(minors.number(1, at(1, None)), Some(147));
        assert_eq!(minors.number(1, at(2, None)), None);
    }

    #[test]
    fn the_older_form_is_read_from_the_path() {
        let path = "/proc/driver/nvidia/capabilities/gpu0/mig/gi1/ci0/access";
        assert_eq!(place_of_proc_file(path, 0), Some(at(1, Some(0))));
        assert_eq!(place_of_proc_file(path, 1), None);
        assert_eq!(place_of_proc_file("/proc/driver/nvidia/capabilities/mig/config", 0), None);
    }

    #[test]
    fn the_major_number_is_that_of_the_character_device_of_this_very_name() {
        let text = "Character devices:\n195 nvidia\n235 nvidia-caps-imex-channels\n237 nvidia-caps\n\nBlock devices:\n7 loop\n";
        assert_eq!(caps_major(text), Some(237));
        assert_eq!(caps_major("Character devices:\n195 nvidia\n\nBlock devices:\n237 nvidia-caps\n"), None);
        assert_eq!(device_minor("Model: \t\t X\nDevice Minor: \t 3\n"), Some(3));
        assert_eq!(device_minor("Model: X\n"), None);
    }

    #[test]
    fn files_of_new_instances_are_made_and_those_of_none_removed() {
        let minors = MigMinors::read(TABLE);
        let present =
            BTreeMap::from([(1, true), (2, true), (3, true), (12, true), (13, false), (147, true), (999, true)]);
        let files = capability_files(&minors, 0, &[instance(1, &[0, 1])], &present);
        assert_eq!(files.make, [13, 14], "one leads elsewhere, one is missing");
        assert_eq!(files.remove, [3], "no other GPU's, nor the configuration, nor what the driver does not name");
        assert!(files.unknown.is_empty());
        assert_eq!(capability_files(&minors, 0, &[], &present).remove, [3, 12, 13]);
        assert_eq!(capability_files(&minors, 1, &[instance(7, &[])], &present).unknown, [at(7, None)]);
    }
}
