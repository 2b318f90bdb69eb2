//! Whether a step may be taken on this host, from what the host itself shows: the last check, regardless of who sent the step.

use model::absence::Absence;
use model::ids::{DriverName, PciAddress};
use model::plan::{GroupState, MemberState, Scope, Step};
use model::policy::Policy;
use std::path::{Path, PathBuf};

/// A step that may be taken, as what is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// Have the module of this driver loaded.
    Module(DriverName),
    /// Write this text to this attribute.
    Write {
        /// The attribute.
        file: PathBuf,
        /// What is written, with its line end.
        text: String,
    },
}

/// Why a step is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It would write to a function that the change is not about.
    #[error("{0} is not in the scope of the change")]
    OutOfScope(PciAddress),
    /// What the change is about is no GPU.
    #[error("{0} is not a GPU: its class is not that of a display or an accelerator")]
    NoGpu(PciAddress),
    /// A function of the scope is gone, or belongs to another card, or is a bridge.
    #[error("{0} is not a function of the GPU's own card")]
    NotOfTheCard(PciAddress),
    /// The group holds more than the scope: a guest would reach it.
    #[error("{0} shares the IOMMU group and is not part of the change")]
    NotIsolated(PciAddress),
    /// There is no group that would keep a guest in.
    #[error("{0} has no IOMMU group")]
    NoGroup(PciAddress),
    /// It is a part of a card that the host keeps.
    #[error("{0} is a virtual function: its card belongs to the host")]
    VirtualFunction(PciAddress),
    /// Its virtual functions, which guests may have, would go with it.
    #[error("{0} has enabled virtual functions")]
    HasVirtualFunctions(PciAddress),
    /// The driver to let go is not the one that has it.
    #[error("{0} is not bound to {1}")]
    NotBound(PciAddress, DriverName),
    /// Only vfio drivers are loaded.
    #[error("{0} is not a vfio driver")]
    NoVfioDriver(DriverName),
    /// The local policy forbids it.
    #[error("/etc/gpuhostd/policy.toml: {0}")]
    Policy(String),
}

/// Checks one step against a fresh look.
///
/// # Errors
/// The first thing that speaks against it.
pub fn check(sysfs: &Path, seen: &GroupState, scope: &Scope, step: &Step, policy: &Policy) -> Result<Checked, Unfit> {
    fits_the_card(seen, scope)?;
    let function = |address: &PciAddress| sysfs.join("bus/pci/devices").join(address.to_string());
    let in_scope = |address: &PciAddress| {
        if scope.members.contains(address) { Ok(()) } else { Err(Unfit::OutOfScope(*address)) }
    };
    if let Some(address) = step.address() {
        in_scope(&address)?;
    }
    Ok(match step {
        Step::LoadModule { driver } if driver.is_vfio() => Checked::Module(driver.clone()),
        Step::LoadModule { driver } => return Err(Unfit::NoVfioDriver(driver.clone())),
        Step::SetDriverOverride { address, to } => {
            if to.as_ref().is_some_and(DriverName::is_vfio) {
                may_be_given_away(sysfs, seen, scope, policy)?;
            }
            let text = to.as_ref().map_or("", |driver| driver.as_str());
            write(function(address).join("driver_override"), text)
        }
        Step::Unbind { address, driver } => {
            is_bound(seen, *address, driver)?;
            // A GPU that was pulled out can only be left behind by companions that had been given away with it.
            if seen.member(scope.gpu).is_none() && !driver.is_vfio() {
                return Err(Unfit::NoGpu(scope.gpu));
            }
            write(sysfs.join("bus/pci/drivers").join(driver.as_str()).join("unbind"), &address.to_string())
        }
        Step::Probe { address } => {
            if overridden_with_vfio(seen, *address) {
                may_be_given_away(sysfs, seen, scope, policy)?;
            }
            write(sysfs.join("bus/pci/drivers_probe"), &address.to_string())
        }
        Step::SetD3cold { address, allowed } => {
            write(function(address).join("d3cold_allowed"), if *allowed { "1" } else { "0" })
        }
        Step::SetPowerControl { address, to } => write(function(address).join("power/control"), to.code()),
    })
}

fn write(file: PathBuf, text: &str) -> Checked {
    Checked::Write { file, text: format!("{text}\n") }
}

