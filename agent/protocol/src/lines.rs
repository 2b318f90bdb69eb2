//! What the disposable process is asked, and what it reports: one JSON document a line, among whatever the driver's library writes.

use model::absence::{Absence, Reading};
use model::driver::{DriverGpu, ProbeError};
use model::ids::PciAddress;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// A line longer than this is none of ours; a GPU with its processes takes a few KiB.
const LINE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Which GPU NVML is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskedGpu {
    /// The one of this index: NVML opens each up to it.
    Index(u32),
    /// The one at this address: NVML opens it alone.
    At(PciAddress),
}

impl fmt::Display for AskedGpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "GPU {index}"),
            Self::At(address) => write!(f, "GPU at {address}"),
        }
    }
}

/// What one disposable process is started for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Where the library may be.
    pub paths: Vec<String>,
    /// `/sys/bus/pci`.
    pub bus: PathBuf,
    /// A GPU that takes as long as this is the last that the process asks.
    pub patience_ms: u64,
    /// GPUs that are not asked.
    pub leave_out: Vec<AskedGpu>,
    /// Only these are asked, where there is a list.
    pub only: Option<Vec<AskedGpu>>,
}

impl Question {
    /// Those of the GPUs found that this process is to ask.
    pub fn wanted(&self, found: &[AskedGpu]) -> Vec<AskedGpu> {
        let is_wanted = |which: &AskedGpu| match &self.only {
            Some(only) => only.contains(which),
            None => !self.leave_out.contains(which),
        };
        found.iter().copied().filter(is_wanted).collect()
    }
}

/// One line of the disposable process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChildLine {
    /// The library cannot be asked at all. Nothing follows.
    Refused(ProbeError),
    /// The library is open.
    Opened {
        /// Version of the driver.
        driver_version: Reading<String>,
        /// Highest CUDA version that it serves.
        cuda_version: Reading<String>,
        /// All GPUs that there are to ask.
        found: Vec<AskedGpu>,
    },
    /// From here on whatever happens is this GPU's doing.
    Asking(AskedGpu),
    /// All that was reported about it.
    Answered {
        /// Which GPU.
        which: AskedGpu,
        /// What was reported.
        gpu: Box<DriverGpu>,
        /// What was odd.
        problems: Vec<String>,
    },
    /// It was refused.
    Silent {
        /// Which GPU.
        which: AskedGpu,
        /// The reason beside each of its values.
        why: Absence,
        /// In a sentence.
        said: String,
    },
    /// Each that was wanted has been asked.
    Done,
}

impl ChildLine {
    /// Nothing is asked of the driver between this line and the next one, or the end.
    #[must_use]
    pub const fn is_followed_at_once(&self) -> bool {
        match self {
            Self::Opened { .. } | Self::Answered { .. } | Self::Silent { .. } => true,
            Self::Refused(_) | Self::Asking(_) | Self::Done => false,
        }
    }
}

/// Finds the lines in what is written, piece by piece.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// The lines that are whole with this piece. What is not ours is ignored.
    pub fn take(&mut self, piece: &[u8]) -> Vec<ChildLine> {
        self.rest.extend_from_slice(piece);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            if self.rest.len() > LINE_MAX_BYTES {
                self.rest.clear();
            }
            return Vec::new();
        };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        whole.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_among_noise_however_they_are_cut() {
        let written = b"library: hello\n\n{\"asking\":{\"index\":3}}\n{\"report\": 7}\nmore noise\n\"done\"\nno end";
        for size in [1, 2, 7, written.len()] {
            let mut lines = Lines::default();
            let found: Vec<ChildLine> = written.chunks(size).flat_map(|piece| lines.take(piece)).collect();
            assert_eq!(found, [ChildLine::Asking(AskedGpu::Index(3)), ChildLine::Done], "in pieces of {size}");
        }
    }

    #[test]
    fn noise_without_an_end_is_not_kept() {
        let mut lines = Lines::default();
        for _ in 0..10 {
            assert!(lines.take(&[b'x'; 1024 * 1024]).is_empty());
        }
        assert!(lines.rest.len() <= LINE_MAX_BYTES + 1024 * 1024);
    }

    #[test]
    fn a_list_is_asked_as_far_as_it_is_there_and_what_is_left_out_is_not() {
        let (zero, one, two) = (AskedGpu::Index(0), AskedGpu::Index(1), AskedGpu::Index(2));
        let question = |leave_out: &[AskedGpu], only: Option<&[AskedGpu]>| Question {
            paths: Vec::new(),
            bus: PathBuf::new(),
            patience_ms: 1,
            leave_out: leave_out.to_vec(),
            only: only.map(<[AskedGpu]>::to_vec),
        };
        assert_eq!(question(&[one], None).wanted(&[zero, one, two]), [zero, two]);
        assert_eq!(question(&[], Some(&[two, one])).wanted(&[zero, one]), [one]);
    }
}
