//! The simulated PCI bus: a description laid out as functions, with what sysfs would show of each.

use crate::bad_description::BadDescription;
use crate::description::{
    CardModel, Description, DrmNumbers, GpuDescription, LinkCapability, OtherFunction, SimHealth,
};
use model::absence::{Absence, Reading};
use model::pci::{FunctionState, Mediated, RuntimeStatus, VENDOR_NVIDIA};
use model::plan::PowerControl;
use model::{DriverName, IommuGroupId, PciAddress, PciClass, PciId};
use std::collections::{BTreeMap, BTreeSet};

/// What sysfs shows of it. A GPU that fell off the bus reads all ones; one that sleeps is not asked.
fn function_state(gpu: &GpuDescription) -> FunctionState {
    let said = &gpu.state;
    let is_asleep = matches!(said.runtime, RuntimeStatus::Suspended | RuntimeStatus::Suspending);
    FunctionState {
        responds: if is_asleep {
            Reading::Absent(Absence::GpuAsleep)
        } else {
            Reading::Known(gpu.health != SimHealth::Lost)
        },
        runtime: Reading::Known(said.runtime),
        may_sleep: Reading::default(),
        d3cold_allowed: Reading::default(),
        removable: Reading::default(),
        reset_methods: Reading::Known(said.reset_methods.clone()),
        mediated: said.mediated.clone(),
    }
}

/// One PCI function as the simulated kernel keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Where it is.
    pub address: PciAddress,
    /// Vendor and device.
    pub id: PciId,
    /// Class code.
    pub class: PciClass,
    /// Subsystem vendor and device.
    pub subsystem: PciId,
    /// Revision.
    pub revision: u8,
    /// Bound driver.
    pub driver: Option<DriverName>,
    /// The driver that its own vendor's module would be: what a probe binds when nothing overrides it.
    pub home_driver: Option<DriverName>,
    /// `driver_override`.
    pub driver_override: Option<String>,
    /// IOMMU group.
    pub group: Option<IommuGroupId>,
    /// NUMA node.
    pub numa_node: Option<u32>,
    /// `boot_vga`: only VGA controllers have the file (`pci_dev_attrs_are_visible`).
    pub boot_vga: Option<bool>,
    /// The firmware's frame buffer in its memory (`sysfb`): a device of its own below the function since Linux 6.9.
    pub frame_buffer: Option<String>,
    /// DRM nodes, where a DRM driver is bound.
    pub drm: Option<DrmNumbers>,
    /// PCIe link now and at best; nothing without the PCI Express capability.
    pub link: Option<Link>,
    /// `power_state`.
    pub power_state: String,
    /// Whether it answers and is awake, and the like; what the two below say of it counts.
    pub state: FunctionState,
    /// `d3cold_allowed`; every PCI function has the file.
    pub d3cold_allowed: Option<bool>,
    /// `power/control`.
    pub power_control: Option<PowerControl>,
    /// The bridge above.
    pub parent: Option<PciAddress>,
    /// The physical function of a virtual one.
    pub physical_function: Option<PciAddress>,
    /// Virtual functions of a physical one.
    pub virtual_functions: Vec<PciAddress>,
    /// Vendor out of the hardware database.
    pub vendor_name: Option<String>,
    /// Name out of the hardware database.
    pub name: Option<String>,
}

impl Function {
    /// The state as sysfs shows it now.
    #[must_use]
    pub fn state_now(&self) -> FunctionState {
        let may_sleep = self.power_control.map(|control| control == PowerControl::Auto);
        FunctionState { may_sleep: may_sleep.into(), d3cold_allowed: self.d3cold_allowed.into(), ..self.state.clone() }
    }

    /// DRM nodes that exist now: a DRM driver makes them when it binds (`drm_dev_register`) and takes them away when
    /// it is unbound, and no other driver makes any.
    #[must_use]
    pub fn drm_now(&self) -> Option<DrmNumbers> {
        self.drm.filter(|_| self.driver.is_some() && self.driver == self.home_driver)
    }
}

/// A PCIe link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Now.
    pub now: LinkCapability,
    /// At best.
    pub best: LinkCapability,
}

const NO_LINK: LinkCapability = LinkCapability { generation: 0, width: 0 };

/// All functions, by address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bus {
    /// The functions.
    pub functions: BTreeMap<PciAddress, Function>,
    /// Default domain type of the groups.
    pub iommu_type: String,
}

