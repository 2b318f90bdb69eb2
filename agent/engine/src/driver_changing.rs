//! Whether one of NVIDIA's containers is being changed: until it is ready no workspace gets a GPU of NVIDIA.

use model::nvidia_container::{NvidiaPhase, NvidiaState};

/// While one of NVIDIA's containers is replaced nothing is started with a GPU.
pub(crate) fn driver_changing(nvidia: &NvidiaState) -> Option<String> {
    let of = |name: &str, phase: &NvidiaPhase| match phase {
        NvidiaPhase::Upgrading { step } | NvidiaPhase::RollingBack { step } | NvidiaPhase::Stopping { step } => {
            Some(format!("the {name} container is being changed: {step}"))
        }
        NvidiaPhase::Starting { lacks } => Some(format!("the {name} container is not ready yet: {lacks}")),
        NvidiaPhase::Disabled
        | NvidiaPhase::Absent { .. }
        | NvidiaPhase::Pulling { .. }
        | NvidiaPhase::Ready
        | NvidiaPhase::Failed { .. }
        | NvidiaPhase::Refused { .. }
        | NvidiaPhase::Foreign { .. }
        | NvidiaPhase::Unknown { .. } => None,
    };
    of("driver", &nvidia.driver.phase).or_else(|| of("toolkit", &nvidia.toolkit.phase))
}
