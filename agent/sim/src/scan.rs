//! What a scan of `/sys/bus/pci` and `/sys/kernel/iommu_groups` shows of the simulated bus.

use crate::bus::{Bus, Function, Link};
use crate::faults::{Attribute, Faults, PciFaultKind};
use model::absence::{Absence, Reading};
use model::pci::{
    DrmNodes, GpuFunction, GroupMember, IommuGroup, PciScan, PcieLink, PciePort, RuntimeStatus, UnreadableFunction,
    VENDOR_NVIDIA,
};
use model::{DriverName, IommuGroupId, PciAddress, PciClass};
use std::collections::BTreeSet;

/// What the kernel shows where a directory is in place of an attribute: the one way to make a file of an on-disk
/// tree unreadable for root too, so both forms of the simulated host use it.
pub const UNREADABLE: &str = "EISDIR: Is a directory";

/// Base class and subclass of an NVSwitch (bridge, other).
const NVSWITCH: u32 = 0x0680;

/// Scans the bus.
#[must_use]
pub fn scan(bus: &Bus, faults: &Faults) -> PciScan {
    let view = View { bus, faults };
    let seen = || bus.functions.values().filter(|f| !view.vanishes(f.address));
    let gpus: Vec<GpuFunction> = seen().filter(|f| view.is_listed_gpu(f)).map(|f| view.gpu(f)).collect();
    let holders: BTreeSet<IommuGroupId> = gpus.iter().filter_map(|gpu| gpu.iommu_group.get()).collect();
    PciScan {
        groups: holders.iter().map(|id| view.group(*id)).collect(),
        iommu_groups_total: u32::try_from(bus.groups().len()).unwrap_or(u32::MAX),
        functions_total: u32::try_from(seen().count()).unwrap_or(u32::MAX),
        unreadable: seen().filter_map(|f| view.unreadable(f)).collect(),
        nvswitches: seen().filter(|f| view.is_nvswitch(f)).map(|f| f.address).collect(),
        gpus,
    }
}

struct View<'a> {
    bus: &'a Bus,
    faults: &'a Faults,
}