impl Bus {
    /// Lays a description out.
    ///
    /// # Errors
    /// Two functions at one address, a bridge or a model that is not described, a function number above 7.
    pub fn lay_out(description: &Description) -> Result<Self, BadDescription> {
        let mut bus = Self {
            functions: BTreeMap::new(),
            iommu_type: description.iommu_type.clone().unwrap_or_else(|| "DMA-FQ".to_owned()),
        };
        for other in &description.functions {
            bus.add(other_function(other))?;
        }
        for gpu in &description.gpus {
            bus.add_card(gpu, model_of(description, gpu)?, home_driver(description, gpu)?)?;
        }
        bus.check_parents()?;
        bus.fill(description.functions_total.unwrap_or(0));
        Ok(bus)
    }

    /// The path of a function below `/sys/devices`.
    #[must_use]
    pub fn device_path(&self, function: &Function) -> String {
        let mut chain = vec![function.address];
        let mut above = function.parent;
        while let Some(bridge) = above.and_then(|address| self.functions.get(&address)) {
            if chain.contains(&bridge.address) {
                break;
            }
            chain.push(bridge.address);
            above = bridge.parent;
        }
        let root = chain.last().copied().unwrap_or(function.address);
        let names: Vec<String> = chain.iter().rev().map(ToString::to_string).collect();
        format!("pci{:04x}:{:02x}/{}", root.domain, root.bus, names.join("/"))
    }

    /// Numbers of all IOMMU groups.
    #[must_use]
    pub fn groups(&self) -> BTreeSet<IommuGroupId> {
        self.functions.values().filter_map(|f| f.group).collect()
    }

    fn add(&mut self, function: Function) -> Result<(), BadDescription> {
        let address = function.address;
        match self.functions.insert(address, function) {
            None => Ok(()),
            Some(_) => Err(BadDescription::TwiceTheSameAddress { address }),
        }
    }

    fn add_card(
        &mut self,
        gpu: &GpuDescription,
        model: &CardModel,
        home: Option<DriverName>,
    ) -> Result<(), BadDescription> {
        let mut physical = gpu_function(gpu, model);
        physical.home_driver = home;
        for companion in &model.companions {
            if !(1..=7).contains(&companion.function) {
                return Err(BadDescription::BadFunctionNumber {
                    model: gpu.model.clone(),
                    function: companion.function,
                });
            }
            let mut function = physical.clone();
            function.address.function = companion.function;
            function.id = companion.id;
            function.class = companion.class;
            function.driver.clone_from(&companion.driver);
            function.home_driver.clone_from(&companion.driver);
            (function.driver_override, function.boot_vga, function.drm) = (None, None, None);
            function.frame_buffer = None;
            (function.vendor_name, function.name) = (None, None);
            self.add(function)?;
        }
        let virtuals = virtual_functions(gpu, &physical);
        physical.virtual_functions = virtuals.iter().map(|f| f.address).collect();
        self.add(physical)?;
        virtuals.into_iter().try_for_each(|function| self.add(function))
    }

    fn check_parents(&self) -> Result<(), BadDescription> {
        let orphan = |f: &Function| f.parent.filter(|parent| !self.functions.contains_key(parent));
        match self.functions.values().find_map(|f| orphan(f).map(|parent| (f.address, parent))) {
            None => Ok(()),
            Some((address, parent)) => Err(BadDescription::NoSuchBridge { address, parent }),
        }
    }

    /// Adds plain functions (as the uncore functions of a Xeon: eight to a device, each device in a group of its own)
    /// on buses that nobody uses.
    fn fill(&mut self, total: u32) {
        let wanted = usize::try_from(total).unwrap_or(usize::MAX);
        let used: BTreeSet<(u32, u8)> = self.functions.keys().map(|a| (a.domain, a.bus)).collect();
        let has_iommu = !self.groups().is_empty();
        let mut group = self.groups().last().map_or(0, |id| id.0.saturating_add(1));
        for bus in (1..=u8::MAX).rev().filter(|bus| !used.contains(&(0, *bus))) {
            for device in 0..32 {
                for function in 0..8 {
                    if self.functions.len() >= wanted {
                        return;
                    }
                    let address = PciAddress { domain: 0, bus, device, function };
                    let filler = filler(address, has_iommu.then_some(IommuGroupId(group)));
                    self.functions.insert(address, filler);
                }
                group = group.saturating_add(1);
            }
        }
    }
}

fn model_of<'a>(description: &'a Description, gpu: &GpuDescription) -> Result<&'a CardModel, BadDescription> {
    description
        .models
        .get(&gpu.model)
        .ok_or_else(|| BadDescription::NoSuchModel { address: gpu.address, model: gpu.model.clone() })
}

