//! The changing part of a simulated host, and the rules of the kernel by which it changes.

use crate::bad_description::BadDescription;
use crate::bus::{Bus, Function};
use crate::description::{Description, KernelLine, SimHealth};
use crate::mig::SimMig;
use crate::mig_on_host::MigOnHost;
use crate::step_faults::StepFaults;
use model::claim::Claim;
use model::holders::Holder;
use model::mig::MigMaster;
use model::plan::{ModuleState, PowerControl};
use model::stack::DriverLoad;
use model::{DriverName, PciAddress, Reading};
use std::collections::{BTreeMap, BTreeSet};

/// A host as it is now: its description (with the faults of now) and its bus.
#[derive(Debug, Clone)]
pub struct HostState {
    /// The description; faults, health and loads in it may be changed.
    pub description: Description,
    /// The bus.
    pub bus: Bus,
    /// The vfio drivers.
    pub vfio: ModuleState,
    /// Who has a function's device file open.
    pub open: BTreeMap<PciAddress, Vec<Holder>>,
    /// Functions whose lock somebody holds for ever: every further write hangs as well (`device_lock`).
    pub stuck: BTreeSet<PciAddress>,
    /// MIG of the GPUs that can do it.
    pub mig: BTreeMap<PciAddress, SimMig>,
    /// Which load of NVIDIA's driver it is.
    pub driver_load: DriverLoad,
    /// Other programs that set MIG layouts by themselves.
    pub mig_masters: Vec<MigMaster>,
    /// What is to go wrong with the steps that are still to be taken.
    pub step_faults: StepFaults,
}

/// The kernel refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// ENODEV: no such function, or the driver does not take it.
    #[error("{address}: {attempted}: No such device (ENODEV)")]
    NoDevice {
        /// Which function.
        address: PciAddress,
        /// What was tried.
        attempted: String,
    },
    /// The call does not return.
    #[error("{address}: {attempted}: the kernel does not respond")]
    Blocks {
        /// Which function.
        address: PciAddress,
        /// What was tried.
        attempted: String,
    },
    /// EBUSY: a driver is bound already.
    #[error("{address}: {attempted}: Device or resource busy (EBUSY)")]
    Busy {
        /// Which function.
        address: PciAddress,
        /// What was tried.
        attempted: String,
    },
}

impl KernelError {
    /// Its number; `None` where the call does not return.
    #[must_use]
    pub const fn errno(&self) -> Option<i32> {
        match self {
            Self::NoDevice { .. } => Some(19),
            Self::Busy { .. } => Some(16),
            Self::Blocks { .. } => None,
        }
    }
}

/// A driver takes a function; one of VFIO then lets it sleep (`vfio_pci_core_register_device`: `pm_runtime_allow`).
fn attach(function: &mut Function, driver: DriverName) {
    if driver.is_vfio() {
        function.power_control = function.power_control.map(|_| PowerControl::Auto);
    }
    function.driver = Some(driver);
}

impl HostState {
    /// A host as its description states.
    ///
    /// # Errors
    /// The description describes a bus that cannot be.
    pub fn new(description: Description) -> Result<Self, BadDescription> {
        let bus = Bus::lay_out(&description)?;
        Ok(Self {
            mig: MigOnHost::of(&description, &bus).gpus,
            description,
            bus,
            vfio: ModuleState::Loaded,
            open: BTreeMap::new(),
            stuck: BTreeSet::new(),
            driver_load: DriverLoad(1),
            mig_masters: Vec::new(),
            step_faults: StepFaults::default(),
        })
    }

    fn function(&mut self, address: PciAddress, attempted: &str) -> Result<&mut Function, KernelError> {
        let gone = || KernelError::NoDevice { address, attempted: attempted.to_owned() };
        self.bus.functions.get_mut(&address).ok_or_else(gone)
    }

    /// Takes a card away with all its functions (surprise removal: `pciehp_unconfigure_device` removes every function
    /// of the slot, virtual ones with their physical one).
    ///
    /// # Errors
    /// There is no such function.
    pub fn unplug(&mut self, address: PciAddress) -> Result<(), KernelError> {
        self.function(address, "unplug")?;
        self.bus.functions.retain(|at, function| {
            !at.same_card(address) && !function.physical_function.is_some_and(|pf| pf.same_card(address))
        });
        Ok(())
    }

