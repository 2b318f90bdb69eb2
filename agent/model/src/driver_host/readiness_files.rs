//! The two files by which NVIDIA's other containers learn that a driver is ready, as its own tools write them.

use super::mounts::DRIVER_ROOT;
use serde::{Deserialize, Serialize};

/// The folder of the files, 0755.
pub const VALIDATIONS: &str = "/run/nvidia/validations";

/// A file in [`VALIDATIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadinessFile {
    /// Written by the start-up probe of the GPU operator's driver pod.
    DriverContainerReady,
    /// Written by NVIDIA's validator, and read by the entrypoints of its other containers as a shell reads it.
    DriverReady,
    /// Written by the driver container itself; removed here so that no start finds the answer of an earlier one.
    DaemonsStatus,
}

/// Those that a ready driver has, in the order in which they are written, and then the one that its container writes.
pub const READINESS_FILES: [ReadinessFile; 3] =
    [ReadinessFile::DriverContainerReady, ReadinessFile::DriverReady, ReadinessFile::DaemonsStatus];

impl ReadinessFile {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DriverContainerReady => ".driver-ctr-ready",
            Self::DriverReady => "driver-ready",
            Self::DaemonsStatus => ".driver-daemons-status",
        }
    }
}

/// What a file has to hold for the driver of a driver container; `None` for one that the container writes. `dev` is whether its root
/// has device files of its own.
///
/// The forms are those of the GPU operator: `startup-probe.sh` in `assets/state-driver/0400_configmap.yaml` and `createStatusFile` in
/// `cmd/nvidia-validator/main.go`; its paths are those at which its containers see the host.
#[must_use]
pub fn readiness_content(file: ReadinessFile, dev: bool) -> Option<String> {
    let (dev_root, dev_inside) = if dev { (DRIVER_ROOT, "/driver-root") } else { ("/", "/host") };
    match file {
        ReadinessFile::DriverContainerReady => {
            Some("GDRCOPY_ENABLED: false\nGDS_ENABLED: false\nGPU_DIRECT_RDMA_ENABLED: false\n".to_owned())
        }
        ReadinessFile::DriverReady => Some(format!(
            "IS_HOST_DRIVER=false\nNVIDIA_DRIVER_ROOT={DRIVER_ROOT}\nDRIVER_ROOT_CTR_PATH=/driver-root\n\
             NVIDIA_DEV_ROOT={dev_root}\nDEV_ROOT_CTR_PATH={dev_inside}\n"
        )),
        ReadinessFile::DaemonsStatus => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_byte_for_byte_what_nvidias_tools_write() {
        assert_eq!(
            readiness_content(ReadinessFile::DriverReady, true).unwrap(),
            "IS_HOST_DRIVER=false\nNVIDIA_DRIVER_ROOT=/run/nvidia/driver\nDRIVER_ROOT_CTR_PATH=/driver-root\n\
             NVIDIA_DEV_ROOT=/run/nvidia/driver\nDEV_ROOT_CTR_PATH=/driver-root\n"
        );
        assert_eq!(
            readiness_content(ReadinessFile::DriverReady, false).unwrap(),
            "IS_HOST_DRIVER=false\nNVIDIA_DRIVER_ROOT=/run/nvidia/driver\nDRIVER_ROOT_CTR_PATH=/driver-root\n\
             NVIDIA_DEV_ROOT=/\nDEV_ROOT_CTR_PATH=/host\n"
        );
        assert_eq!(
            readiness_content(ReadinessFile::DriverContainerReady, true).unwrap(),
            "GDRCOPY_ENABLED: false\nGDS_ENABLED: false\nGPU_DIRECT_RDMA_ENABLED: false\n"
        );
        assert_eq!(readiness_content(ReadinessFile::DaemonsStatus, true), None);
    }

    #[test]
    fn all_of_them_are_removed() {
        let names = READINESS_FILES.map(ReadinessFile::name);
        assert_eq!(names, [".driver-ctr-ready", "driver-ready", ".driver-daemons-status"]);
    }
}
