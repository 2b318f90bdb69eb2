//! Reads and keeps the links `/dev/char/MAJOR:MINOR` of NVIDIA's device files: for the host hand alone.

use model::device_links::{CharEntry, DeviceLinks, DeviceNumber, LinkPlan, link_plan, nvidia_majors};
use nix::sys::stat::{major, minor};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// Directories below `/dev` that hold NVIDIA's device files; the empty one is `/dev` itself.
const DIRECTORIES: [&str; 3] = ["", "nvidia-caps", "nvidia-caps-imex-channels"];
/// Where a driver container has device files of its own.
const CONTAINERS_DEV: &str = "/run/nvidia/driver/dev";
/// More entries than this are not looked at: `/dev` has some hundreds.
const ENTRIES_MAX: usize = 65_536;

/// What could not be read, made or removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {source}", path.display())]
pub struct LinkError {
    /// What was tried.
    what: &'static str,
    /// The file.
    path: PathBuf,
    /// What the host answered.
    #[source]
    source: io::Error,
}

impl LinkError {
    fn at(what: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { what, path: path.clone(), source }
    }

    /// The number of the host's answer.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}

/// NVIDIA's device files and the links to them. Blocking, for no longer than `/dev` takes.
///
/// # Errors
/// `/proc/devices` or a directory could not be read.
pub fn read_device_links(proc: &Path, dev: &Path) -> Result<DeviceLinks, LinkError> {
    read_with(proc, dev, Path::new(CONTAINERS_DEV))
}

fn read_with(proc: &Path, dev: &Path, containers: &Path) -> Result<DeviceLinks, LinkError> {
    let devices = proc.join("devices");
    let majors = nvidia_majors(&fs::read_to_string(&devices).map_err(LinkError::at("read", &devices))?);
    let mut seen = DeviceLinks { majors, ..DeviceLinks::default() };
    // The host's own files go before those of a driver container.
    for (root, is_hosts) in [(dev, true), (containers, false)] {
        for directory in DIRECTORIES {
            nodes(root, directory, is_hosts, &mut seen)?;
        }
    }
    seen.present = entries(&dev.join("char"), &seen)?;
    Ok(seen)
}

/// The names in a directory, sorted; none where it is not there.
fn names(directory: &Path) -> Result<Vec<String>, LinkError> {
    let listed = match fs::read_dir(directory) {
        Ok(listed) => listed,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(LinkError::at("list", directory)(error)),
    };
    let mut names = Vec::new();
    for entry in listed.take(ENTRIES_MAX) {
        names.extend(entry.map_err(LinkError::at("list", directory))?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

fn nodes(root: &Path, directory: &str, is_hosts: bool, seen: &mut DeviceLinks) -> Result<(), LinkError> {
    for name in names(&root.join(directory))?.into_iter().filter(|name| name.starts_with("nvidia")) {
        let below = if directory.is_empty() { name } else { format!("{directory}/{name}") };
        let path = root.join(&below);
        // Nothing but the file itself: a link could be of another device.
        let Ok(about) = fs::symlink_metadata(&path) else { continue };
        let number = number_of(&about).filter(|number| seen.majors.contains(&number.major));
        let target = if is_hosts { format!("../{below}") } else { path.display().to_string() };
        seen.nodes.extend(number.map(|number| (target, number)));
    }
    Ok(())
}

fn number_of(about: &fs::Metadata) -> Option<DeviceNumber> {
    let number = about.rdev();
    about.file_type().is_char_device().then(|| DeviceNumber { major: major(number), minor: minor(number) })
}

fn entries(char: &Path, seen: &DeviceLinks) -> Result<BTreeMap<DeviceNumber, CharEntry>, LinkError> {
    let numbers = names(char)?.into_iter().filter_map(|name| DeviceNumber::from_link(&name));
    let mut found = BTreeMap::new();
    for number in numbers.filter(|number| seen.majors.contains(&number.major)) {
        let path = char.join(number.to_string());
        let entry = match fs::read_link(&path) {
            Ok(target) => CharEntry::Link { target: target.display().to_string(), leads_to: leads_to(&path) },
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(_) => CharEntry::Other,
        };
        found.insert(number, entry);
    }
    Ok(found)
}

/// The device behind a link; something else than a device has the number 0:0, which no link is made for.
fn leads_to(link: &Path) -> Option<DeviceNumber> {
    match fs::metadata(link) {
        Ok(about) => number_of(&about).or(Some(DeviceNumber { major: 0, minor: 0 })),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        // What cannot be looked at is not known to lead nowhere.
        Err(_) => Some(DeviceNumber { major: 0, minor: 0 }),
    }
}

/// Makes the links as the plan has them, and reports the plan. Each appears whole: it is made under another name first. Blocking.
///
/// # Errors
/// The first that could not be made or removed; the others are as they must be.
pub fn keep_device_links(proc: &Path, dev: &Path) -> Result<LinkPlan, LinkError> {
    let plan = link_plan(&read_device_links(proc, dev)?);
    apply(&plan, &dev.join("char"))?;
    Ok(plan)
}

fn apply(plan: &LinkPlan, char: &Path) -> Result<(), LinkError> {
    let mut first = None;
    if !plan.make.is_empty() && !char.exists() {
        fs::create_dir(char).map_err(LinkError::at("make", char))?;
    }
    for number in &plan.remove {
        let path = char.join(number.to_string());
        first = first.or(removed(&path).map_err(LinkError::at("remove", &path)).err());
    }
    for (number, target) in &plan.make {
        let path = char.join(number.to_string());
        first = first.or(made(char, &path, target).map_err(LinkError::at("link", &path)).err());
    }
    first.map_or(Ok(()), Err)
}

fn made(char: &Path, path: &Path, target: &str) -> io::Result<()> {
    let draft = char.join(".gpuhostd.new");
    removed(&draft)?;
    symlink(target, &draft)?;
    fs::rename(&draft, path)
}

fn removed(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    use tempfile::TempDir;

    const DEVICES: &str = "Character devices:\n195 nvidia\n509 nvidia-uvm\n508 nvidia-caps\n\nBlock devices:\n";

    /// A host whose device files are never opened.
    fn host(nodes: &[(&str, u64, u64)]) -> TempDir {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("proc")).unwrap();
        fs::write(folder.path().join("proc/devices"), DEVICES).unwrap();
        fs::create_dir_all(folder.path().join("dev/char")).unwrap();
        for (name, major, minor) in nodes {
            node(folder.path(), &format!("dev/{name}"), *major, *minor);
        }
        folder
    }

    fn node(root: &Path, path: &str, major: u64, minor: u64) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        mknod(&path, SFlag::S_IFCHR, Mode::S_IRUSR, makedev(major, minor)).expect("mknod needs root");
    }

    fn keep(host: &TempDir) -> LinkPlan {
        let (proc, dev) = (host.path().join("proc"), host.path().join("dev"));
        let plan = link_plan(&read_with(&proc, &dev, &host.path().join("container/dev")).unwrap());
        apply(&plan, &dev.join("char")).unwrap();
        plan
    }

    fn links(host: &TempDir) -> Vec<String> {
        let char = host.path().join("dev/char");
        let row = |name: String| match fs::read_link(char.join(&name)) {
            Ok(target) => format!("{name} {}", target.display()),
            Err(_) => format!("{name} is no link"),
        };
        names(&char).unwrap().into_iter().map(row).collect()
    }

    const NODES: [(&str, u64, u64); 5] = [
        ("nvidia0", 195, 0),
        ("nvidiactl", 195, 255),
        ("nvidia-modeset", 195, 254),
        ("nvidia-uvm", 509, 0),
        ("nvidia-caps/nvidia-cap1", 508, 1),
    ];

    #[test]
    fn links_follow_the_device_files_and_a_second_time_changes_nothing() {
        let host = host(&NODES);
        // A file with a number that is no longer NVIDIA's, and one that only has such a name.
        node(host.path(), "dev/nvidia-old", 240, 0);
        fs::write(host.path().join("dev/nvidia-notes"), "").unwrap();
        assert_eq!(keep(&host).make.len(), 5);
        let expected = [
            "195:0 ../nvidia0",
            "195:254 ../nvidia-modeset",
            "195:255 ../nvidiactl",
            "508:1 ../nvidia-caps/nvidia-cap1",
            "509:0 ../nvidia-uvm",
        ];
        assert_eq!(links(&host), expected);
        for number in ["195:0", "508:1"] {
            let about = fs::metadata(host.path().join("dev/char").join(number)).unwrap();
            assert_eq!(number_of(&about).unwrap().to_string(), number, "it leads to its device");
        }
        let again = keep(&host);
        assert!(again.is_empty(), "{again:?}");
        assert_eq!(links(&host), expected);
    }

    #[test]
    fn wrong_links_are_corrected_those_of_gone_devices_removed_and_everything_else_stays() {
        let host = host(&NODES);
        let char = host.path().join("dev/char");
        let link = |target: &str, name: &str| symlink(target, char.join(name)).unwrap();
        link("../nvidiactl", "195:0");
        link(&host.path().join("dev/nvidiactl").display().to_string(), "195:255");
        link("../nvidia7", "195:7");
        link("/dev/nvidia8-of-another-tool", "195:8");
        link("../tty9", "4:9");
        fs::write(char.join("509:0"), "someone's").unwrap();
        fs::create_dir(char.join("508:1")).unwrap();
        let plan = keep(&host);
        let in_the_way: Vec<String> = plan.in_the_way.iter().map(ToString::to_string).collect();
        assert_eq!(in_the_way, ["508:1", "509:0"]);
        let absolute = format!("195:255 {}", host.path().join("dev/nvidiactl").display());
        let expected = [
            "195:0 ../nvidia0",
            "195:254 ../nvidia-modeset",
            absolute.as_str(),
            "195:8 /dev/nvidia8-of-another-tool",
            "4:9 ../tty9",
            "508:1 is no link",
            "509:0 is no link",
        ];
        assert_eq!(links(&host), expected);
        assert_eq!(fs::read_to_string(char.join("509:0")).unwrap(), "someone's");
    }

    #[test]
    fn device_files_of_a_driver_container_are_linked_where_the_host_has_none() {
        let host = host(&[("nvidiactl", 195, 255)]);
        node(host.path(), "container/dev/nvidiactl", 195, 255);
        node(host.path(), "container/dev/nvidia0", 195, 0);
        keep(&host);
        let own = host.path().join("container/dev/nvidia0").display().to_string();
        assert_eq!(links(&host), [format!("195:0 {own}"), "195:255 ../nvidiactl".to_owned()]);
        assert!(keep(&host).is_empty());
    }

    #[test]
    fn without_a_driver_nothing_is_made() {
        let host = host(&NODES);
        fs::write(host.path().join("proc/devices"), "Character devices:\n  1 mem\n").unwrap();
        assert!(keep(&host).is_empty() && links(&host).is_empty());
        fs::remove_file(host.path().join("proc/devices")).unwrap();
        let said = read_device_links(&host.path().join("proc"), &host.path().join("dev")).unwrap_err().to_string();
        assert!(said.contains("proc/devices"), "{said}");
    }
}
