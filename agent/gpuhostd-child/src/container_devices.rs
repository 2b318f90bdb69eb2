//! Whether the control group of a container lets it open devices, found out from inside: this process is in that group for a moment.
//!
//! `access(2)` asks the device controller as `open(2)` does (`devcgroup_inode_permission` in `security/device_cgroup.c`), in both versions
//! of control groups, and opens nothing: a GPU that sleeps goes on sleeping. Version 2 has no list that could be read instead.

use crate::write;
use model::device_links::DeviceNumber;
use model::ids::ContainerId;
use model::os_cause::OsCause;
use model::workspace_life::{CgroupVerdict, DeviceVerdict};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat, major, minor};
use nix::unistd::{AccessFlags, access, faccessat};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where device files of the host are, also those of a driver that runs in a container.
const FOLDERS: [&str; 7] = [
    "/dev",
    "/dev/dri",
    "/dev/vfio",
    "/dev/nvidia-caps",
    "/dev/net",
    "/run/nvidia/driver/dev",
    "/run/nvidia/driver/dev/nvidia-caps",
];
/// Where control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";
/// `/dev/null` (Documentation/admin-guide/devices.txt).
const NULL: DeviceNumber = DeviceNumber { major: 1, minor: 3 };
/// More devices than a host has GPUs, many times.
const DEVICES_MAX: usize = 512;

/// Looks. All that takes memory is done before and after: what a process takes in the group counts against the container.
pub(crate) fn probe(of: &ContainerId, pid: u32, devices: &[DeviceNumber]) -> Result<Vec<DeviceVerdict>, OsCause> {
    if devices.len() > DEVICES_MAX {
        return Err(OsCause::found(format!("{} devices are asked for, {DEVICES_MAX} at most", devices.len())));
    }
    let majors = std::fs::read_to_string("/proc/devices")?;
    let asked: Vec<(DeviceNumber, Result<OwnedFd, CgroupVerdict>)> =
        devices.iter().map(|number| (*number, node(*number, &majors))).collect();
    let null = opened(Path::new("/dev/null"), NULL).ok_or_else(|| OsCause::found("there is no /dev/null"))?;
    let inside = File::from(procs(&group_of(&format!("/proc/{pid}/cgroup"), Some(of))?)?);
    let home = File::from(procs(&group_of("/proc/self/cgroup", None)?)?);
    // Files that are open stay open: nothing else can be written from here on.
    write::seal(&[]).map_err(|fault| OsCause::found(format!("cannot give up write access (Landlock): {fault}")))?;
    let way = Way::that_works(&null)?;
    let mut answers: Vec<Option<Errno>> = vec![None; asked.len()];
    enter(&inside)?;
    let is_null_there = way.may_open(&null).is_ok();
    for ((_, node), answer) in asked.iter().zip(&mut answers) {
        *answer = node.as_ref().ok().and_then(|node| way.may_open(node).err());
    }
    // It ends at once where it cannot leave.
    enter(&home)?;
    if !is_null_there {
        // No container is without it: whatever refuses that is no loss of a GPU.
        return Err(OsCause::found("/dev/null is refused in the control group as well, so that nothing follows"));
    }
    let verdict = |((number, node), errno): ((DeviceNumber, Result<OwnedFd, CgroupVerdict>), Option<Errno>)| {
        let verdict = match (node, errno) {
            (Err(verdict), _) => verdict,
            (Ok(_), None) => CgroupVerdict::Allowed,
            (Ok(_), Some(Errno::EPERM)) => CgroupVerdict::Denied,
            (Ok(_), Some(errno)) => {
                CgroupVerdict::Unknown { why: format!("its device file cannot be asked: {}", errno.desc()) }
            }
        };
        DeviceVerdict { number, verdict }
    };
    Ok(asked.into_iter().zip(answers).map(verdict).collect())
}

/// `0` is the process that writes it.
fn enter(mut procs: &File) -> Result<(), OsCause> {
    procs.write_all(b"0").map_err(|error| OsCause {
        said: format!("a process cannot be put into the control group: {error}"),
        errno: error.raw_os_error(),
    })
}

/// How the kernel is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By the open file itself: `faccessat2`, from Linux 5.8 on.
    File,
    /// By its name below `/proc/self/fd`.
    Name,
}

impl Way {
    /// The first that works for a device that everybody has. A filter of system calls that does not know `faccessat2` refuses it with
    /// EPERM, as a control group refuses a device.
    fn that_works(null: &OwnedFd) -> Result<Self, OsCause> {
        let works = |way: &Self| way.may_open(null).is_ok();
        let way = [Self::File, Self::Name].into_iter().find(works);
        way.ok_or_else(|| OsCause::found("this process may not ask for /dev/null, so that it can ask for nothing"))
    }

    fn may_open(self, node: &OwnedFd) -> Result<(), Errno> {
        let wanted = AccessFlags::R_OK | AccessFlags::W_OK;
        match self {
            Self::File => faccessat(node, "", wanted, AtFlags::AT_EMPTY_PATH),
            Self::Name => access(format!("/proc/self/fd/{}", node.as_raw_fd()).as_str(), wanted),
        }
    }
}

