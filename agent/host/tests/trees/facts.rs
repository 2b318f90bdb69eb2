//! Facts of the host from trees that a test builds: what is there, and what one missing or bad file costs.

use host::front::FactsRoot;
use model::absence::{Absence, Reading};
use model::host_facts::{CpuTicks, HostFacts};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const FILES: [(&str, &str); 21] = [
    ("proc/sys/kernel/hostname", "gpu7\n"),
    ("proc/sys/kernel/osrelease", "6.8.0-45-generic\n"),
    ("proc/sys/kernel/random/boot_id", "f1d2\n"),
    ("proc/uptime", "12345.67 99999.00\n"),
    (
        "proc/stat",
        "cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 50 0 25 400 25 0 0\ncpu1 50 0 25 400 25 0 0\nintr 1 2 3\ncpufreq 1\n",
    ),
    (
        "proc/meminfo",
        "MemTotal:       16 kB\nMemAvailable:    8 kB\nSwapTotal:       0 kB\nSwapFree:        0 kB\nHugePages_Total: 3\n",
    ),
    (
        "proc/diskstats",
        "259 0 nvme0n1 9 0 100 0 9 0 40 0\n259 1 nvme0n1p1 9 0 90 0 9 0 30 0\n253 0 dm-0 9 0 90 0 9 0 30 0\n8 0 sda 1 0 20 0 1 0 2 0\n",
    ),
    ("sys/block/nvme0n1/device/model", "x\n"),
    ("sys/block/sda/device/model", "x\n"),
    ("sys/block/dm-0/dm/name", "x\n"),
    ("sys/class/net/lo/type", "772\n"),
    ("sys/class/net/t0/type", "1\n"),
    ("sys/class/net/t0/address", "AA:bb:cc:00:00:01\n"),
    ("sys/class/net/t0/operstate", "up\n"),
    ("sys/class/net/t0/speed", "100000\n"),
    ("sys/class/net/t0/statistics/rx_bytes", "11\n"),
    ("sys/class/net/t0/statistics/tx_bytes", "22\n"),
    ("sys/class/net/bonding_masters", "\n"),
    ("sys/class/dmi/id/product_name", "DGX\n"),
    ("sys/class/dmi/id/product_serial", "SECRET\n"),
    ("etc/os-release", "NAME=\"Ubuntu\"\nID=ubuntu\nVERSION_ID=\"24.04\"\nPRETTY_NAME=\"Ubuntu 24.04 LTS\"\n"),
];

struct Host(TempDir);

