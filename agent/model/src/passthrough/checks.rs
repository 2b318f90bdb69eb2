//! The preconditions of giving a GPU away, each for itself.

use super::{scope_of, vfio_driver};
use crate::absence::{Absence, Reading};
use crate::blocker::{Blocker, Claimed, Foreign};
use crate::claim::Claim;
use crate::driver::MigMode;
use crate::holders::{Hold, Holder, Holders};
use crate::machine_kind::Machine;
use crate::observation::{Gpu, GpuUse, HostObservation};
use crate::plan::{GroupState, ModuleState};
use crate::policy::PassthroughPolicy;

/// IOMMU, group, isolation. The two looks have to agree: a card that moved between them is not touched.
pub(super) fn group(host: &HostObservation, seen: &GroupState, gpu: &Gpu) -> Vec<Blocker> {
    let mut all = Vec::new();
    if gpu.usage == GpuUse::Quarantined {
        all.push(Blocker::Quarantined { why: "an earlier change of it could not be undone".to_owned() });
    }
    if seen.no_iommu {
        all.push(Blocker::NoIommuMode { machine: Machine::of(&host.host) });
        return all;
    }
    if host.iommu_groups_total == 0 {
        all.push(Blocker::IommuOff { machine: Machine::of(&host.host) });
        return all;
    }
    let group = match &seen.group {
        Reading::Known(group) => *group,
        Reading::Absent(Absence::None) => {
            all.push(Blocker::NoIommuGroup);
            return all;
        }
        Reading::Absent(why) => {
            all.push(Blocker::IommuGroupUnknown { why: why.code().to_owned() });
            return all;
        }
    };
    let here: Vec<_> = seen.endpoints().map(|member| member.address).collect();
    if scope_of(host, gpu.pci.address).map(|scope| scope.members) != Some(here) {
        let why = "its members changed between two observations; try again".to_owned();
        all.push(Blocker::IommuGroupUnknown { why });
    }
    let foreign: Vec<Foreign> = seen
        .endpoints()
        .filter(|member| !member.address.same_card(gpu.pci.address))
        .map(|member| Foreign {
            address: member.address,
            class: member.class.known().map(ToString::to_string),
            driver: member.driver.known().cloned(),
        })
        .collect();
    if !foreign.is_empty() {
        all.push(Blocker::GroupNotIsolated { group, foreign });
    }
    all
}

/// vGPU, vSGA, mediated devices, SR-IOV.
pub(super) fn mediated(gpu: &Gpu, seen: &GroupState) -> Vec<Blocker> {
    let mut all = Vec::new();
    let mode = gpu.driver.as_ref().and_then(|driver| driver.virtualization.known());
    match mode.map(String::as_str) {
        Some(mode @ ("Host VGPU" | "Host VSGA")) => all.push(Blocker::VgpuHost { mode: mode.to_owned() }),
        Some("VGPU") => all.push(Blocker::VgpuGuest),
        Some(_) | None => {}
    }
    for member in seen.endpoints() {
        if let Some(count) = member.mediated_devices.get().filter(|count| *count > 0) {
            all.push(Blocker::MediatedDevices { address: member.address, count });
        }
    }
    let listed = u32::try_from(gpu.pci.virtual_functions.len()).unwrap_or(u32::MAX);
    let switched_on = seen.endpoints().filter_map(|member| member.virtual_functions.get()).max().unwrap_or(0);
    let count = listed.max(switched_on);
    if count > 0 {
        all.push(Blocker::SriovVfsActive { count });
    }
    all.extend(gpu.pci.physical_function.map(|physical| Blocker::VirtualFunction { physical }));
    all
}

/// What keeps the GPU's MIG from being changed: the host is a guest that has a part of it, or other guests have virtual functions of it.
pub(crate) fn in_parts(gpu: &Gpu, is_mode: bool) -> Vec<Blocker> {
    let mode = gpu.driver.as_ref().and_then(|driver| driver.virtualization.known());
    let is_guest = is_mode && mode.is_some_and(|mode| mode == "VGPU");
    let count = u32::try_from(gpu.pci.virtual_functions.len()).unwrap_or(u32::MAX);
    let functions = (count > 0).then_some(Blocker::SriovVfsActive { count });
    is_guest.then_some(Blocker::VgpuGuest).into_iter().chain(functions).collect()
}

/// MIG mode on, now or after the next reset.
pub(super) fn mig(gpu: &Gpu) -> Option<Blocker> {
    let driver = gpu.driver.as_ref()?;
    let on = [&driver.mig_current, &driver.mig_pending].iter().any(|mode| mode.get() == Some(MigMode::Enabled));
    let devices = u32::try_from(driver.mig_devices.len()).unwrap_or(u32::MAX);
    on.then_some(Blocker::MigEnabled { devices })
}