    /// Puts a card back as its description has it.
    ///
    /// # Errors
    /// The description has no such function, or it is there already.
    pub fn plug(&mut self, address: PciAddress) -> Result<(), KernelError> {
        let attempted = "plug".to_owned();
        if self.bus.functions.contains_key(&address) {
            return Err(KernelError::Busy { address, attempted });
        }
        // A description that was laid out once can be laid out again.
        let described = Bus::lay_out(&self.description).unwrap_or_default();
        let of_card =
            |f: &Function| f.address.same_card(address) || f.physical_function.is_some_and(|pf| pf.same_card(address));
        let card: Vec<Function> = described.functions.into_values().filter(of_card).collect();
        if card.is_empty() {
            return Err(KernelError::NoDevice { address, attempted });
        }
        self.bus.functions.extend(card.into_iter().map(|function| (function.address, function)));
        Ok(())
    }

    /// Writes `driver_override`; an empty text clears it (`driver_set_override`). It binds nothing by itself.
    ///
    /// # Errors
    /// There is no such function.
    pub fn set_driver_override(&mut self, address: PciAddress, driver: &str) -> Result<(), KernelError> {
        let text = driver.trim_end_matches('\n');
        self.function(address, "write driver_override")?.driver_override = (!text.is_empty()).then(|| text.to_owned());
        Ok(())
    }

    /// Writes the address to `drivers/<bound driver>/unbind` (`unbind_store`).
    ///
    /// # Errors
    /// ENODEV where no driver is bound: the file of a driver that does not have the function shows it.
    pub fn unbind(&mut self, address: PciAddress) -> Result<(), KernelError> {
        let attempted = "write to unbind";
        let is_open = self.open.get(&address).is_some_and(|holders| !holders.is_empty()) || self.is_persistent(address);
        let function = self.function(address, attempted)?;
        if is_open && function.driver.as_ref().is_some_and(waits_for_users) {
            self.stuck.insert(address);
            return Err(KernelError::Blocks { address, attempted: attempted.to_owned() });
        }
        match function.driver.take() {
            Some(driver) => {
                // `vfio_pci_core_unregister_device` ends with `pm_runtime_forbid`.
                if driver.is_vfio() {
                    function.power_control = function.power_control.map(|_| PowerControl::On);
                }
                Ok(())
            }
            None => Err(KernelError::NoDevice { address, attempted: attempted.to_owned() }),
        }
    }

    /// NVIDIA's driver holds the GPU itself: persistence mode counts as a user of it (`nvl->usage_count`) without any descriptor.
    fn is_persistent(&self, address: PciAddress) -> bool {
        let gpu = self.description.gpus.iter().find(|gpu| gpu.address == address);
        let bound = self.bus.functions.get(&address).and_then(|function| function.driver.as_ref());
        self.description.driver.is_some()
            && gpu.is_some_and(|gpu| gpu.persistence)
            && bound.is_some_and(|driver| driver.as_str() == "nvidia")
    }

    /// Switches persistence mode (`nvidia-smi -pm`). The driver forgets it when the GPU leaves it, and starts without.
    ///
    /// # Errors
    /// There is no such GPU.
    pub fn set_persistence(&mut self, address: PciAddress, on: bool) -> Result<(), KernelError> {
        let gone = || KernelError::NoDevice { address, attempted: "set persistence mode".to_owned() };
        self.description.gpus.iter_mut().find(|gpu| gpu.address == address).ok_or_else(gone)?.persistence = on;
        Ok(())
    }

    /// Writes the address to `drivers_probe` (`bus_rescan_devices_helper`): reports success also where it binds nothing.
    ///
    /// # Errors
    /// There is no such function.
    pub fn probe(&mut self, address: PciAddress) -> Result<(), KernelError> {
        let taker = self.taker(self.bus.functions.get(&address));
        let function = self.function(address, "write to drivers_probe")?;
        if let Some(driver) = taker.filter(|_| function.driver.is_none()) {
            attach(function, driver);
        }
        Ok(())
    }

    /// Writes the address to `drivers/<driver>/bind` (`bind_store`).
    ///
    /// # Errors
    /// EBUSY where a driver is bound; ENODEV where this one does not take the function (`pci_match_device`: with an
    /// override only the driver of that name matches; vfio-pci has no table and matches by override alone).
    pub fn bind(&mut self, address: PciAddress, driver: &DriverName) -> Result<(), KernelError> {
        let attempted = format!("write to {driver}/bind");
        let taker = self.taker(self.bus.functions.get(&address));
        let function = self.function(address, &attempted)?;
        if function.driver.is_some() {
            return Err(KernelError::Busy { address, attempted });
        }
        if taker.as_ref() != Some(driver) {
            return Err(KernelError::NoDevice { address, attempted });
        }
        attach(function, driver.clone());
        Ok(())
    }

