//! Questions that several rules ask of the facts.

use super::doctor_facts::{DoctorFacts, ServiceUnit};
use super::rule::{Ruled, Skipped, known};
use crate::docker::DockerFacts;
use crate::driver::{DriverReport, DriverSource, ProbeError};
use crate::pci::{GpuFunction, PciScan, VENDOR_NVIDIA};

impl DoctorFacts {
    /// The scan of the bus.
    pub(super) fn scan(&self) -> Result<&PciScan, Skipped> {
        self.host.scan.as_ref().map_err(|fault| Skipped::Unknown(format!("the PCI bus: {fault}")))
    }

    /// NVIDIA's GPUs, whatever driver they are on.
    pub(super) fn nvidia_gpus(&self) -> Result<Vec<&GpuFunction>, Skipped> {
        let gpus: Vec<_> = self.scan()?.gpus.iter().filter(|gpu| gpu.id.vendor == VENDOR_NVIDIA).collect();
        if gpus.is_empty() { Err(Skipped::NotHere) } else { Ok(gpus) }
    }

    /// NVIDIA's GPUs on NVIDIA's driver; without one, rules about that driver have nothing to say.
    pub(super) fn served(&self) -> Result<Vec<&GpuFunction>, Skipped> {
        let gpus: Vec<_> = self.nvidia_gpus()?.into_iter().filter(|gpu| is_on(gpu, "nvidia")).collect();
        if gpus.is_empty() { Err(Skipped::NotHere) } else { Ok(gpus) }
    }

    /// NVIDIA's GPUs that no driver has, and that nobody set aside for another one.
    pub(super) fn orphans(&self) -> Result<Vec<&GpuFunction>, Skipped> {
        let orphan = |gpu: &&GpuFunction| gpu.driver.is_none() && gpu.driver_override.known().is_none();
        let gpus: Vec<_> = self.nvidia_gpus()?.into_iter().filter(orphan).collect();
        if gpus.is_empty() { Err(Skipped::NotHere) } else { Ok(gpus) }
    }

    /// The first report that a source of driver facts gave.
    pub(super) fn report(&self) -> Result<&DriverReport, Skipped> {
        let mut reports = self.host.reports.iter().filter_map(|(_, said)| said.as_ref().ok());
        reports.next().ok_or(Skipped::NotHere)
    }

    /// Sources that failed.
    pub(super) fn probe_faults(&self) -> impl Iterator<Item = (DriverSource, &ProbeError)> {
        self.host.reports.iter().filter_map(|(source, said)| said.as_ref().err().map(|fault| (*source, fault)))
    }

    /// What Docker reports about itself; where it does not answer, other checks say so.
    pub(super) fn docker(&self) -> Result<&DockerFacts, Skipped> {
        self.host.docker.as_ref().map_err(|_| Skipped::NotHere)
    }

    /// A unit of systemd that is installed.
    pub(super) fn unit(&self, name: &str) -> Result<&ServiceUnit, Skipped> {
        let units = known(&self.service.units, "the units of systemd")?;
        units.iter().find(|unit| unit.name == name && unit.load != "not-found").ok_or(Skipped::NotHere)
    }

    /// A word of the kernel's command line.
    pub(super) fn on_cmdline(&self, is_it: impl Fn(&str) -> bool) -> Result<Option<&str>, Skipped> {
        let cmdline = known(&self.kernel.cmdline, "/proc/cmdline")?;
        Ok(cmdline.split_whitespace().find(|word| is_it(word)))
    }

    /// A module is loaded; a dash and an underscore are the same.
    pub(super) fn is_loaded(&self, module: &str) -> Result<bool, Skipped> {
        Ok(known(&self.kernel.modules, "/proc/modules")?.iter().any(|loaded| loaded == module))
    }

    /// The kernel's log.
    pub(super) fn log(&self) -> Result<&[String], Skipped> {
        known(&self.kernel.log, "the kernel's log").map(Vec::as_slice)
    }

    /// The machine is a virtual one; where that is not known it is taken for a real one.
    pub(super) fn is_guest(&self) -> bool {
        self.kernel.virtual_machine.get() == Some(true)
    }
}

/// The GPU is on this driver.
pub(super) fn is_on(gpu: &GpuFunction, driver: &str) -> bool {
    gpu.driver.known().is_some_and(|name| name.as_str() == driver)
}

/// The GPU is on a VFIO driver.
pub(super) fn is_on_vfio(gpu: &GpuFunction) -> bool {
    gpu.driver.known().is_some_and(|name| name.is_vfio())
}

/// A hit for each GPU on which `rule` has something to say.
pub(super) fn each<'a>(
    gpus: impl IntoIterator<Item = &'a GpuFunction>,
    rule: impl Fn(&GpuFunction) -> Option<super::rule::Hit>,
) -> Ruled {
    Ok(gpus.into_iter().filter_map(rule).collect())
}
