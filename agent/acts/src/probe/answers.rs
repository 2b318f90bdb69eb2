//! What NVML has reported in one round so far, and the report that is made of it.

use model::absence::{Absence, Reading};
use model::driver::{DriverGpu, DriverReport, DriverSource, SilentGpu};
use protocol::lines::AskedGpu;
use std::collections::{BTreeMap, BTreeSet};

/// What has been reported so far.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Of the driver and of CUDA.
    pub(super) versions: (Reading<String>, Reading<String>),
    /// Each GPU that answered.
    pub(super) gpus: BTreeMap<AskedGpu, DriverGpu>,
    /// Each GPU that did not, with the reason beside each of its values and a sentence.
    pub(super) silent: BTreeMap<AskedGpu, (Absence, String)>,
    /// What was odd.
    pub(super) problems: Vec<String>,
}

impl Answers {
    /// A GPU has no answer; the first report of it is kept.
    pub(super) fn silent(&mut self, which: AskedGpu, why: Absence, said: String) {
        if !self.gpus.contains_key(&which) {
            self.silent.entry(which).or_insert((why, said));
        }
    }

    /// The report. A silent GPU without an address is in its problems alone.
    pub(super) fn report(self) -> DriverReport {
        let (driver_version, cuda_version) = self.versions;
        let gpus: Vec<DriverGpu> = self.gpus.into_values().collect();
        let mut problems = self.problems;
        problems.extend(self.silent.values().map(|(_, said)| said.clone()));
        problems.extend(duplicates(&gpus));
        let silent = self.silent.into_iter().filter_map(|(which, (why, said))| match which {
            AskedGpu::At(address) => Some(SilentGpu { address, why, said }),
            AskedGpu::Index(_) => None,
        });
        let silent = silent.collect();
        DriverReport { source: DriverSource::Nvml, driver_version, cuda_version, gpus, silent, problems }
    }
}

fn duplicates(gpus: &[DriverGpu]) -> Vec<String> {
    let (mut uuids, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    let mut problems = Vec::new();
    for gpu in gpus {
        if !addresses.insert(gpu.address) {
            problems.push(format!("NVML lists two GPUs at {}", gpu.address));
        }
        if let Some(uuid) = gpu.uuid.known()
            && !uuids.insert(uuid)
        {
            problems.push(format!("NVML reports the UUID {uuid} for two GPUs, the second at {}", gpu.address));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_gpus_with_one_uuid_are_a_problem() {
        let gpu = |address: &str| DriverGpu {
            uuid: Reading::Known("GPU-1234".parse().unwrap()),
            ..DriverGpu::unknown(address.parse().unwrap())
        };
        assert_eq!(duplicates(&[gpu("0000:01:00.0"), gpu("0000:02:00.0")]).len(), 1);
        assert_eq!(duplicates(&[gpu("0000:01:00.0"), gpu("0000:01:00.0")]).len(), 2);
        assert!(duplicates(&[gpu("0000:01:00.0")]).is_empty());
    }

    #[test]
    fn a_gpu_that_has_answered_is_not_silent_and_one_without_an_address_is_a_problem() {
        let at = |address: &str| AskedGpu::At(address.parse().unwrap());
        let mut answers = Answers::default();
        answers.gpus.insert(at("0000:01:00.0"), DriverGpu::unknown("0000:01:00.0".parse().unwrap()));
        for which in [at("0000:01:00.0"), at("0000:02:00.0"), AskedGpu::Index(3)] {
            answers.silent(which, Absence::ProbeTimeout, format!("nothing of {which}"));
            answers.silent(which, Absence::GpuLost, "a second word".to_owned());
        }
        let report = answers.report();
        let [silent] = report.silent.as_slice() else { panic!("{report:?}") };
        assert_eq!((silent.address.to_string().as_str(), &silent.why), ("0000:02:00.0", &Absence::ProbeTimeout));
        assert_eq!(report.problems, ["nothing of GPU 3", "nothing of GPU at 0000:02:00.0"]);
    }
}
