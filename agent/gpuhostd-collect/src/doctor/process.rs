//! Processes that run virtual machines, with the memory that they may lock.

use super::place::Place;
use model::absence::Reading;
use model::doctor::doctor_facts::Hypervisor;

/// Beginnings of their names, as the kernel cuts them at 15 characters.
const NAMES: [&str; 5] = ["qemu-", "kvm", "cloud-hypervis", "firecracker", "crosvm"];

/// All that run now.
pub(super) fn hypervisors(place: &Place) -> Reading<Vec<Hypervisor>> {
    let pids = match place.names("/proc") {
        Ok(names) => names.into_iter().filter_map(|name| name.parse::<u32>().ok()),
        Err(why) => return Reading::Absent(why),
    };
    let running = pids.filter_map(|pid| {
        let name = place.text(&format!("/proc/{pid}/comm")).ok()?.trim().to_owned();
        // A thread of the kernel (kvm-nx-lpage-re) has no executable.
        let is_one = NAMES.iter().any(|start| name.starts_with(start))
            && !name.starts_with("kvm-nx")
            && !name.starts_with("kvm-pit");
        is_one.then(|| Hypervisor { pid, name, memlock_bytes: memlock(place, pid) })
    });
    Reading::Known(running.collect())
}

/// `Max locked memory         8388608              8388608              bytes`; none = unlimited or unknown.
fn memlock(place: &Place, pid: u32) -> Option<u64> {
    let limits = place.text(&format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"))?;
    line.split_whitespace().next()?.parse().ok()
}
