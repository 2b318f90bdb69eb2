//! Runs the few programs that know more of a host: the journal, the kernel's log, the list of packages.

use super::{Basket, SnapshotRequest};
use spawn::{Program, Supervisor};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// Each of them.
const WITHIN: Duration = Duration::from_secs(20);

/// A program whose output is kept.
struct Asked {
    /// Where its output goes in the archive.
    into: &'static str,
    /// Its places below the root; the first that is there is run.
    places: &'static [&'static str],
    arguments: &'static [&'static str],
}

const JOURNALCTL: &[&str] = &["usr/bin/journalctl", "bin/journalctl"];

/// Packages that decide how GPUs work.
const PACKAGES: [&str; 10] =
    ["*nvidia*", "cuda*", "docker*", "moby*", "containerd*", "runc*", "linux-image*", "kernel*", "gpuhostd*", "*rocm*"];

const ASKED: [Asked; 2] = [
    Asked {
        into: "journal/gpuhostd.txt",
        places: JOURNALCTL,
        arguments: &[
            "--no-pager",
            "--quiet",
            "--output=short-iso",
            "--lines=5000",
            "--unit=gpuhostd.service",
            "--unit=gpuhostd-host.service",
            "--unit=gpuhostd-mig-monitor.service",
            "--unit=gpuhostd-holders.service",
            "--unit=gpuhostd-mig.service",
            "--unit=gpuhostd-mig-mode.service",
            "--unit=gpuhostd-containers.service",
        ],
    },
    Asked {
        into: "journal/kernel.txt",
        places: JOURNALCTL,
        arguments: &[
            "--no-pager",
            "--quiet",
            "--output=short-iso",
            "--lines=5000",
            "--dmesg",
            "--grep=NVRM|nvidia|nouveau|nova|amdgpu|i915|vfio|DMAR|AMD-Vi|IOMMU|iommu|AER|BAR [0-9]|Secure boot",
        ],
    },
];

/// Runs them, one after the other.
pub(super) async fn run(request: &SnapshotRequest, basket: &mut Basket) {
    let supervisor = Supervisor::default();
    for Asked { into, places, arguments } in &ASKED {
        let arguments = arguments.iter().map(OsString::from).collect();
        ask(&supervisor, &request.root, into, places, arguments, basket).await;
    }
    packages(&supervisor, &request.root, basket).await;
}

async fn packages(supervisor: &Supervisor, root: &Path, basket: &mut Basket) {
    let patterns = || PACKAGES.iter().map(OsString::from);
    let debian = ["-W", "-f=${db:Status-Abbrev} ${Package} ${Version}\n"].into_iter().map(OsString::from);
    let (dpkg, rpm) = (["usr/bin/dpkg-query"], ["usr/bin/rpm"]);
    if root.join(dpkg[0]).is_file() {
        ask(supervisor, root, "packages.txt", &dpkg, debian.chain(patterns()).collect(), basket).await;
    } else {
        let arguments = [OsString::from("-qa")].into_iter().chain(patterns()).collect();
        ask(supervisor, root, "packages.txt", &rpm, arguments, basket).await;
    }
}

/// A bad status with words is no failure: dpkg-query shows it of a pattern that matches nothing, journalctl of a search
/// that found nothing.
async fn ask(
    supervisor: &Supervisor,
    root: &Path,
    into: &str,
    places: &[&str],
    arguments: Vec<OsString>,
    basket: &mut Basket,
) {
    let Some(path) = places.iter().map(|place| root.join(place)).find(|path| path.is_file()) else {
        basket.miss(into, &format!("{} is not installed", places.first().unwrap_or(&"the program")));
        return;
    };
    match supervisor.run("snapshot", Program::new(&path, arguments, WITHIN)).await {
        Ok(finished) if finished.stdout.is_empty() => {
            let said = String::from_utf8_lossy(&finished.stderr).trim().to_owned();
            let why = if said.is_empty() { "it printed nothing".to_owned() } else { said };
            basket.miss(into, &format!("{}: {why}", path.display()));
        }
        Ok(finished) => basket.text(into, &finished.stdout),
        Err(fault) => basket.miss(into, &format!("{}: {fault}", path.display())),
    }
}
