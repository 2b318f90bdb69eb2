//! What a GPU is: name, UUID, PCI, versions, modes.

use crate::answer::{known, put, put_text};
use crate::codes::{INVALID_ARGUMENT, UNKNOWN, architecture, brand, virtualization};
use crate::device::{Target, gpu, target};
use model::driver::DriverGpu;
use model::{PciId, Reading};
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlPciInfo_t};
use std::ffi::{c_char, c_int, c_uint};

crate::nvml! {
    /// Product name; of a MIG device the name of its GPU with `MIG` and the profile.
    fn nvmlDeviceGetName(library, device: nvmlDevice_t, name: *mut c_char, length: c_uint) {
        let text = match target(library, device)? {
            Target::Gpu(gpu) => known(&gpu.name)?.clone(),
            Target::Mig(gpu, mig) => format!("{} MIG {}", known(&gpu.name)?, known(&mig.profile)?),
        };
        // SAFETY: as the function's contract.
        unsafe { put_text(name, length, &text) }
    }

    /// UUID of a GPU or of a MIG device.
    fn nvmlDeviceGetUUID(library, device: nvmlDevice_t, uuid: *mut c_char, length: c_uint) {
        let text = match target(library, device)? {
            Target::Gpu(gpu) => known(&gpu.uuid)?.as_str(),
            Target::Mig(_, mig) => known(&mig.uuid)?.as_str(),
        };
        // SAFETY: as the function's contract.
        unsafe { put_text(uuid, length, text) }
    }

    /// Board serial number.
    fn nvmlDeviceGetSerial(library, device: nvmlDevice_t, serial: *mut c_char, length: c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put_text(serial, length, known(&gpu(library, device)?.serial)?) }
    }

    /// VBIOS version.
    fn nvmlDeviceGetVbiosVersion(library, device: nvmlDevice_t, version: *mut c_char, length: c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put_text(version, length, known(&gpu(library, device)?.vbios)?) }
    }

    /// Brand.
    fn nvmlDeviceGetBrand(library, device: nvmlDevice_t, kind: *mut c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put(kind, brand(known(&gpu(library, device)?.brand)?)) }
    }

    /// Architecture.
    fn nvmlDeviceGetArchitecture(library, device: nvmlDevice_t, kind: *mut c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put(kind, architecture(known(&gpu(library, device)?.architecture)?)) }
    }

    /// CUDA compute capability.
    fn nvmlDeviceGetCudaComputeCapability(library, device: nvmlDevice_t, major: *mut c_int, minor: *mut c_int) {
        let (high, low) = *known(&gpu(library, device)?.compute_capability)?;
        // SAFETY: as the function's contract.
        unsafe { put(major, c_int::try_from(high).unwrap_or(0)) }?;
        // SAFETY: as the function's contract.
        unsafe { put(minor, c_int::try_from(low).unwrap_or(0)) }
    }

    /// Minor number of `/dev/nvidiaN`.
    fn nvmlDeviceGetMinorNumber(library, device: nvmlDevice_t, minor: *mut c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put(minor, *known(&gpu(library, device)?.minor)?) }
    }

    /// Index in the driver's order.
    fn nvmlDeviceGetIndex(library, device: nvmlDevice_t, index: *mut c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put(index, *known(&gpu(library, device)?.index)?) }
    }

    /// Persistence mode.
    fn nvmlDeviceGetPersistenceMode(library, device: nvmlDevice_t, mode: *mut c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put(mode, c_uint::from(*known(&gpu(library, device)?.persistence)?)) }
    }

    /// Virtualization mode.
    fn nvmlDeviceGetVirtualizationMode(library, device: nvmlDevice_t, mode: *mut c_uint) {
        let number = virtualization(known(&gpu(library, device)?.virtualization)?).ok_or(UNKNOWN)?;
        // SAFETY: as the function's contract.
        unsafe { put(mode, number) }
    }

    /// Whether a vGPU host uses SR-IOV.
    fn nvmlDeviceGetHostVgpuMode(library, device: nvmlDevice_t, mode: *mut c_uint) {
        let sriov = known(&gpu(library, device)?.host_vgpu_mode)? == "SR-IOV";
        // SAFETY: as the function's contract.
        unsafe { put(mode, c_uint::from(sriov)) }
    }

    /// ECC mode now and after the next reset.
    fn nvmlDeviceGetEccMode(library, device: nvmlDevice_t, current: *mut c_uint, pending: *mut c_uint) {
        let on = c_uint::from(*known(&gpu(library, device)?.ecc_enabled)?);
        // SAFETY: as the function's contract.
        unsafe { put(current, on) }?;
        // SAFETY: as the function's contract.
        unsafe { put(pending, on) }
    }

    /// PCI address and ids. A MIG device has those of its GPU.
    fn nvmlDeviceGetPciInfo_v3(library, device: nvmlDevice_t, pci: *mut nvmlPciInfo_t) {
        let (Target::Gpu(gpu) | Target::Mig(gpu, _)) = target(library, device)?;
        // SAFETY: as the function's contract.
        unsafe { put(pci, pci_info(gpu).ok_or(INVALID_ARGUMENT)?) }
    }

    /// PCIe generation now.
    fn nvmlDeviceGetCurrPcieLinkGeneration(library, device: nvmlDevice_t, generation: *mut c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put(generation, *known(&gpu(library, device)?.metrics.pcie_generation)?) }
    }

    /// Highest PCIe generation.
    fn nvmlDeviceGetMaxPcieLinkGeneration(library, device: nvmlDevice_t, generation: *mut c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put(generation, *known(&gpu(library, device)?.metrics.pcie_max_generation)?) }
    }

    /// PCIe lanes now.
    fn nvmlDeviceGetCurrPcieLinkWidth(library, device: nvmlDevice_t, width: *mut c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put(width, *known(&gpu(library, device)?.metrics.pcie_width)?) }
    }

    /// Most PCIe lanes.
    fn nvmlDeviceGetMaxPcieLinkWidth(library, device: nvmlDevice_t, width: *mut c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put(width, *known(&gpu(library, device)?.metrics.pcie_max_width)?) }
    }
}

fn pci_info(gpu: &DriverGpu) -> Option<nvmlPciInfo_t> {
    let at = gpu.address;
    // Device in the upper half, vendor in the lower; 0 where the driver does not know.
    let glued = |id: &Reading<PciId>| id.get().map_or(0, |id| u32::from(id.device) << 16 | u32::from(id.vendor));
    // Upper case; the old field has four digits of domain, the new one eight.
    let text = |digits: usize| format!("{:0digits$X}:{:02X}:{:02X}.{:X}", at.domain, at.bus, at.device, at.function);
    Some(nvmlPciInfo_t {
        busIdLegacy: fixed(&text(4))?,
        domain: at.domain,
        bus: u32::from(at.bus),
        device: u32::from(at.device),
        pciDeviceId: glued(&gpu.pci_id),
        pciSubSystemId: glued(&gpu.subsystem),
        busId: fixed(&text(8))?,
    })
}

fn fixed<const N: usize>(text: &str) -> Option<[c_char; N]> {
    let mut characters = [0; N];
    if text.len() >= N {
        return None;
    }
    for (to, from) in characters.iter_mut().zip(text.bytes()) {
        *to = c_char::try_from(from).ok()?;
    }
    Some(characters)
}
