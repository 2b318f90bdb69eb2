//! NVIDIA's files: libraries, installers, the toolkit's settings, the driver container, and apt's upgrades at night.

use super::place::Place;
use model::absence::{Absence, Reading};
use model::doctor::doctor_facts::{Library, NvidiaFacts};

/// Folders of the dynamic linker where distributions and NVIDIA's installer put the libraries.
const LIBRARIES: [&str; 5] =
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"];
const LIBRARY: &str = "libnvidia-ml.so.";

/// Reads them.
pub(super) fn read(place: &Place) -> NvidiaFacts {
    let auto = apt(place);
    NvidiaFacts {
        libraries: Reading::Known(LIBRARIES.into_iter().flat_map(|folder| libraries(place, folder)).collect()),
        modprobe_tool: place.is_there("/usr/bin/nvidia-modprobe"),
        runfile: place.is_there("/usr/bin/nvidia-uninstall"),
        auto_upgrades: auto.as_ref().map_or(Reading::Absent(Absence::None), |apt| Reading::Known(apt.on)),
        upgrade_exceptions: auto.map(|apt| apt.exceptions).unwrap_or_default(),
        container_driver: place.read("/proc/self/mountinfo", |text| Some(is_mounted(text, "/run/nvidia/driver"))),
        container_driver_alive: alive(place),
        no_cgroups: place.read("/etc/nvidia-container-runtime/config.toml", |text| Some(no_cgroups(text))),
        ..NvidiaFacts::default()
    }
}

fn libraries(place: &Place, folder: &str) -> Vec<Library> {
    let names = place.names(folder).unwrap_or_default();
    // Usrmerge: /usr/lib64 may be another name of a folder that was read already.
    if place.path(folder).symlink_metadata().is_ok_and(|found| found.is_symlink()) {
        return Vec::new();
    }
    let link = place.link(&format!("{folder}/{LIBRARY}1"));
    let target = link.and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
    let versions = names.iter().filter_map(|name| Some((name, name.strip_prefix(LIBRARY)?)));
    let whole =
        versions.filter(|(_, version)| version.contains('.') && version.starts_with(|c: char| c.is_ascii_digit()));
    whole
        .map(|(name, version)| Library {
            path: format!("{folder}/{name}"),
            version: version.to_owned(),
            current: target.as_ref() == Some(name),
        })
        .collect()
}

/// The fifth column of mountinfo is where it is mounted.
fn is_mounted(mountinfo: &str, path: &str) -> bool {
    mountinfo.lines().any(|line| line.split(' ').nth(4) == Some(path))
}

fn alive(place: &Place) -> Reading<bool> {
    let pid = place.read("/run/nvidia/nvidia-driver.pid", |text| text.trim().parse::<u32>().ok());
    pid.map(|pid| place.has(&format!("/proc/{pid}")))
}

fn no_cgroups(config: &str) -> bool {
    let lines = config.lines().map(|line| line.split_once('#').map_or(line, |(before, _)| before));
    let mut values = lines.filter_map(|line| line.split_once('='));
    values.any(|(key, value)| key.trim() == "no-cgroups" && value.trim() == "true")
}

struct Apt {
    on: bool,
    exceptions: Vec<String>,
}

/// apt's settings about upgrades at night; none where there is no apt or no such upgrades are installed.
fn apt(place: &Place) -> Option<Apt> {
    let folder = "/etc/apt/apt.conf.d";
    let names = place.names(folder).ok()?;
    if !place.has("/usr/bin/unattended-upgrade") {
        return None;
    }
    let texts: Vec<String> = names.iter().filter_map(|name| place.text(&format!("{folder}/{name}")).ok()).collect();
    let lines = || texts.iter().flat_map(|text| text.lines().map(without_comment));
    let value = |line: &str| line.split('"').nth(1).map(str::to_owned);
    let mut on = lines().filter(|line| line.contains("APT::Periodic::Unattended-Upgrade")).filter_map(value);
    let on = on.next_back();
    let exceptions = texts.iter().flat_map(|text| blacklist(text)).collect();
    Some(Apt { on: on.is_some_and(|value| value != "0"), exceptions })
}

fn without_comment(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with("//") || line.starts_with('#') { "" } else { line }
}

/// What is between the braces of `Unattended-Upgrade::Package-Blacklist { "nvidia-"; };`.
fn blacklist(text: &str) -> Vec<String> {
    let clean: Vec<&str> = text.lines().map(without_comment).collect();
    let clean = clean.join("\n");
    let Some((_, rest)) = clean.split_once("Unattended-Upgrade::Package-Blacklist") else { return Vec::new() };
    let block = rest.split_once('}').map_or(rest, |(block, _)| block);
    block.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blacklist_of_unattended_upgrades() {
        let text = "Unattended-Upgrade::Package-Blacklist {\n  // \"linux-\";\n  \"nvidia-\";\n  \"libnvidia-\";\n};\nX { \"y\"; };\n";
        assert_eq!(blacklist(text), ["nvidia-", "libnvidia-"]);
        assert!(blacklist("Unattended-Upgrade::Mail \"x\";").is_empty());
    }

    #[test]
    fn a_commented_switch_is_off() {
        assert!(no_cgroups("[nvidia-container-cli]\nno-cgroups = true\n"));
        assert!(!no_cgroups("#no-cgroups = true\nno-cgroups = false\n"));
    }

    #[test]
    fn a_mount_is_known_by_its_place() {
        let line = "36 35 98:0 / /run/nvidia/driver rw,noatime master:1 - overlay overlay rw";
        assert!(is_mounted(line, "/run/nvidia/driver") && !is_mounted(line, "/run/nvidia"));
    }
}
