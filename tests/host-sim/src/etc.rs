//! Writes the host around the GPUs: the files of `/proc`, `/etc` and `/sys/class` that its facts are read from.

use crate::place::text;
use model::host_facts::Nic;
use sim::Description;
use sim::facts::{boot_id, cpu, hostname};
use std::fmt::Write as _;
use std::path::Path;

/// Writes the files below `root`.
///
/// # Errors
/// A file cannot be written; the text names it.
pub fn write(description: &Description, root: &Path) -> anyhow::Result<()> {
    let host = &description.host;
    let (proc, dmi) = (root.join("proc"), root.join("sys/class/dmi/id"));
    text(&proc.join("sys/kernel/hostname"), &format!("{}\n", hostname(description)))?;
    text(&proc.join("sys/kernel/osrelease"), &format!("{}\n", host.kernel))?;
    text(&proc.join("sys/kernel/random/boot_id"), &format!("{}\n", boot_id(description)))?;
    if !description.software.cmdline.is_empty() {
        text(&proc.join("cmdline"), &format!("{}\n", description.software.cmdline))?;
    }
    text(&proc.join("uptime"), &format!("{}.00 {}.00\n", host.uptime_s, host.uptime_s / 10 * 9))?;
    text(&proc.join("meminfo"), &meminfo(description))?;
    text(&proc.join("stat"), &stat(description))?;
    text(&proc.join("diskstats"), &diskstats(description))?;
    // What makes a block device hardware: the device under it.
    text(&root.join("sys/block/sda/device/model"), "SIMULATED DISK\n")?;
    text(&proc.join("modules"), &modules(description))?;
    text(
        &root.join("etc/os-release"),
        &format!("PRETTY_NAME=\"{}\"\nID={}\nVERSION_ID=\"{}\"\n", host.os_name, host.os_id, host.os_version_id),
    )?;
    for (name, value) in &host.dmi {
        text(&dmi.join(name), &format!("{value}\n"))?;
    }
    host.nics.iter().try_for_each(|nic| write_nic(nic, &root.join("sys/class/net").join(&nic.name)))
}

fn meminfo(description: &Description) -> String {
    let host = &description.host;
    let mut lines = String::new();
    for (name, mib) in [
        ("MemTotal", host.memory_mib),
        ("MemFree", host.memory_available_mib),
        ("MemAvailable", host.memory_available_mib),
        ("SwapTotal", host.swap_mib),
        ("SwapFree", host.swap_mib),
    ] {
        // Writing to a String does not fail.
        let _ = writeln!(lines, "{:<16}{:>8} kB", format!("{name}:"), mib.saturating_mul(1024));
    }
    lines
}

/// User time is what is not idle; one line for the machine and one for each CPU, as `show_stat` writes them.
fn stat(description: &Description) -> String {
    let ticks = cpu(description);
    let cores = u64::from(description.host.cores.max(1));
    let mut lines = format!("cpu  {} 0 0 {} 0 0 0 0 0 0\n", ticks.total.saturating_sub(ticks.idle), ticks.idle);
    let busy = ticks.total.saturating_sub(ticks.idle) / cores;
    for core in 0..description.host.cores {
        let _ = writeln!(lines, "cpu{core} {busy} 0 0 {} 0 0 0 0 0 0", ticks.idle / cores);
    }
    lines
}

/// One disk and its partition, in sectors of 512 bytes (`diskstats_show`); who counts both counts twice.
fn diskstats(description: &Description) -> String {
    let sectors = |mib: u64| mib.saturating_mul(2048);
    let (read, written) = (sectors(description.host.io_read_mib), sectors(description.host.io_write_mib));
    ["   8       0 sda", "   8       1 sda1"]
        .map(|device| format!("{device} 9000 0 {read} 100 7000 0 {written} 200 0 300 300 0 0 0 0 0 0\n"))
        .concat()
}

fn modules(description: &Description) -> String {
    match &description.driver {
        Some(_) => "nvidia_uvm 1540096 0 - Live 0x0000000000000000 (POE)\n\
                    nvidia_modeset 1306624 0 - Live 0x0000000000000000 (POE)\n\
                    nvidia 56717312 2 nvidia_uvm,nvidia_modeset, Live 0x0000000000000000 (POE)\n"
            .to_owned(),
        None => String::new(),
    }
}

fn write_nic(nic: &Nic, folder: &Path) -> anyhow::Result<()> {
    let file = |name: &str, value: Option<String>| match value {
        Some(value) => text(&folder.join(name), &format!("{value}\n")),
        None => Ok(()),
    };
    file("address", nic.mac.clone())?;
    file("operstate", nic.state.clone())?;
    file("speed", nic.speed_mbit_s.map(|speed| speed.to_string()))?;
    file("statistics/rx_bytes", nic.rx_bytes.map(|bytes| bytes.to_string()))?;
    file("statistics/tx_bytes", nic.tx_bytes.map(|bytes| bytes.to_string()))
}
