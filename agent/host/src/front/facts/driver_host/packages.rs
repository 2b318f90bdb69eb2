//! Packages of NVIDIA's driver and of the running kernel, out of dpkg's list; of rpm distributions what the kernel's name shows.

use crate::front::facts::text::absence;
use model::absence::{Absence, Reading};
use model::driver_host::PackageTool;
use model::printable::printable;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// A list of some ten thousand packages has 20 MB.
const STATUS_MAX_BYTES: u64 = 128 * 1024 * 1024;
/// More packages of a driver than anybody has.
const PACKAGES_MAX: usize = 64;
/// Distributions with dpkg, where its list is missing.
const WITH_DPKG: [&str; 4] = ["debian", "ubuntu", "linuxmint", "pop"];
/// Packages that hold libraries or modules of NVIDIA's driver: Ubuntu's, Debian's and those of NVIDIA's repository.
const OF_THE_DRIVER: [&str; 12] = [
    "libnvidia-compute",
    "libnvidia-ml",
    "libcuda1",
    "nvidia-driver",
    "nvidia-headless",
    "nvidia-dkms",
    "nvidia-kernel-dkms",
    "nvidia-kernel-open",
    "nvidia-open",
    "nvidia-utils",
    "linux-modules-nvidia",
    "cuda-drivers",
];
/// What the kernels of rpm distributions have in their names, by os-release ID.
const KERNELS: [(&str, &str); 8] = [
    ("rhel", ".el"),
    ("rocky", ".el"),
    ("ol", ".el"),
    ("almalinux", ".el"),
    ("centos", ".el"),
    ("fedora", ".fc"),
    ("amzn", ".amzn"),
    ("sles", "-default"),
];

/// What the packages show.
pub(super) struct Packages {
    pub(super) tool: PackageTool,
    pub(super) driver: Reading<Vec<String>>,
    pub(super) kernel: Reading<bool>,
    pub(super) headers: Reading<bool>,
}

/// Reads them; `id` is the os-release ID and `release` the running kernel.
pub(super) fn read(root: &Path, id: Option<&str>, release: Option<&str>) -> Packages {
    let path = root.join("var/lib/dpkg/status");
    let by_dpkg = id.is_some_and(|id| WITH_DPKG.contains(&id));
    match files::open(&path) {
        Ok(plain) => dpkg(BufReader::new(plain.file.take(STATUS_MAX_BYTES)), release),
        Err(files::ReadError::Missing { .. }) if by_dpkg => dpkg(std::io::empty(), release),
        Err(files::ReadError::Missing { .. }) => rpm(root, id, release),
        Err(fault) => {
            let why = absence(&fault);
            let unknown = || Reading::Absent(why.clone());
            Packages {
                tool: PackageTool::Apt,
                driver: Reading::Absent(why.clone()),
                kernel: unknown(),
                headers: unknown(),
            }
        }
    }
}

/// The paragraphs of dpkg's list. A package whose settings alone are left (`deinstall ok config-files`) is not installed.
fn dpkg(list: impl BufRead, release: Option<&str>) -> Packages {
    let (mut driver, mut kernel, mut headers) = (Vec::new(), false, false);
    let mut paragraph = Paragraph::default();
    let mut take = |it: Paragraph| {
        if !it.is_installed {
            return;
        }
        if let Some(release) = release {
            kernel |= is_of_kernel(&it.name, &["linux-image-", "linux-image-unsigned-", "linux-modules-"], release);
            headers |= is_of_kernel(&it.name, &["linux-headers-"], release);
        }
        if OF_THE_DRIVER.iter().any(|prefix| it.name.starts_with(prefix)) && driver.len() < PACKAGES_MAX {
            driver.push(format!("{} {}", printable(&it.name, 100), printable(&it.version, 100)));
        }
    };
    for line in list.split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        if line.trim().is_empty() {
            take(std::mem::take(&mut paragraph));
        } else {
            paragraph.line(&line);
        }
    }
    take(paragraph);
    driver.sort_unstable();
    let of_kernel = |found: bool| if release.is_some() { Reading::Known(found) } else { Reading::default() };
    Packages {
        tool: PackageTool::Apt,
        driver: Reading::Known(driver),
        kernel: of_kernel(kernel),
        headers: of_kernel(headers),
    }
}

fn is_of_kernel(name: &str, prefixes: &[&str], release: &str) -> bool {
    prefixes.iter().any(|prefix| name.strip_prefix(prefix) == Some(release))
}

#[derive(Default)]
struct Paragraph {
    name: String,
    version: String,
    is_installed: bool,
}

impl Paragraph {
    fn line(&mut self, line: &str) {
        let Some((key, value)) = line.split_once(':') else { return };
        let value = value.trim();
        match key {
            "Package" => value.clone_into(&mut self.name),
            "Version" => value.clone_into(&mut self.version),
            "Status" => self.is_installed = value.split(' ').next_back() == Some("installed"),
            _ => {}
        }
    }
}

/// rpm's list is a database: which packages are installed is not read from it, and the libraries and modules show a driver. The
/// kernel of another repository has another name: `6.9.0-1.el9.elrepo.x86_64`.
fn rpm(root: &Path, id: Option<&str>, release: Option<&str>) -> Packages {
    let mark = id.and_then(|id| KERNELS.iter().find(|(name, _)| *name == id)).map(|(_, mark)| *mark);
    let kernel = match (mark, release) {
        (Some(mark), Some(release)) => Reading::Known(release.contains(mark) && !release.contains("elrepo")),
        _ => Reading::Absent(Absence::NotSupported),
    };
    let headers = match release {
        Some(release) if !release.contains('/') => Reading::Known(root.join("usr/src/kernels").join(release).is_dir()),
        _ => Reading::default(),
    };
    Packages { tool: PackageTool::Dnf, driver: Reading::Absent(Absence::NotSupported), kernel, headers }
}
