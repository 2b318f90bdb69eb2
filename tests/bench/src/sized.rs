//! Simulated hosts of a wished size: so many A100s, each cut into so many MIG devices.

use model::checkin::slot::mix;
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

/// The same, where no two GPUs and no two MIG devices show the same figures: what a host at work compresses to.
pub fn busy_host(gpus: u32, mig: u32) -> anyhow::Result<Description> {
    let mut host = host(gpus, mig)?;
    for (number, gpu) in (0_u32..).zip(&mut host.gpus) {
        let random = |salt: u32, below: u32| {
            u32::try_from(mix(u64::from(number * 1000 + salt)) % u64::from(below)).unwrap_or_default()
        };
        let load = &mut gpu.load;
        load.temperature_c = 40 + random(1, 40);
        load.utilization_pct = random(2, 101);
        load.memory_utilization_pct = random(3, 101);
        load.power_w = f64::from(6_000 + random(4, 34_000)) / 100.0;
        load.used_mib = u64::from(random(5, 38_000));
        for (salt, value) in (10..).zip(load.others.values_mut()) {
            *value = value.saturating_add(random(salt, 90));
        }
        for (salt, instance) in (100..).zip(gpu.mig.iter_mut().flat_map(|mig| &mut mig.instances)) {
            instance.used_mib = u64::from(13 + random(salt, 4800));
        }
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
