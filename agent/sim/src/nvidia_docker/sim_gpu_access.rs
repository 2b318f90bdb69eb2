//! The simulated ways of GPUs into containers: a CDI specification that is generated for a host, links of device files, and a probe.

use model::cdi::{CdiFile, CdiFileDevice, CdiGpu, CdiHost, CdiLook, CdiStep, OURS, qualified};
use model::device_links::{DeviceLinks, DeviceNumber};
use model::nvidia_container::{ToolkitProbe, ToolkitWay};
use std::collections::BTreeSet;

/// The directory of [`OURS`].
const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// What of it a host has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimGpuAccess {
    /// Docker reads CDI specifications.
    pub reads_cdi: bool,
    /// The GPUs, while their driver answers.
    pub gpus: Vec<CdiGpu>,
    /// The host that our specification was generated for; `None` = there is none.
    pub spec: Option<CdiHost>,
    /// What the generator answers where it does not work.
    pub generator_fails: Option<String>,
    /// What it generates lacks these devices.
    pub generator_forgets: bool,
    /// The device files have their links.
    pub is_linked: bool,
    /// What a probe shows.
    pub probe: ToolkitProbe,
    /// The probes that were made.
    pub probes: Vec<ToolkitWay>,
    /// How often the generator was run.
    pub generated: usize,
}

impl Default for SimGpuAccess {
    fn default() -> Self {
        Self {
            reads_cdi: false,
            gpus: Vec::new(),
            spec: None,
            generator_fails: None,
            generator_forgets: false,
            is_linked: false,
            probe: ToolkitProbe::Device,
            probes: Vec::new(),
            generated: 0,
        }
    }
}

impl SimGpuAccess {
    /// The directories that Docker reports.
    #[must_use]
    pub fn directories(&self) -> Vec<String> {
        let all = DIRECTORIES.map(str::to_owned).to_vec();
        if self.reads_cdi { all } else { Vec::new() }
    }

    /// The files in them, as Docker and a look have them.
    #[must_use]
    pub fn files(&self) -> Vec<CdiFile> {
        let file = |host: &CdiHost| {
            let device = |name: &str, gpus: &[&CdiGpu]| CdiFileDevice {
                name: name.to_owned(),
                minors: gpus.iter().filter_map(|gpu| gpu.minor).collect(),
                missing: Vec::new(),
            };
            let of_gpus =
                host.gpus.iter().flat_map(|gpu| gpu.wanted().into_iter().map(move |name| device(name, &[gpu])));
            let mut devices: Vec<CdiFileDevice> = of_gpus.filter(|_| !self.generator_forgets).collect();
            devices.push(device("all", &host.gpus.iter().collect::<Vec<_>>()));
            CdiFile {
                path: OURS.to_owned(),
                drivers: host.driver.iter().cloned().collect(),
                devices,
                ..CdiFile::default()
            }
        };
        self.spec.iter().filter(|_| self.reads_cdi).map(file).collect()
    }

    /// The devices that Docker has discovered in them.
    #[must_use]
    pub fn devices(&self) -> Vec<String> {
        self.files().iter().flat_map(|file| &file.devices).map(|device| qualified(&device.name)).collect()
    }

    /// A look.
    #[must_use]
    pub fn look(&self, has_driver: bool, has_toolkit: bool) -> CdiLook {
        let number = DeviceNumber { major: 195, minor: 255 };
        let nodes = if has_driver && !self.is_linked { vec![("../nvidiactl".to_owned(), number)] } else { Vec::new() };
        CdiLook {
            files: self.files(),
            problems: Vec::new(),
            generator: has_toolkit.then(|| "/usr/local/nvidia/toolkit/nvidia-ctk".to_owned()),
            links: DeviceLinks { majors: BTreeSet::from([195]), nodes, ..DeviceLinks::default() },
        }
    }

    /// Takes a step, as the host hand does: what does not fit the host, if that is known, is not written.
    ///
    /// # Errors
    /// The generator does not work, or what it generates does not fit.
    pub fn act(&mut self, step: &CdiStep, now: Option<&CdiHost>) -> Result<(), String> {
        match step {
            CdiStep::Generate { host, .. } => {
                self.generated += 1;
                if let Some(why) = &self.generator_fails {
                    return Err(why.clone());
                }
                if now.is_some_and(|now| now != host) {
                    return Err("what nvidia-ctk generated does not fit the host".to_owned());
                }
                self.spec = Some(host.clone());
            }
            CdiStep::Remove => self.spec = None,
            CdiStep::LinkDevices => self.is_linked = true,
        }
        Ok(())
    }
}
