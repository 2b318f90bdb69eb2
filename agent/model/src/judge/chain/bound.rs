//! The second link of the chain: whether the kernel driver that serves the GPU is bound, and if not, what keeps it away.

use super::super::{HostContext, remedy};
use super::State;
use crate::absence::{Absence, Reading};
use crate::claim;
use crate::ids::DriverName;
use crate::pci::{GpuFunction, VENDOR_AMD, VENDOR_INTEL, VENDOR_NVIDIA};
use crate::stack::{Dkms, StackFacts};

/// A driver is bound.
pub(super) fn somebody(pci: &GpuFunction, name: &DriverName, around: &HostContext<'_>) -> State {
    if let Some(claim) = claim::of_gpu(&around.host.stack.claims, pci, name.as_str()) {
        let reason = format!("{name} is bound: {claim} binds it to every {} at each boot", pci.id);
        return State::broken(reason, claim.cure(pci.id, pci.address, around.os_id()));
    }
    if name.as_str() == "dxgkrnl" {
        let reason = "dxgkrnl is bound: this is the Windows Subsystem for Linux (WSL), and the GPU and its driver belong to \
                      Windows";
        return State::broken(reason.to_owned(), remedy::wsl());
    }
    if name.is_vfio() {
        let reason = format!("{name} is bound: the GPU is set aside for a guest, and no driver of the host serves it");
        return State::broken(reason, remedy::take_back(pci, name));
    }
    let serves = match pci.id.vendor {
        VENDOR_NVIDIA => name.as_str() == "nvidia",
        VENDOR_AMD => name.as_str() == "amdgpu",
        VENDOR_INTEL => matches!(name.as_str(), "i915" | "xe"),
        _ => true,
    };
    if serves {
        return State::Holds;
    }
    let wanted = remedy::wanted_driver(pci.id.vendor);
    let reason = format!("the kernel driver {name} is bound; containers can use the GPU only through {wanted}");
    let stack = &around.host.stack;
    let is_installed = pci.id.vendor == VENDOR_NVIDIA && (stack.module_file.known().is_some() || is_loaded(stack));
    State::broken(reason, remedy::replace_driver(pci, name, around.os_id(), is_installed))
}

/// No driver is bound.
pub(super) fn nobody(pci: &GpuFunction, around: &HostContext<'_>) -> State {
    if let Some(wanted) = pci.driver_override.known() {
        let reason = format!("no kernel driver is bound; driver_override keeps the GPU for {wanted}");
        return State::broken(reason, remedy::clear_override(pci.address));
    }
    let known = if pci.id.vendor == VENDOR_NVIDIA { nvidia(pci, around) } else { None };
    known.unwrap_or_else(|| {
        let install = remedy::install_driver(pci.id.vendor, around.os_id());
        State::broken("no kernel driver is bound".to_owned(), unless_overridden(pci, install))
    })
}

/// The scan does not read `driver_override`: the kernel keeps that read waiting while an unbind hangs.
fn unless_overridden(pci: &GpuFunction, otherwise: String) -> String {
    match pci.driver_override.absence() {
        Some(Absence::NotRead) => remedy::look_for_override(pci.address, &otherwise),
        Some(_) | None => otherwise,
    }
}

fn is_loaded(stack: &StackFacts) -> bool {
    stack.module_loaded.known().is_some()
}

/// What the host's files say of NVIDIA's module; `None` where they say nothing that would explain it.
fn nvidia(pci: &GpuFunction, around: &HostContext<'_>) -> Option<State> {
    let (stack, os_id) = (&around.host.stack, around.os_id());
    if let Some(version) = stack.module_loaded.known() {
        let reason =
            format!("no kernel driver is bound: the module nvidia {version} is loaded but did not bind to the GPU");
        return Some(State::broken(reason, unless_overridden(pci, remedy::module::did_not_take(pci.address))));
    }
    let installed = stack.module_file.known();
    if let (Some(_), Some(file)) = (installed, stack.module_barred_by.known()) {
        let reason =
            format!("no kernel driver is bound: the module nvidia is installed, but {file} keeps it from loading");
        return Some(State::broken(reason, remedy::module::unbar(file, os_id)));
    }
    if let Some(file) = installed {
        return Some(not_loaded(stack, file));
    }
    not_installed(around)
}

/// The module is installed and nothing names it, but it is not loaded.
fn not_loaded(stack: &StackFacts, file: &str) -> State {
    let unsigned = stack.module_signed.get() == Some(false);
    if stack.secure_boot.get() == Some(true) && unsigned {
        let reason = format!("no kernel driver is bound: Secure Boot is on, and the module {file} is not signed");
        return State::broken(reason, remedy::module::sign());
    }
    let locked = stack.lockdown.known().is_some_and(|mode| mode != "none");
    if unsigned && locked {
        let reason =
            format!("no kernel driver is bound: the kernel is locked down, and the module {file} is not signed");
        return State::broken(reason, remedy::module::sign());
    }
    let may_be_refused = stack.secure_boot.get() == Some(true);
    let hint =
        if may_be_refused { "; Secure Boot is on, so the kernel loads it only with a trusted signature" } else { "" };
    let reason = format!("no kernel driver is bound: the module nvidia is installed but not loaded{hint}");
    State::broken(reason, remedy::module::load(may_be_refused))
}

/// There is no module for the running kernel; DKMS may know why.
fn not_installed(around: &HostContext<'_>) -> Option<State> {
    let (stack, os_id) = (&around.host.stack, around.os_id());
    let kernel = around.host.kernel.known().map_or("the running kernel", String::as_str);
    match &stack.dkms {
        Reading::Known(Dkms::Failed { version, log }) => {
            let reason = format!("no kernel driver is bound: DKMS could not build nvidia {version} for {kernel}");
            return Some(State::broken(reason, remedy::module::build(Some(log), os_id)));
        }
        Reading::Known(Dkms::NotBuilt { version }) => {
            let reason = format!("no kernel driver is bound: nvidia {version} has not been built for {kernel}");
            return Some(State::broken(reason, remedy::module::build(None, os_id)));
        }
        Reading::Known(Dkms::Built { .. }) | Reading::Absent(_) => {}
    }
    if stack.module_file != Reading::Absent(Absence::None) {
        return None;
    }
    let with_libraries = stack.library_version.known();
    let libraries = with_libraries.map(|version| format!(", though its libraries are (version {version})"));
    let reason = format!(
        "no kernel driver is bound: the module nvidia is not installed for {kernel}{}",
        libraries.unwrap_or_default()
    );
    Some(State::broken(reason, remedy::install_driver(VENDOR_NVIDIA, os_id)))
}
