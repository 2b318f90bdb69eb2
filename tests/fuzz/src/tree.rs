//! A sysfs of any content: a folder made of the lines of an input, scanned by the real scanner, and judged.

use crate::pieces::word;
use host::front::Sysfs;
use model::docker::DockerFacts;
use model::host_facts::HostFacts;
use model::judge::{ObservationMeta, judge};
use model::observation::RawObservation;
use model::pci::PciScan;
use model::time::{BootMillis, UnixMillis};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use tempfile::TempDir;

/// Most lines of an input that become files.
pub const LINES_MAX: usize = 32;

/// One tree for the whole process: the scanner remembers classes from scan to scan, which must never show.
struct Ground {
    folder: TempDir,
    sysfs: Sysfs,
}

fn ground() -> &'static Mutex<Ground> {
    static GROUND: OnceLock<Mutex<Ground>> = OnceLock::new();
    GROUND.get_or_init(|| {
        let shared = Path::new("/dev/shm");
        let above = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("gpuhostd-fuzz.").tempdir_in(above).expect("a folder can be made");
        Mutex::new(Ground { sysfs: Sysfs::new(folder.path()), folder })
    })
}

/// Lays the lines out, scans, judges what must hold for any tree, and takes the tree away. A line is `FUNCTION ATTRIBUTE TEXT`,
/// `FUNCTION ATTRIBUTE -> TARGET`, `group NUMBER TEXT` (its type) or `member NUMBER NAME`.
pub fn scan(lines: &[String]) {
    let ground = ground().lock().unwrap_or_else(PoisonError::into_inner);
    let root = ground.folder.path();
    for folder in ["bus/pci/devices", "kernel/iommu_groups"] {
        fs::create_dir_all(root.join(folder)).expect("a folder can be made");
    }
    lines.iter().take(LINES_MAX).for_each(|line| lay(root, line));
    let names = listed(&root.join("bus/pci/devices"));
    let outcome = std::panic::catch_unwind(|| {
        let first = ground.sysfs.scan().expect("the bus can be listed");
        let second = ground.sysfs.scan().expect("the bus can be listed again");
        assert_eq!(first, second, "what is remembered shows");
        check(&first, &names);
    });
    for folder in ["bus", "kernel"] {
        fs::remove_dir_all(root.join(folder)).expect("the tree can be taken away");
    }
    if let Err(broken) = outcome {
        drop(ground);
        std::panic::resume_unwind(broken);
    }
}

/// A name that can stand in a folder.
fn name(text: &str) -> Option<&str> {
    let fits = !text.is_empty() && text.len() < 200 && text != "." && text != ".." && !text.contains(['/', '\0']);
    fits.then_some(text)
}

/// What cannot be laid out (a file where a folder is wanted, a link with an empty target) is left out.
fn lay(root: &Path, line: &str) {
    let (first, rest) = word(line);
    let (second, text) = word(rest);
    let groups = root.join("kernel/iommu_groups");
    let file: Option<PathBuf> = match first {
        "group" => name(second).map(|group| groups.join(group).join("type")),
        "member" => name(second).zip(name(text)).map(|(group, member)| groups.join(group).join("devices").join(member)),
        function => name(function).map(|function| {
            let path = root.join("bus/pci/devices").join(function);
            name(second).map_or(path.clone(), |attribute| path.join(attribute))
        }),
    };
    let Some(file) = file.filter(|file| file.starts_with(root)) else { return };
    let above = file.parent().unwrap_or(root);
    if fs::create_dir_all(above).is_err() || file.is_dir() {
        return;
    }
    let _ = match text.strip_prefix("-> ") {
        Some(target) => symlink(target, &file),
        None if ["drm"].contains(&second) => fs::create_dir_all(file.join(name(text).unwrap_or("card0"))),
        None => fs::write(&file, text),
    };
}

fn listed(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// What holds for any tree: nothing is invented, nothing is listed twice, and it can be judged and sent.
fn check(scan: &PciScan, names: &BTreeSet<String>) {
    let count = |number: u32| usize::try_from(number).expect("a small number");
    assert!(count(scan.functions_total) <= names.len(), "{} of {names:?}", scan.functions_total);
    for gpu in &scan.gpus {
        assert!(names.contains(&gpu.address.to_string()), "{} is not on the bus", gpu.address);
        assert!(gpu.class.is_gpu() && !gpu.companions.contains(&gpu.address));
        assert!(gpu.companions.iter().all(|other| names.contains(&other.to_string())));
        let group = gpu.iommu_group.get();
        assert!(group.is_none_or(|id| scan.groups.iter().any(|group| group.id == id)), "{group:?} is not listed");
    }
    assert!(scan.gpus.is_sorted_by(|a, b| a.address < b.address), "a GPU is listed twice, or out of order");
    assert!(scan.groups.is_sorted_by(|a, b| a.id < b.id) && scan.nvswitches.is_sorted());
    assert!(count(scan.iommu_groups_total) >= scan.groups.len());
    for group in &scan.groups {
        assert!(group.members.iter().all(|member| names.contains(&member.address.to_string())), "{group:?}");
    }
    for fault in &scan.unreadable {
        assert!(!fault.name.chars().any(char::is_control) && fault.said.len() < 2048, "{fault:?}");
    }
    let written = serde_json::to_vec(scan).expect("a scan has a JSON form");
    assert_eq!(&serde_json::from_slice::<PciScan>(&written).expect("what was written is read"), scan);
    let raw = RawObservation {
        scan: Ok(scan.clone()),
        reports: Vec::new(),
        docker: Ok(DockerFacts::default()),
        host: HostFacts::default(),
    };
    let seen = ObservationMeta { sequence: 1, observed_at: UnixMillis(0), observed_boot: BootMillis(1) };
    let observed = judge(raw, seen, None);
    assert_eq!(observed.gpus.len(), scan.gpus.len());
    serde_json::to_vec(&wire::manager::gpu::inventory(&observed)).expect("an inventory has a JSON form");
}