/// The firmware's console and the kernel's.
pub(super) fn console(gpu: &Gpu, seen: &GroupState, policy: &PassthroughPolicy) -> Vec<Blocker> {
    if policy.boot_vga {
        return Vec::new();
    }
    let boot_vga = (gpu.pci.boot_vga.get() == Some(true)).then_some(Blocker::BootVga);
    let consoles = seen.endpoints().filter_map(|member| {
        let what = member.console.clone()?;
        Some(Blocker::ConsoleInUse { address: member.address, what })
    });
    boot_vga.into_iter().chain(consoles).collect()
}

/// What cannot be read cannot be restored.
pub(super) fn readable(seen: &GroupState) -> Vec<Blocker> {
    let unreadable = |member: &crate::plan::MemberState| {
        let (what, why) = member.settled().err()?;
        Some(Blocker::MemberUnreadable { address: member.address, what: what.to_owned(), said: why.code().to_owned() })
    };
    seen.endpoints().filter_map(unreadable).collect()
}

/// The kernel has the driver, or can load it.
pub(super) fn vfio(seen: &GroupState) -> Option<Blocker> {
    match seen.module {
        ModuleState::Loaded | ModuleState::Loadable => None,
        ModuleState::Missing => vfio_driver(seen).map(|driver| Blocker::VfioMissing { driver }),
    }
}

/// On a vfio driver without a record of ours.
pub(super) fn bound_by_others(host: &HostObservation, seen: &GroupState) -> Vec<Blocker> {
    let other = |member: &crate::plan::MemberState| {
        let driver = member.driver.known().filter(|driver| driver.is_vfio())?;
        let claimed = claimed(host, member, driver.as_str());
        Some(Blocker::BoundByOthers { address: member.address, driver: driver.clone(), claimed })
    };
    seen.endpoints().filter_map(other).collect()
}

/// The setting that has the driver take the function at boot.
fn claimed(host: &HostObservation, member: &crate::plan::MemberState, driver: &str) -> Option<Claimed> {
    let (id, class) = (member.id.get()?, member.class.get()?);
    let takes = |claim: &&Claim| claim.by.driver() == driver && claim.pattern.matches(id, &Reading::default(), class);
    let claim = host.host.stack.claims.iter().find(takes)?;
    let os_id = host.host.os_id.known().map(String::as_str);
    Some(Claimed { by: claim.to_string(), to_do: claim.cure(id, member.address, os_id) })
}

/// Processes, containers and USB devices. A process that could not be looked into may hold anything.
pub(super) fn holders(holders: &Holders, seen: &GroupState, gpu: &Gpu) -> Vec<Blocker> {
    let mut found = holders.found.clone();
    for member in seen.endpoints() {
        found.extend(member.usb_devices.iter().map(|device| Holder {
            pid: None,
            command: None,
            unit: None,
            container: None,
            address: Some(member.address),
            instance: None,
            hold: Hold::UsbDevice { device: device.clone() },
        }));
    }
    found.extend(named_by_driver(holders, gpu));
    let in_use = (!found.is_empty()).then_some(Blocker::InUse { holders: found });
    let unknown =
        (!holders.unreadable.is_empty()).then(|| Blocker::UnknownHolder { processes: holders.unreadable.clone() });
    in_use.into_iter().chain(unknown).collect()
}

/// Processes that the driver names and that no look into /proc found: those of another PID namespace.
pub(crate) fn named_by_driver(holders: &Holders, gpu: &Gpu) -> Vec<Holder> {
    let named = gpu.driver.as_ref().and_then(|driver| driver.processes.known());
    let known = |pid| holders.found.iter().any(|holder| holder.pid == Some(pid));
    let unseen = named.into_iter().flatten().filter(|process| !known(process.pid));
    unseen
        .map(|process| Holder {
            pid: Some(process.pid),
            command: process.name.known().cloned(),
            unit: None,
            container: None,
            address: Some(gpu.pci.address),
            instance: None,
            hold: Hold::DriverProcess,
        })
        .collect()
}

/// VFIO locks all memory of the guest: it must be there.
pub(super) fn guest_memory(host: &HostObservation, wanted_mib: u64, policy: &PassthroughPolicy) -> Option<Blocker> {
    let reserve_mib = policy.memory_reserve_mib;
    let available_mib = host.host.mem_available_bytes.get().map(|bytes| bytes / (1024 * 1024));
    let enough = available_mib.is_some_and(|mib| mib.checked_sub(reserve_mib).is_some_and(|free| free >= wanted_mib));
    (!enough).then_some(Blocker::GuestMemory { wanted_mib, available_mib, reserve_mib })
}