    /// The kernel logs a line, `at` seconds after its start.
    pub fn log(&mut self, at: f64, line: impl Into<String>) {
        self.description.kernel_log.push(KernelLine { at, line: line.into() });
    }

    /// NVIDIA's driver logs an Xid of a card (`nvErrorLog_va`); 79 also takes the GPU from the driver (`osHandleGpuLost`).
    ///
    /// # Errors
    /// There is no such GPU.
    pub fn xid(&mut self, address: PciAddress, number: u32, at: f64) -> Result<(), KernelError> {
        if number == 79 {
            self.set_health(address, SimHealth::Lost)?;
        }
        let card = format!("{:04x}:{:02x}:{:02x}", address.domain, address.bus, address.device);
        self.log(at, format!("NVRM: Xid (PCI:{card}): {number}, pid='<unknown>', name=<unknown>, simulated"));
        Ok(())
    }

    /// Makes a GPU well, lost (its registers then read as all ones), or in need of a reset.
    ///
    /// # Errors
    /// There is no such GPU.
    pub fn set_health(&mut self, address: PciAddress, health: SimHealth) -> Result<(), KernelError> {
        let gone = || KernelError::NoDevice { address, attempted: "set health".to_owned() };
        self.description.gpus.iter_mut().find(|gpu| gpu.address == address).ok_or_else(gone)?.health = health;
        if let Some(responds) = self.bus.functions.get_mut(&address).map(|function| &mut function.state.responds) {
            *responds = Reading::Known(health != SimHealth::Lost);
        }
        Ok(())
    }
}

/// A driver whose remove callback waits until the last user has closed the device: `vfio_unregister_group_dev` for vfio
/// drivers, `nv_pci_remove_helper` for nvidia, `snd_card_free` for the audio function (thesofproject/linux#3196,
/// joeknock90/Single-GPU-Passthrough#21). Others let go under their users' feet (`drm_dev_unplug`).
fn waits_for_users(driver: &DriverName) -> bool {
    driver.is_vfio() || matches!(driver.as_str(), "nvidia" | "snd_hda_intel")
}

impl HostState {
    /// The driver that a probe would bind. `pci_match_device`: with `driver_override` the driver of that name and no other,
    /// else the one whose table names it. A name that no driver has binds nothing; nor does a vfio driver whose module is
    /// not loaded, or whose probe fails because the function has no IOMMU group (`vfio_register_group_dev`: EINVAL).
    fn taker(&self, function: Option<&Function>) -> Option<DriverName> {
        let function = function?;
        let name = match &function.driver_override {
            Some(name) => name.parse().ok()?,
            None => self.claimant(function).or_else(|| function.home_driver.clone())?,
        };
        if name.is_vfio() {
            return (self.vfio == ModuleState::Loaded && function.group.is_some()).then_some(name);
        }
        let is_driver = |f: &Function| f.home_driver.as_ref() == Some(&name) || f.driver.as_ref() == Some(&name);
        self.bus.functions.values().any(is_driver).then_some(name)
    }

    /// Who has the function's id from a setting at boot (`vfio_pci_fill_ids`): it was registered first, and takes it before the
    /// driver whose table names it.
    fn claimant(&self, function: &Function) -> Option<DriverName> {
        let claims = crate::software::claims(&self.description);
        let subsystem = Reading::Known(function.subsystem);
        let takes = |claim: &&Claim| claim.pattern.matches(function.id, &subsystem, function.class);
        claims.iter().find(takes)?.by.driver().parse().ok()
    }

    /// Boots again: overrides, bindings and power settings are those of the kernel, and nobody has anything open.
    ///
    /// # Errors
    /// The description describes a bus that cannot be.
    pub fn reboot(&mut self) -> Result<(), BadDescription> {
        *self = Self::new(self.description.clone())?;
        Ok(())
    }

    /// Somebody loads a driver or writes to `drivers_probe`: every function without a driver is offered to all drivers
    /// (`driver_attach`).
    pub fn somebody_probes(&mut self, addresses: &[PciAddress]) {
        for address in addresses {
            // A function that is not there is offered to nobody.
            let _gone = self.probe(*address);
        }
    }
}
