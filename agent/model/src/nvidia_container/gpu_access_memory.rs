//! What is remembered of the ways in which GPUs get into containers: our CDI specification, the links of device files, and the last probe.

use super::nvidia_failures::NvidiaFailures;
use super::toolkit_probe::{ToolkitProbe, ToolkitWay};
use crate::cdi::CdiHost;
use crate::ids::ContainerId;
use serde::{Deserialize, Serialize};

/// The memory. All of it is about this boot: the file and the links are on tmpfs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuAccessMemory {
    /// What was begun and is not known to have finished.
    pub begun: Option<GpuAccessBegun>,
    /// The host that the failures of the specification are about: for another one it is tried at once.
    pub spec_host: Option<CdiHost>,
    /// How often the specification could not be generated, or did not define what it should.
    pub spec_failures: NvidiaFailures,
    /// How often the links could not be made.
    pub link_failures: NvidiaFailures,
    /// What the last probe showed; not probed again while it is about the same toolkit and driver.
    pub probed: Option<ToolkitProbed>,
    /// How often a probe did not show a device.
    pub probe_failures: NvidiaFailures,
}

/// A step that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum GpuAccessBegun {
    /// Our CDI specification.
    Spec,
    /// The links of device files.
    Links,
    /// A probe.
    Probe(ToolkitProbed),
}

/// A probe: of what, and what it showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolkitProbed {
    /// The toolkit container whose programs were probed.
    pub container: ContainerId,
    /// Version of the loaded driver.
    pub driver: Option<String>,
    /// The way into the probe container.
    pub way: ToolkitWay,
    /// What was seen; `None` if the probe could not be made.
    pub seen: Option<ToolkitProbe>,
}

impl ToolkitProbed {
    /// Both are about the same toolkit, driver and way.
    #[must_use]
    pub fn is_about_the_same(&self, other: &Self) -> bool {
        (&self.container, &self.driver, self.way) == (&other.container, &other.driver, other.way)
    }
}
