//! Runs the few programs that know more of a host: systemd's, the kernel's log, the lists of packages, the toolkit.

use super::place::Place;
use model::absence::{Absence, Reading};
use model::doctor::doctor_facts::{DoctorFacts, Package, ServiceUnit};
use model::printable::printable;
use spawn::{Finished, Program, RunError, Supervisor};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Each of them.
const WITHIN: Duration = Duration::from_secs(20);

/// Units that matter.
const UNITS: [&str; 16] = [
    "gpuhostd.service",
    "gpuhostd-host.socket",
    "gpuhostd-host.service",
    "gpuhostd-mig-monitor.service",
    "gpuhostd-containers.socket",
    "gpuhostd-containers.service",
    "gpuhostd-holders.socket",
    "gpuhostd-holders.service",
    "gpuhostd-mig.socket",
    "gpuhostd-mig.service",
    "gpuhostd-mig-mode.socket",
    "gpuhostd-mig-mode.service",
    "docker.service",
    "docker.socket",
    "nvidia-persistenced.service",
    "nvidia-fabricmanager.service",
];

/// Lines of the kernel's log that matter.
const LOG: &str = "NVRM|nvidia|nouveau|nova|amdgpu|i915|vfio|DMAR|AMD-Vi|IOMMU|BAR [0-9]|unsigned module|unavailable key|Key was rejected";

/// What they reported.
#[derive(Debug, Default)]
pub(super) struct Said {
    units: Reading<Vec<ServiceUnit>>,
    clock: Reading<bool>,
    log: Reading<Vec<String>>,
    packages: Reading<Vec<Package>>,
    toolkit: Reading<String>,
}

impl Said {
    /// Puts it where it belongs.
    pub(super) fn into_facts(self, facts: &mut DoctorFacts) {
        facts.service.units = self.units;
        facts.service.clock_synchronised = self.clock;
        facts.kernel.log = self.log;
        facts.nvidia.packages = self.packages;
        facts.nvidia.toolkit = self.toolkit;
    }
}

/// Runs them, side by side.
pub(super) async fn run(place: &Place) -> Said {
    let asker = Asker { supervisor: Supervisor::default(), place };
    let (units, clock, log, packages, toolkit) =
        tokio::join!(units(&asker), clock(&asker), log(&asker), packages(&asker), toolkit(&asker));
    Said { units, clock, log, packages, toolkit }
}

struct Asker<'a> {
    supervisor: Supervisor,
    place: &'a Place,
}

impl Asker<'_> {
    /// The first of these places that is there.
    fn find(&self, places: &[&str]) -> Option<PathBuf> {
        places.iter().map(|path| self.place.path(path)).find(|path| path.is_file())
    }

    /// Runs a program to its end; one that is not installed has nothing to say.
    async fn ask(&self, purpose: &'static str, places: &[&str], arguments: &[&str]) -> Result<Finished, Absence> {
        let path = self.find(places).ok_or(Absence::NotReported)?;
        let program = Program::new(&path, arguments.iter().map(OsString::from), WITHIN);
        let said = |fault: RunError| Absence::Unreadable(format!("{}: {fault}", path.display()));
        self.supervisor.run(purpose, program).await.map_err(said)
    }

    /// systemd is the init of this host.
    fn has_systemd(&self) -> bool {
        self.place.has("/run/systemd/system")
    }
}

fn text(finished: &Finished) -> String {
    String::from_utf8_lossy(&finished.stdout).into_owned()
}

/// Its words where it failed: what it is that could not be asked.
fn refused(finished: &Finished) -> Absence {
    let words = String::from_utf8_lossy(&finished.stderr);
    Absence::Unreadable(printable(words.trim(), 200))
}

async fn units(asker: &Asker<'_>) -> Reading<Vec<ServiceUnit>> {
    if !asker.has_systemd() {
        return Reading::Absent(Absence::None);
    }
    let show = ["show", "--property=Id,LoadState,ActiveState,Result,UnitFileState", "--no-pager"];
    let arguments: Vec<&str> = show.into_iter().chain(UNITS).collect();
    match asker.ask("systemctl", &["/usr/bin/systemctl", "/bin/systemctl"], &arguments).await {
        Ok(finished) if finished.status.success() => Reading::Known(units_of(&text(&finished))),
        Ok(finished) => Reading::Absent(refused(&finished)),
        Err(why) => Reading::Absent(why),
    }
}

/// A block of `Key=value` lines for each unit, with an empty line between two.
fn units_of(text: &str) -> Vec<ServiceUnit> {
    let unit = |block: &str| {
        let value = |key: &str| {
            block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default().to_owned()
        };
        ServiceUnit {
            name: value("Id"),
            load: value("LoadState"),
            active: value("ActiveState"),
            result: value("Result"),
            enabled: value("UnitFileState"),
        }
    };
    text.split("\n\n").filter(|block| block.contains("Id=")).map(unit).collect()
}

/// In a container the clock is the host's business.
async fn clock(asker: &Asker<'_>) -> Reading<bool> {
    if !asker.has_systemd() || asker.place.has("/run/systemd/container") {
        return Reading::Absent(Absence::None);
    }
    let arguments = ["show", "--property=NTPSynchronized", "--value"];
    match asker.ask("timedatectl", &["/usr/bin/timedatectl"], &arguments).await {
        Ok(finished) => match text(&finished).trim() {
            "yes" => Reading::Known(true),
            "no" => Reading::Known(false),
            _ => Reading::Absent(refused(&finished)),
        },
        Err(why) => Reading::Absent(why),
    }
}

