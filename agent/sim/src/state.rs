//! The changing part of a simulated host, and the rules of the kernel by which it changes.

use crate::bus::{Bus, Function};
use crate::description::{Description, Health, KernelLine};
use crate::load::BadDescription;
use model::{DriverName, PciAddress};

/// A host as it is now: its description (with the faults of now) and its bus.
#[derive(Debug, Clone)]
pub struct HostState {
    /// The description; faults, health and loads in it may be changed.
    pub description: Description,
    /// The bus.
    pub bus: Bus,
}

/// The kernel says no.
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
    /// EBUSY: a driver is bound already.
    #[error("{address}: {attempted}: Device or resource busy (EBUSY)")]
    Busy {
        /// Which function.
        address: PciAddress,
        /// What was tried.
        attempted: String,
    },
}

impl HostState {
    /// A host as its description says.
    ///
    /// # Errors
    /// The description describes a bus that cannot be.
    pub fn new(description: Description) -> Result<Self, BadDescription> {
        let bus = Bus::lay_out(&description)?;
        Ok(Self { description, bus })
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
    /// ENODEV where no driver is bound: the file of a driver that does not have the function says so.
    pub fn unbind(&mut self, address: PciAddress) -> Result<(), KernelError> {
        let attempted = "write to unbind";
        match self.function(address, attempted)?.driver.take() {
            Some(_) => Ok(()),
            None => Err(KernelError::NoDevice { address, attempted: attempted.to_owned() }),
        }
    }

    /// Writes the address to `drivers_probe` (`bus_rescan_devices_helper`): says yes also where it binds nothing.
    ///
    /// # Errors
    /// There is no such function.
    pub fn probe(&mut self, address: PciAddress) -> Result<(), KernelError> {
        let function = self.function(address, "write to drivers_probe")?;
        if function.driver.is_none() {
            function.driver = matching_driver(function);
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
        let function = self.function(address, &attempted)?;
        if function.driver.is_some() {
            return Err(KernelError::Busy { address, attempted });
        }
        if matching_driver(function).as_ref() != Some(driver) {
            return Err(KernelError::NoDevice { address, attempted });
        }
        function.driver = Some(driver.clone());
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
            self.set_health(address, Health::Lost)?;
        }
        let card = format!("{:04x}:{:02x}:{:02x}", address.domain, address.bus, address.device);
        self.log(at, format!("NVRM: Xid (PCI:{card}): {number}, pid='<unknown>', name=<unknown>, simulated"));
        Ok(())
    }

    /// Makes a GPU well, lost, or in need of a reset.
    ///
    /// # Errors
    /// There is no such GPU.
    pub fn set_health(&mut self, address: PciAddress, health: Health) -> Result<(), KernelError> {
        let gone = || KernelError::NoDevice { address, attempted: "set health".to_owned() };
        self.description.gpus.iter_mut().find(|gpu| gpu.address == address).ok_or_else(gone)?.health = health;
        Ok(())
    }
}

/// `pci_match_device`: with `driver_override` the driver of that name and no other, else the one whose table names it.
/// An override that no driver has binds nothing.
fn matching_driver(function: &Function) -> Option<DriverName> {
    match &function.driver_override {
        Some(name) => name.parse().ok(),
        None => function.home_driver.clone(),
    }
}
