//! For each check of the doctor: how a healthy host gets its fault, and how it comes close without having it.

mod containers;
mod driver;
mod manager;
mod nvml;
mod pci;
mod service;

use crate::world::unit;
use model::absence::{Absence, Reading};
use model::docker::DockerFacts;
use model::doctor::doctor_facts::{DoctorFacts, ServiceUnit};
use model::driver::{DriverReport, DriverSource, ProbeError};
use model::pci::{GpuFunction, PciScan};

/// One check's pair.
pub(crate) struct Case {
    pub(crate) code: &'static str,
    pub(crate) trip: fn(&mut DoctorFacts),
    pub(crate) near: fn(&mut DoctorFacts),
}

pub(crate) fn case(code: &'static str, trip: fn(&mut DoctorFacts), near: fn(&mut DoctorFacts)) -> Case {
    Case { code, trip, near }
}

pub(crate) fn cases() -> Vec<Case> {
    [pci::cases(), driver::cases(), nvml::cases(), containers::cases(), manager::cases(), service::cases()]
        .into_iter()
        .flatten()
        .collect()
}

pub(crate) fn scan(facts: &mut DoctorFacts) -> &mut PciScan {
    facts.host.scan.as_mut().unwrap()
}

pub(crate) fn first(facts: &mut DoctorFacts) -> &mut GpuFunction {
    scan(facts).gpus.first_mut().unwrap()
}

pub(crate) fn report(facts: &mut DoctorFacts) -> &mut DriverReport {
    facts.host.reports[0].1.as_mut().unwrap()
}

pub(crate) fn docker(facts: &mut DoctorFacts) -> &mut DockerFacts {
    facts.host.docker.as_mut().unwrap()
}

pub(crate) fn known<T>(reading: &mut Reading<T>) -> &mut T {
    match reading {
        Reading::Known(value) => value,
        Reading::Absent(why) => panic!("it is absent: {why:?}"),
    }
}

pub(crate) fn on(gpu: &mut GpuFunction, driver: &str) {
    gpu.driver = Reading::Known(driver.parse().unwrap());
}

/// All GPUs go to this driver, and NVIDIA's is not asked.
pub(crate) fn all_on(facts: &mut DoctorFacts, driver: &str) {
    scan(facts).gpus.iter_mut().for_each(|gpu| on(gpu, driver));
    facts.host.reports.clear();
}

/// No driver is bound and no module of NVIDIA's is loaded.
pub(crate) fn driverless(facts: &mut DoctorFacts) {
    scan(facts).gpus.iter_mut().for_each(|gpu| gpu.driver = Reading::Absent(Absence::None));
    facts.host.reports.clear();
    facts.kernel.modules = Reading::Known(vec!["overlay".to_owned()]);
    facts.kernel.nvidia_module = Reading::Absent(Absence::None);
    facts.nvidia.nodes = Reading::Known(Vec::new());
}

pub(crate) fn cmdline(facts: &mut DoctorFacts, more: &str) {
    let line = known(&mut facts.kernel.cmdline);
    line.push(' ');
    line.push_str(more);
}

pub(crate) fn said(facts: &mut DoctorFacts, line: &str) {
    known(&mut facts.kernel.log).push(line.to_owned());
}

pub(crate) fn units(facts: &mut DoctorFacts) -> &mut Vec<ServiceUnit> {
    known(&mut facts.service.units)
}

pub(crate) fn named<'a>(facts: &'a mut DoctorFacts, name: &str) -> &'a mut ServiceUnit {
    if !units(facts).iter().any(|unit| unit.name == name) {
        units(facts).push(unit(name, "active"));
    }
    units(facts).iter_mut().find(|unit| unit.name == name).unwrap()
}

/// NVML answers with this instead of a report.
pub(crate) fn nvml_says(facts: &mut DoctorFacts, fault: ProbeError) {
    facts.host.reports = vec![(DriverSource::Nvml, Err(fault))];
}

pub(crate) fn failed(said: &str) -> ProbeError {
    ProbeError::Failed { what: "NVML".to_owned(), status: 999, said: said.to_owned() }
}

pub(crate) fn absent(what: &str) -> ProbeError {
    ProbeError::Absent { what: what.to_owned(), said: "No such file or directory (os error 2)".to_owned() }
}