/// A device file of the host with this number: the control group asks for the number alone. It is not opened.
fn node(number: DeviceNumber, devices: &str) -> Result<OwnedFd, CgroupVerdict> {
    let characters = devices.lines().take_while(|line| line.trim() != "Block devices:");
    let majors = characters.filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let link = PathBuf::from(format!("/dev/char/{number}"));
    let listed = FOLDERS.iter().flat_map(std::fs::read_dir).flatten().flatten().map(|entry| entry.path());
    if let Some(found) = std::iter::once(link).chain(listed).find_map(|path| opened(&path, number)) {
        return Ok(found);
    }
    if !majors.into_iter().any(|major| major == number.major) {
        return Err(CgroupVerdict::NoDriver);
    }
    Err(CgroupVerdict::Unknown { why: format!("the host has no device file with the number {number}") })
}

fn opened(path: &Path, number: DeviceNumber) -> Option<OwnedFd> {
    let file = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    let found = fstat(&file).ok()?;
    let is_character = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR;
    (is_character && (major(found.st_rdev), minor(found.st_rdev)) == (number.major, number.minor)).then_some(file)
}

/// The control group by which the devices of a process are controlled. `of`: the container that it has to be of.
fn group_of(file: &str, of: Option<&ContainerId>) -> Result<PathBuf, OsCause> {
    let text = std::fs::read_to_string(file)?;
    let place = place_in(&text).ok_or_else(|| OsCause::found(format!("{file} shows no control group of devices")))?;
    let is_of = |of: &ContainerId| place.path.split('/').any(|part| names(part, of));
    if of.is_some_and(|of| !is_of(of)) {
        return Err(OsCause::found(format!("{file} shows another container, or none")));
    }
    if place.path.split('/').any(|part| part == "..") {
        return Err(OsCause::found(format!("{file}: {} is not in this namespace of control groups", place.path)));
    }
    let root = if place.is_unified { GROUPS.to_owned() } else { format!("{GROUPS}/devices") };
    Ok(PathBuf::from(format!("{root}{}", place.path)))
}

/// A part of a path is the group of a container: `docker-ID.scope` with systemd's control groups, the id alone without.
fn names(part: &str, of: &ContainerId) -> bool {
    part.strip_prefix("docker-").and_then(|rest| rest.strip_suffix(".scope")).unwrap_or(part) == of.as_str()
}

/// A line of `/proc/PID/cgroup`.
#[derive(Debug, PartialEq, Eq)]
struct GroupPlace<'a> {
    /// Of version 2.
    is_unified: bool,
    path: &'a str,
}

/// The hierarchy with the controller `devices`; where there is none, version 2.
fn place_in(text: &str) -> Option<GroupPlace<'_>> {
    let lines = || {
        text.lines().filter_map(|line| {
            let mut columns = line.splitn(3, ':');
            Some((columns.next()?, columns.next()?, columns.next()?))
        })
    };
    let of_devices = lines().find(|(_, controllers, _)| controllers.split(',').any(|one| one == "devices"));
    let unified = || lines().find(|(number, controllers, _)| *number == "0" && controllers.is_empty());
    let of = |is_unified| move |(_, _, path)| GroupPlace { is_unified, path };
    of_devices.map(of(false)).or_else(|| unified().map(of(true)))
}

fn procs(group: &Path) -> Result<OwnedFd, OsCause> {
    let file = group.join("cgroup.procs");
    let opened = OpenOptions::new().write(true).open(&file);
    opened
        .map(OwnedFd::from)
        .map_err(|error| OsCause { said: format!("{}: {error}", file.display()), errno: error.raw_os_error() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_devices_is_found_in_both_versions() {
        let of = |is_unified, path| Some(GroupPlace { is_unified, path });
        let first = "9:name=systemd:/\n5:cpu,devices:/docker/abc\n0::/other\n";
        assert_eq!(place_in(first), of(false, "/docker/abc"));
        let second = "0::/system.slice/docker-abc.scope\n";
        assert_eq!(place_in(second), of(true, "/system.slice/docker-abc.scope"));
        assert_eq!(place_in(""), None);
    }

    #[test]
    fn only_the_very_container_is_entered() {
        let id: ContainerId = "ab".repeat(32).parse().unwrap();
        let (own, other) = ("ab".repeat(32), "ac".repeat(32));
        assert!(names(&own, &id) && names(&format!("docker-{own}.scope"), &id));
        for part in [other, format!("docker-{own}.service"), format!("x{own}"), "docker".to_owned(), String::new()] {
            assert!(!names(&part, &id), "{part}");
        }
        let refused = group_of("/proc/self/cgroup", Some(&id)).unwrap_err();
        assert!(refused.said.contains("another container"), "{refused:?}");
    }

    #[test]
    fn one_way_at_least_asks_for_a_device_without_opening_it() {
        let null = opened(Path::new("/dev/null"), NULL).unwrap();
        // Linux before 5.8, or a filter of system calls, has no `faccessat2`.
        assert_eq!(Way::that_works(&null).unwrap().may_open(&null), Ok(()));
    }

    #[test]
    fn a_number_without_driver_and_one_without_a_file_are_distinguished() {
        let devices = "Character devices:\n  1 mem\n195 nvidia\n\nBlock devices:\n259 blkext\n";
        let number = |major, minor| DeviceNumber { major, minor };
        assert!(node(number(1, 3), devices).is_ok(), "/dev/null");
        assert_eq!(node(number(259, 77_777), devices).unwrap_err(), CgroupVerdict::NoDriver);
        assert!(matches!(node(number(1, 77_777), devices), Err(CgroupVerdict::Unknown { .. })));
    }
}
