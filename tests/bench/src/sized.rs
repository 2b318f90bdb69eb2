//! Simulated hosts of a wished size: so many A100s, each cut into so many MIG devices.

use model::driver::MigMode;
use model::judge::{ObservationMeta, judge};
use model::observation::HostObservation;
use model::time::{BootMillis, UnixMillis};
use sim::description::{Description, MigDescription, MigInstance};
use sim::{SimHost, synthetic};

/// Such a host.
pub fn host(gpus: u32, mig: u32) -> anyhow::Result<Description> {
    let mut host = synthetic(gpus, 300)?;
    for gpu in &mut host.gpus {
        let instances = (0..mig).map(instance).collect();
        gpu.mig = Some(MigDescription { current: MigMode::Enabled, pending: MigMode::Enabled, instances });
    }
    Ok(host)
}

fn instance(number: u32) -> MigInstance {
    MigInstance {
        gpu_instance: number + 1,
        compute_instance: 0,
        profile: "1g.5gb".to_owned(),
        start: None,
        uuid: None,
        memory_mib: 4864,
        used_mib: 13,
        sm: 14,
        ce: 1,
        enc: 0,
        dec: 0,
        jpeg: 0,
        ofa: 0,
        processes: Vec::new(),
        is_haunted: false,
    }
}

/// What the daemon would observe of it.
pub fn observed(description: Description) -> anyhow::Result<HostObservation> {
    let raw = SimHost::new(description)?.asked();
    let seen = ObservationMeta {
        sequence: 1,
        observed_at: UnixMillis(1_790_000_000_000),
        observed_boot: BootMillis(864_000_000),
    };
    Ok(judge(raw, seen, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gpu_shows_its_mig_devices() {
        let seen = observed(host(8, 7).unwrap()).unwrap();
        assert_eq!(seen.gpus.len(), 8);
        assert!(seen.gpus.iter().all(|gpu| gpu.driver.as_ref().is_some_and(|driver| driver.mig_devices.len() == 7)));
    }
}