impl Host {
    fn new() -> Self {
        let host = Self(TempDir::new().unwrap());
        for (path, content) in FILES {
            let path = host.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn facts(&self) -> HostFacts {
        let os_release = vec![self.path("etc"), self.path("usr/lib")];
        FactsRoot { proc: self.path("proc"), sys: self.path("sys"), os_release, files: self.0.path().to_owned() }
            .read(self.0.path().to_str())
    }
}

#[test]
fn every_fact() {
    let host = Host::new();
    let facts = host.facts();
    assert_eq!(facts.hostname.known().unwrap(), "gpu7");
    assert_eq!((facts.boot_id.known().unwrap().as_str(), facts.uptime_s.get()), ("f1d2", Some(12_345)));
    assert_eq!(
        (facts.os_id.known().unwrap().as_str(), facts.os_version_id.known().unwrap().as_str()),
        ("ubuntu", "24.04")
    );
    assert_eq!(
        (facts.os_name.known().unwrap().as_str(), facts.kernel.known().unwrap().as_str()),
        ("Ubuntu 24.04 LTS", "6.8.0-45-generic")
    );
    assert_eq!((facts.cores.get(), facts.cpu.get()), (Some(2), Some(CpuTicks { total: 1000, idle: 850 })));
    assert_eq!((facts.mem_total_bytes.get(), facts.mem_available_bytes.get()), (Some(16_384), Some(8_192)));
    assert_eq!(facts.swap_total_bytes.get(), Some(0));
    assert_eq!(
        (facts.io_read_bytes.get(), facts.io_write_bytes.get()),
        (Some(120 * 512), Some(42 * 512)),
        "disks only"
    );
    let disk = facts.disk.known().unwrap();
    assert!(disk.total_bytes >= disk.used_bytes + disk.available_bytes && disk.inodes_total >= disk.inodes_free);
    assert_eq!(facts.nics.len(), 1);
    let nic = &facts.nics[0];
    assert_eq!(
        (nic.name.as_str(), nic.mac.as_deref(), nic.speed_mbit_s),
        ("t0", Some("aa:bb:cc:00:00:01"), Some(100_000))
    );
    assert_eq!((nic.state.as_deref(), nic.rx_bytes, nic.tx_bytes), (Some("up"), Some(11), Some(22)));
    assert_eq!(facts.dmi, [("product_name".to_owned(), "DGX".to_owned())], "serial numbers stay where they are");
}

/// Each file in each wrong state. The facts that it carries may go; all others stay; nothing panics.
#[test]
fn one_bad_file_costs_its_own_facts() {
    let states: [Option<&[u8]>; 6] =
        [None, Some(b""), Some(b"-1\n"), Some(&[b'9'; 5000]), Some(&[0xff, 0xfe, 0, b'\n']), Some(b"\x1b[2J\n")];
    for (path, _) in FILES.iter().filter(|(path, _)| path.starts_with("proc") || path.starts_with("etc")) {
        for state in states {
            let host = Host::new();
            let whole = known(&host.facts());
            match state {
                Some(bytes) => fs::write(host.path(path), bytes).unwrap(),
                None => fs::remove_file(host.path(path)).unwrap(),
            }
            let lost: Vec<_> = whole
                .iter()
                .zip(known(&host.facts()))
                .filter(|((_, was), (_, is))| *was && !is)
                .map(|((name, _), _)| *name)
                .collect();
            assert_eq!(lost, carried_by(path), "{path} {state:?}");
        }
    }
}

fn carried_by(path: &str) -> Vec<&'static str> {
    match path.rsplit('/').next().unwrap() {
        "hostname" => vec!["hostname"],
        "osrelease" => vec!["kernel"],
        "boot_id" => vec!["boot_id"],
        "uptime" => vec!["uptime"],
        "stat" => vec!["cores", "cpu"],
        "meminfo" => vec!["mem_total", "mem_available", "swap_total", "swap_free"],
        "diskstats" => vec!["io_read", "io_write"],
        _ => vec!["os_id", "os_version", "os_name"],
    }
}

/// Which facts are known to be what the tree says; a hostname that changed counts as lost.
fn known(facts: &HostFacts) -> Vec<(&'static str, bool)> {
    vec![
        ("hostname", facts.hostname.known().is_some_and(|it| it == "gpu7")),
        ("kernel", facts.kernel.known().is_some_and(|it| it.starts_with("6.8"))),
        ("boot_id", facts.boot_id.known().is_some_and(|it| it == "f1d2")),
        ("uptime", facts.uptime_s.get() == Some(12_345)),
        ("cores", facts.cores.get() == Some(2)),
        ("cpu", facts.cpu.get().is_some()),
        ("mem_total", facts.mem_total_bytes.get().is_some()),
        ("mem_available", facts.mem_available_bytes.get().is_some()),
        ("swap_total", facts.swap_total_bytes.get().is_some()),
        ("swap_free", facts.swap_free_bytes.get().is_some()),
        ("io_read", facts.io_read_bytes.get().is_some()),
        ("io_write", facts.io_write_bytes.get().is_some()),
        ("disk", facts.disk.known().is_some()),
        ("os_id", facts.os_id.known().is_some()),
        ("os_version", facts.os_version_id.known().is_some()),
        ("os_name", facts.os_name.known().is_some()),
        ("nics", facts.nics.len() == 1),
        ("dmi", facts.dmi.len() == 1),
    ]
}

#[test]
fn an_empty_root_has_no_facts_and_no_zeros() {
    let folder = TempDir::new().unwrap();
    let at = |path: &str| folder.path().join(path);
    let facts =
        FactsRoot { proc: at("p"), sys: at("s"), os_release: vec![], files: at("f") }.read(Some("/no/such/folder"));
    let absent = || Reading::Absent(Absence::NotReported);
    assert_eq!(
        (facts.hostname, facts.cores, facts.mem_total_bytes),
        (absent(), Reading::default(), Reading::default())
    );
    assert!(matches!(facts.disk, Reading::Absent(Absence::Unreadable(ref said)) if said.contains("/no/such/folder")));
    assert!(facts.nics.is_empty() && facts.dmi.is_empty());
}

#[test]
fn the_second_os_release_counts_where_the_first_is_missing() {
    let host = Host::new();
    fs::create_dir_all(host.path("usr/lib")).unwrap();
    fs::rename(host.path("etc/os-release"), host.path("usr/lib/os-release")).unwrap();
    assert_eq!(host.facts().os_id.known().unwrap(), "ubuntu");
}

#[test]
fn interfaces_without_a_link_have_no_speed() {
    let host = Host::new();
    fs::write(host.path("sys/class/net/t0/speed"), "-1\n").unwrap();
    fs::write(host.path("sys/class/net/t0/address"), "00:00:00:00:00:00\n").unwrap();
    let nic = &host.facts().nics[0];
    assert_eq!((nic.speed_mbit_s, nic.mac.as_deref()), (None, None));
}

/// The real machine, against the programs that everybody reads it with.
#[test]
fn this_machine_as_other_programs_see_it() {
    let facts = FactsRoot::default().read(None);
    let said = |program: &str, args: &[&str]| {
        let output = std::process::Command::new(program).args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(facts.cores.get().unwrap().to_string(), said("getconf", &["_NPROCESSORS_ONLN"]));
    assert_eq!(*facts.kernel.known().unwrap(), said("uname", &["-r"]));
    assert_eq!(*facts.hostname.known().unwrap(), said("uname", &["-n"]));
    let total = said("df", &["-B1", "--output=size", "/"]);
    assert_eq!(facts.disk.known().unwrap().total_bytes.to_string(), total.lines().last().unwrap().trim());
    let interfaces = fs::read_dir(Path::new("/sys/class/net")).unwrap();
    let expected = interfaces.filter(|entry| {
        let entry = entry.as_ref().unwrap();
        entry.path().is_dir() && entry.file_name() != "lo"
    });
    assert_eq!(facts.nics.len(), expected.count());
}