/// The driver whose device table names the GPU: the one it is described with, or NVIDIA's where that is installed.
fn home_driver(description: &Description, gpu: &GpuDescription) -> Result<Option<DriverName>, BadDescription> {
    let model = model_of(description, gpu)?;
    let nvidia = description.driver.is_some() && model.id.vendor == VENDOR_NVIDIA;
    let installed = || nvidia.then(|| "nvidia".parse().ok()).flatten();
    Ok(gpu.driver.clone().filter(|driver| !driver.is_vfio()).or_else(installed))
}

fn gpu_function(gpu: &GpuDescription, model: &CardModel) -> Function {
    Function {
        address: gpu.address,
        id: model.id,
        class: model.class,
        subsystem: model.subsystem,
        revision: model.revision,
        driver: gpu.driver.clone(),
        home_driver: None,
        driver_override: gpu.driver_override.clone(),
        group: gpu.group.map(IommuGroupId),
        numa_node: gpu.numa_node,
        boot_vga: is_vga(model.class).then_some(gpu.boot_vga),
        frame_buffer: gpu.frame_buffer.clone(),
        drm: gpu.drm,
        link: model.link.map(|best| Link { now: gpu.link_now.unwrap_or(best), best }),
        power_state: gpu.power_state.clone(),
        state: function_state(gpu),
        d3cold_allowed: Some(gpu.state.d3cold_allowed),
        power_control: Some(if gpu.state.may_sleep { PowerControl::Auto } else { PowerControl::On }),
        parent: gpu.parent,
        physical_function: None,
        virtual_functions: Vec::new(),
        vendor_name: model.vendor_name.clone(),
        name: model.pci_name.clone(),
    }
}

const fn is_vga(class: PciClass) -> bool {
    class.base_and_sub() == 0x0300
}

/// A VF has the class of its PF and no link of its own: its Link Status and Capabilities read as zero.
fn virtual_functions(gpu: &GpuDescription, physical: &Function) -> Vec<Function> {
    let Some(described) = &gpu.virtual_functions else { return Vec::new() };
    (0..described.count)
        .filter_map(|index| {
            let steps = described.stride.checked_mul(index)?.checked_add(described.offset)?;
            let mut function = physical.clone();
            function.address = routing_id_plus(physical.address, steps)?;
            function.driver.clone_from(&described.driver);
            function.home_driver.clone_from(&described.driver);
            function.group = described.first_group.map(|first| IommuGroupId(first.saturating_add(u32::from(index))));
            function.physical_function = Some(physical.address);
            (function.drm, function.driver_override, function.frame_buffer) = (None, None, None);
            function.state.mediated = Mediated::default();
            function.link = Some(Link { now: NO_LINK, best: NO_LINK });
            Some(function)
        })
        .collect()
}

fn routing_id_plus(address: PciAddress, steps: u8) -> Option<PciAddress> {
    let id = (u16::from(address.bus) << 8) | (u16::from(address.device) << 3) | u16::from(address.function);
    let [bus, devfn] = id.checked_add(u16::from(steps))?.to_be_bytes();
    Some(PciAddress { domain: address.domain, bus, device: devfn >> 3, function: devfn & 7 })
}

fn other_function(other: &OtherFunction) -> Function {
    let mut function = filler(other.address, other.group.map(IommuGroupId));
    function.id = other.id;
    function.class = other.class;
    function.parent = other.parent;
    function.numa_node = other.numa_node;
    function.driver.clone_from(&other.driver);
    function.home_driver.clone_from(&other.driver);
    function.boot_vga = is_vga(other.class).then_some(false);
    function.link = other.link.map(|best| Link { now: best, best });
    function
}

fn filler(address: PciAddress, group: Option<IommuGroupId>) -> Function {
    Function {
        address,
        id: PciId { vendor: 0x8086, device: 0x09a4 },
        class: PciClass(0x08_80_00),
        subsystem: PciId { vendor: 0x8086, device: 0x0000 },
        revision: 4,
        driver: None,
        home_driver: None,
        driver_override: None,
        group,
        numa_node: None,
        boot_vga: None,
        frame_buffer: None,
        drm: None,
        link: None,
        power_state: "D0".to_owned(),
        state: FunctionState::default(),
        d3cold_allowed: Some(true),
        power_control: Some(PowerControl::On),
        parent: None,
        physical_function: None,
        virtual_functions: Vec::new(),
        vendor_name: None,
        name: None,
    }
}