/// A caller who may not read the kernel's messages gets none, and a hint on stderr.
async fn log(asker: &Asker<'_>) -> Reading<Vec<String>> {
    let grep = format!("--grep={LOG}");
    let arguments = ["--dmesg", "--no-pager", "--quiet", "--output=cat", "--lines=5000", "--case-sensitive=no", &grep];
    let journal = asker.ask("journalctl", &["/usr/bin/journalctl", "/bin/journalctl"], &arguments).await;
    let journal = journal.map(|finished| lines(&text(&finished)));
    if let Ok(lines) = &journal
        && !lines.is_empty()
    {
        return Reading::Known(lines.clone());
    }
    // No journal, or nothing in it: the kernel's own buffer reports more, where it may be read.
    match asker.ask("dmesg", &["/usr/bin/dmesg", "/bin/dmesg"], &["--notime", "--nopager"]).await {
        Ok(finished) if finished.status.success() => Reading::Known(lines(&text(&finished))),
        Ok(_) => Reading::Absent(Absence::NoPermission),
        Err(why) => Reading::Absent(why),
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| printable(line, 300)).collect()
}

/// Packages that decide how GPUs work.
const PACKAGES: [&str; 4] = ["nvidia-*", "libnvidia-*", "cuda-drivers*", "linux-modules-nvidia-*"];

async fn packages(asker: &Asker<'_>) -> Reading<Vec<Package>> {
    let dpkg = ["/usr/bin/dpkg-query"];
    if asker.find(&dpkg).is_some() {
        let format = "-f=${db:Status-Abbrev}\t${Package}\t${Version}\n";
        let arguments: Vec<&str> = ["-W", format].into_iter().chain(PACKAGES).collect();
        return parse_packages(asker.ask("dpkg-query", &dpkg, &arguments).await, deb);
    }
    let arguments: Vec<&str> = ["-qa", "--qf", "%{NAME}\t%{VERSION}\n"].into_iter().chain(PACKAGES).collect();
    parse_packages(asker.ask("rpm", &["/usr/bin/rpm"], &arguments).await, rpm)
}

/// dpkg-query fails where a pattern matches nothing: that is no failure.
fn parse_packages(asked: Result<Finished, Absence>, parse: fn(&str) -> Option<Package>) -> Reading<Vec<Package>> {
    match asked {
        Ok(finished) => Reading::Known(text(&finished).lines().filter_map(parse).collect()),
        Err(why) => Reading::Absent(why),
    }
}

/// `ii ` is installed, `hi ` installed and held; others are remains.
fn deb(line: &str) -> Option<Package> {
    let mut words = line.split('\t');
    let (state, name, version) = (words.next()?, words.next()?, words.next()?);
    let held = match state.get(..2)? {
        "ii" => false,
        "hi" => true,
        _ => return None,
    };
    Some(Package { name: name.to_owned(), version: version.to_owned(), held })
}

fn rpm(line: &str) -> Option<Package> {
    let (name, version) = line.split_once('\t')?;
    Some(Package { name: name.to_owned(), version: version.to_owned(), held: false })
}

async fn toolkit(asker: &Asker<'_>) -> Reading<String> {
    let places = ["/usr/bin/nvidia-ctk", "/usr/local/nvidia/toolkit/nvidia-ctk"];
    if asker.find(&places).is_none() {
        return Reading::Absent(Absence::None);
    }
    match asker.ask("nvidia-ctk", &places, &["--version"]).await {
        Ok(finished) => {
            toolkit_version(&text(&finished)).map_or_else(|| Reading::Absent(refused(&finished)), Reading::Known)
        }
        Err(why) => Reading::Absent(why),
    }
}

/// `NVIDIA Container Toolkit CLI version 1.17.8`.
fn toolkit_version(text: &str) -> Option<String> {
    let (_, rest) = text.split_once(" version ")?;
    let version = rest.split_whitespace().next()?;
    version.starts_with(|c: char| c.is_ascii_digit()).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_stand_in_blocks() {
        let text = "Id=docker.service\nLoadState=loaded\nActiveState=active\nResult=success\nUnitFileState=enabled\n\n\
                    Id=x.service\nLoadState=not-found\nActiveState=inactive\nResult=success\nUnitFileState=\n";
        let units = units_of(text);
        assert_eq!(units.len(), 2);
        assert_eq!(
            (units[0].name.as_str(), units[0].active.as_str(), units[0].enabled.as_str()),
            ("docker.service", "active", "enabled")
        );
        assert_eq!((units[1].load.as_str(), units[1].enabled.as_str()), ("not-found", ""));
    }

    #[test]
    fn held_packages_are_told_from_remains() {
        let held = deb("hi \tnvidia-driver-550\t550.163.01-0ubuntu1").unwrap();
        assert!(held.held && held.version == "550.163.01-0ubuntu1");
        assert!(!deb("ii \tnvidia-driver-550\t1").unwrap().held);
        assert_eq!(deb("rc \tnvidia-driver-470\t470.1"), None);
        assert_eq!(deb("un"), None);
    }

    #[test]
    fn the_toolkit_says_its_version() {
        let text = "NVIDIA Container Toolkit CLI version 1.17.8\ncommit: f202b80a9b9d0db00d9b1d73c0128c8962c55f4d\n";
        assert_eq!(toolkit_version(text).as_deref(), Some("1.17.8"));
        assert_eq!(toolkit_version("segmentation fault"), None);
    }
}