/// The scope is one card with a GPU on it, and no bridge.
fn fits_the_card(seen: &GroupState, scope: &Scope) -> Result<(), Unfit> {
    let gpu = seen.member(scope.gpu).filter(|gpu| scope.members.contains(&gpu.address));
    // A GPU that was pulled out leaves companions whose former state can still be given back.
    let is_gpu = |gpu: &MemberState| gpu.class.get().is_some_and(model::ids::PciClass::is_gpu);
    if gpu.is_some_and(|gpu| !is_gpu(gpu)) || gpu.is_none() && seen.member(scope.gpu).is_some() {
        return Err(Unfit::NoGpu(scope.gpu));
    }
    let stray = scope.members.iter().find(|address| {
        let member = seen.member(**address);
        let bridge = member.is_some_and(MemberState::is_bridge);
        !address.same_card(scope.gpu) || bridge || gpu.is_none() && !member.is_none_or(may_be_left_behind)
    });
    stray.map_or(Ok(()), |address| Err(Unfit::NotOfTheCard(*address)))
}

/// What is on the card of a GPU: audio (0x0403), USB (0x0c03) and the USB-C controller (0x0c80). Without a GPU beside it
/// nothing else is taken for a part of one: a name in a request makes no disk a companion.
fn may_be_left_behind(member: &MemberState) -> bool {
    member.class.get().is_some_and(|class| matches!(class.0 >> 8, 0x0403 | 0x0c03 | 0x0c80))
}

/// A guest that gets the group gets the card and nothing else, and the ceiling of the policy allows it.
fn may_be_given_away(sysfs: &Path, seen: &GroupState, scope: &Scope, policy: &Policy) -> Result<(), Unfit> {
    let rules = &policy.host.passthrough;
    if !rules.allowed {
        return Err(Unfit::Policy("host.passthrough.allowed is false".to_owned()));
    }
    if rules.never.iter().any(|never| scope.members.contains(never)) {
        return Err(Unfit::Policy(format!("host.passthrough.never names {}", scope.gpu)));
    }
    let folder = sysfs.join("bus/pci/devices").join(scope.gpu.to_string());
    let is_on = |file: &str| std::fs::read_to_string(folder.join(file)).is_ok_and(|text| text.trim() == "1");
    let consoles = scope.members.iter().filter_map(|address| seen.member(*address)?.console.clone());
    let primary = || (is_on("boot_vga") || is_on("boot_display")).then(|| "it is the boot console".to_owned());
    if let Some(what) = primary().or(consoles.into_iter().next()).filter(|_| !rules.boot_vga) {
        return Err(Unfit::Policy(format!("{}: {what}, and host.passthrough.boot_vga is false", scope.gpu)));
    }
    if seen.group.get().is_none() || seen.no_iommu {
        return Err(Unfit::NoGroup(scope.gpu));
    }
    if let Some(address) = scope.members.iter().find(|address| is_virtual(sysfs, **address)) {
        return Err(Unfit::VirtualFunction(*address));
    }
    let has_virtual = |member: &&MemberState| member.virtual_functions.get().is_some_and(|count| count > 0);
    if let Some(member) = seen.endpoints().find(has_virtual) {
        return Err(Unfit::HasVirtualFunctions(member.address));
    }
    let foreign = seen.endpoints().find(|member| !scope.members.contains(&member.address));
    foreign.map_or(Ok(()), |member| Err(Unfit::NotIsolated(member.address)))
}

/// On the host that has the card, each of its virtual functions links to it. What cannot be looked at counts as linked.
fn is_virtual(sysfs: &Path, address: PciAddress) -> bool {
    let link = sysfs.join("bus/pci/devices").join(address.to_string()).join("physfn");
    !matches!(link.symlink_metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound)
}

fn is_bound(seen: &GroupState, address: PciAddress, driver: &DriverName) -> Result<(), Unfit> {
    let bound = seen.member(address).is_some_and(|member| member.driver.known() == Some(driver));
    if bound { Ok(()) } else { Err(Unfit::NotBound(address, driver.clone())) }
}

/// What cannot be read is taken for what would need the stricter rule.
fn overridden_with_vfio(seen: &GroupState, address: PciAddress) -> bool {
    let Some(member) = seen.member(address) else { return false };
    match (&member.driver_override.known(), member.driver_override.absence()) {
        (Some(driver), _) => driver.is_vfio(),
        (None, Some(Absence::None)) => false,
        (None, _) => true,
    }
}