impl View<'_> {
    fn fault(&self, address: PciAddress, attribute: Attribute) -> Option<Absence> {
        self.faults.pci.iter().filter(|fault| fault.address == address).find_map(|fault| match &fault.what {
            PciFaultKind::Vanishes => None,
            PciFaultKind::Unreadable(which) => {
                (*which == attribute).then(|| Absence::Unreadable(UNREADABLE.to_owned()))
            }
            PciFaultKind::Garbage(which, text) => (*which == attribute).then(|| Absence::garbled(text)),
        })
    }

    fn vanishes(&self, address: PciAddress) -> bool {
        self.faults.pci.iter().any(|fault| fault.address == address && fault.what == PciFaultKind::Vanishes)
    }

    fn reading<T>(&self, function: &Function, attribute: Attribute, value: Option<T>) -> Reading<T> {
        match self.fault(function.address, attribute) {
            Some(why) => Reading::Absent(why),
            None => value.map_or(Reading::Absent(Absence::None), Reading::Known),
        }
    }

    /// `driver_override` takes any text; only one that could be a driver's name is a name.
    fn driver_override(&self, function: &Function) -> Reading<String> {
        match self.reading(function, Attribute::DriverOverride, function.driver_override.clone()) {
            Reading::Known(text) | Reading::Absent(Absence::Garbled(text)) => match text.parse::<DriverName>() {
                Ok(driver) => Reading::Known(driver.into()),
                Err(_) => Reading::Absent(Absence::garbled(&text)),
            },
            Reading::Absent(why) => Reading::Absent(why),
        }
    }

    /// A function whose class, vendor or device cannot be read is no GPU that anybody could name.
    fn has_identity(&self, function: &Function) -> bool {
        self.unreadable(function).is_none()
    }

    /// The first attribute that a scan needs of this function and cannot have: of GPUs the whole identity, of what may
    /// be an NVSwitch the vendor too, of all others the class alone.
    fn unreadable(&self, function: &Function) -> Option<UnreadableFunction> {
        let needed: &[Attribute] = match function.class.base_and_sub() {
            _ if function.class.is_gpu() => &[Attribute::Class, Attribute::Vendor, Attribute::Device],
            NVSWITCH => &[Attribute::Class, Attribute::Vendor],
            _ => &[Attribute::Class],
        };
        let fault = |attribute: &Attribute| Some((*attribute, self.fault(function.address, *attribute)?));
        let (attribute, why) = needed.iter().find_map(fault)?;
        let path = format!("/sys/bus/pci/devices/{}/{}", function.address, attribute.file());
        Some(UnreadableFunction { name: function.address.to_string(), path, said: absence_text(&why) })
    }

    /// The physical function, where it is on this host.
    fn physical_of(&self, function: &Function) -> Option<&Function> {
        let physical = self.bus.functions.get(&function.physical_function?)?;
        (!self.vanishes(physical.address)).then_some(physical)
    }

    fn is_listed_gpu(&self, function: &Function) -> bool {
        let under_its_gpu = self.physical_of(function).is_some_and(|physical| self.has_identity(physical));
        function.class.is_gpu() && !under_its_gpu && self.has_identity(function)
    }

    fn is_nvswitch(&self, function: &Function) -> bool {
        function.id.vendor == VENDOR_NVIDIA && function.class.base_and_sub() == NVSWITCH && self.has_identity(function)
    }

    fn gpu(&self, function: &Function) -> GpuFunction {
        GpuFunction {
            address: function.address,
            id: function.id,
            class: function.class,
            subsystem: self
                .reading(function, Attribute::SubsystemVendor, Some(function.subsystem))
                .and(|| self.reading(function, Attribute::SubsystemDevice, Some(function.subsystem))),
            driver: known_or_none(function.driver.clone()),
            driver_override: self.driver_override(function),
            iommu_group: known_or_none(function.group),
            numa_node: self.reading(function, Attribute::NumaNode, function.numa_node),
            link: self.link(function),
            boot_vga: self.reading(function, Attribute::BootVga, function.boot_vga),
            drm: drm_nodes(function),
            virtual_functions: function.virtual_functions.clone(),
            physical_function: self.physical_of(function).map(|physical| physical.address),
            power_state: self.reading(function, Attribute::PowerState, Some(function.power_state.clone())),
            state: function.state_now(),
            companions: self.companions(function),
            name: function.name.clone(),
            vendor_name: function.vendor_name.clone(),
        }
    }

    fn companions(&self, gpu: &Function) -> Vec<PciAddress> {
        let same_card = |f: &&Function| f.address != gpu.address && f.address.same_card(gpu.address);
        let own = |f: &&Function| f.physical_function.is_none() && !self.vanishes(f.address);
        self.bus.functions.values().filter(same_card).filter(own).map(|f| f.address).collect()
    }

    /// A function without the PCI Express capability has no such files (`pcie_dev_attrs_are_visible`); an integrated one
    /// has them, and no link behind them: `Unknown` and 0.
    fn link(&self, function: &Function) -> PcieLink {
        let is_asleep =
            matches!(function.state.runtime.get(), Some(RuntimeStatus::Suspended | RuntimeStatus::Suspending));
        let part = |attribute: Attribute, pick: fn(Link) -> u32, no_link: &str| match function.link.map(pick) {
            None => Reading::Absent(Absence::NotReported),
            // Newer kernels would wake it to read these.
            Some(_) if is_asleep && attribute != Attribute::MaxLinkSpeed => Reading::Absent(Absence::GpuAsleep),
            Some(0) => self.reading(function, attribute, None).or_said(no_link),
            Some(value) => self.reading(function, attribute, Some(value)),
        };
        PcieLink {
            generation: part(Attribute::CurrentLinkSpeed, |link| link.now.generation, "Unknown"),
            max_generation: part(Attribute::MaxLinkSpeed, |link| link.best.generation, "Unknown"),
            width: part(Attribute::CurrentLinkWidth, |link| link.now.width, "0"),
            max_width: part(Attribute::MaxLinkWidth, |link| link.best.width, "0"),
            port: if is_asleep { None } else { self.port(function) },
        }
    }

    fn port(&self, function: &Function) -> Option<PciePort> {
        let bridge = self.bus.functions.get(&function.parent?)?;
        let known = |value: Option<u32>| value.filter(|value| *value > 0).into();
        Some(PciePort {
            address: bridge.address,
            max_generation: known(bridge.link.map(|link| link.best.generation)),
            max_width: known(bridge.link.map(|link| link.best.width)),
        })
    }

    fn group(&self, id: IommuGroupId) -> IommuGroup {
        let members = self.bus.functions.values().filter(|f| f.group == Some(id) && !self.vanishes(f.address));
        IommuGroup {
            id,
            kind: Reading::Known(self.bus.iommu_type.clone()),
            members: members.map(|f| self.member(f)).collect(),
        }
    }

    fn member(&self, function: &Function) -> GroupMember {
        let class: Reading<PciClass> = self.reading(function, Attribute::Class, Some(function.class));
        GroupMember {
            address: function.address,
            id: self
                .reading(function, Attribute::Vendor, Some(function.id))
                .and(|| self.reading(function, Attribute::Device, Some(function.id))),
            class,
            driver: known_or_none(function.driver.clone()),
        }
    }
}

trait ReadingExt: Sized {
    /// The second reading where the first is known.
    fn and(self, second: impl FnOnce() -> Self) -> Self;

    /// In place of "none" the text that the kernel has there, which is no value.
    fn or_said(self, text: &str) -> Self;
}

impl<T> ReadingExt for Reading<T> {
    fn or_said(self, text: &str) -> Self {
        if self.is_none() { Self::Absent(Absence::garbled(text)) } else { self }
    }

    fn and(self, second: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Known(_) => second(),
            Self::Absent(why) => Self::Absent(why),
        }
    }
}

fn known_or_none<T>(value: Option<T>) -> Reading<T> {
    value.map_or(Reading::Absent(Absence::None), Reading::Known)
}

fn absence_text(why: &Absence) -> String {
    match why {
        Absence::Unreadable(said) => said.clone(),
        Absence::Garbled(text) => format!("{text:?} has no meaning here"),
        Absence::None
        | Absence::NotSupported
        | Absence::NotReported
        | Absence::Deprecated
        | Absence::GpuLost
        | Absence::ResetRequired
        | Absence::NoPermission
        | Absence::UnknownError
        | Absence::DriverAbsent
        | Absence::ProbeTimeout
        | Absence::ProbeFailed
        | Absence::GpuAsleep
        | Absence::NotProbed
        | Absence::NotRead => why.code().to_owned(),
    }
}

fn drm_nodes(function: &Function) -> DrmNodes {
    let Some(numbers) = function.drm_now() else { return DrmNodes::default() };
    DrmNodes {
        card: Some(format!("card{}", numbers.card)),
        render: numbers.render.map(|render| format!("renderD{render}")),
    }
}
