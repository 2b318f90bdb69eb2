//! A snapshot of a host: what its archive holds, and what of a host may go into it.

pub mod allow;
pub mod redact;

use crate::docker::DockerFacts;
use crate::driver::{DriverReport, DriverSource, ProbeError};
use crate::host_facts::HostFacts;
use crate::pci::PciScan;
use crate::ports::ScanError;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Version of the archive's layout. A reader refuses any other; a field that is added has a default, and keeps it.
pub const FORMAT: u32 = 1;

/// Name of [`Manifest`] in the archive.
pub const MANIFEST: &str = "snapshot.json";

/// Name of [`Recorded`] in the archive.
pub const RECORDED: &str = "recorded.json";

/// Most bytes of content in an archive, before it is compressed.
pub const CONTENT_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Most files and links in an archive.
pub const ENTRIES_MAX: usize = 30_000;

/// Most bytes of one file.
pub const FILE_MAX_BYTES: usize = 2 * 1024 * 1024;

/// What the archive reports about itself, in [`MANIFEST`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Version of the gpuhostd that wrote it.
    pub gpuhostd: String,
    /// When, on the wall clock.
    pub taken_at: UnixMillis,
    /// Whether it was taken with all powers (as root): otherwise much is in `missed`.
    pub as_root: bool,
    /// Every file and link, by path.
    pub files: Vec<Listed>,
    /// What is not in it and why.
    pub missed: Vec<Missed>,
}

/// One file of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Path in the archive.
    pub path: String,
    /// Its size; 0 for a link.
    pub bytes: u64,
    /// How many secrets were taken out of it.
    #[serde(default)]
    pub redacted: u32,
}

/// Something that is not in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// The file, program or service.
    pub what: String,
    /// What the host answered.
    pub why: String,
}

/// What the ports of the host answered, in [`RECORDED`]: enough to judge the host again somewhere else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Name of the host, for people.
    pub name: String,
    /// The scan of the PCI bus.
    pub scan: Result<PciScan, ScanError>,
    /// The answers of the sources that were asked, in the order of trust.
    pub reports: Vec<(DriverSource, Result<DriverReport, ProbeError>)>,
    /// Docker.
    pub docker: Result<DockerFacts, ProbeError>,
    /// The host around the GPUs.
    pub host: HostFacts,
    /// Records of the kernel log that say something of a GPU, as `/dev/kmsg` gives them; `None` where it could not be read.
    #[serde(default)]
    pub kernel_log: Option<Vec<String>>,
}

impl Recorded {
    /// What a source answered; one that was not asked shows it.
    ///
    /// # Errors
    /// The fault that was recorded, or that the source was not asked.
    pub fn report(&self, source: DriverSource) -> Result<DriverReport, ProbeError> {
        let answer = self.reports.iter().find(|(who, _)| *who == source).map(|(_, answer)| answer.clone());
        answer.unwrap_or_else(|| Err(ProbeError::NotAsked { what: format!("{} (recorded host)", source.code()) }))
    }
}
