//! The acts on a real host: each hand's functions of `host`, with what the settings say.

use crate::acts::Acts;
use crate::power::why_powerless;
use host::hand::docker::{facts, smi_in_driver_container};
use host::hand::probe::{Parse, Probes};
use model::driver::DriverSource;
use model::settings::Settings;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use wire::hand::HandRole;

/// Time for Docker's facts; the front waits a little longer.
const DOCKER_WITHIN: Duration = Duration::from_secs(10);

/// What the hand of this role can do on this host; `parse` reads the output of `nvidia-smi -q -x`. The executable must call
/// [`host::hand::probe::child_main`] when its first argument is [`host::hand::probe::ROLE`].
#[must_use]
pub fn acts(role: HandRole, settings: Settings, parse: Parse) -> Acts {
    let settings = Arc::new(settings);
    let probes = Probes::new("/proc/self/exe", parse);
    let (for_power, for_probes, for_docker) = (Arc::clone(&settings), Arc::clone(&settings), settings);
    let register = probes.clone();
    Acts {
        powerless: Box::new(move || why_powerless(role, &for_power.docker.socket)),
        probe_driver: Box::new(move |source| {
            let (settings, probes) = (Arc::clone(&for_probes), probes.clone());
            Box::pin(async move {
                match source {
                    DriverSource::Nvml | DriverSource::Smi | DriverSource::Sysfs => {
                        probes.run(source, &settings.nvidia).await
                    }
                    DriverSource::SmiInDriverContainer => {
                        let within = Duration::from_millis(settings.nvidia.probe_timeout_ms);
                        smi_in_driver_container(&settings.docker.socket, within, parse).await
                    }
                }
            })
        }),
        docker_facts: Box::new(move |()| {
            let settings = Arc::clone(&for_docker);
            Box::pin(async move { facts(&settings.docker.socket, DOCKER_WITHIN).await })
        }),
        child_hangs: Box::new(move || !register.stuck().is_empty()),
    }
}

/// The disposable process of a probe, with the arguments behind `probe`. Blocking; what the process exits with.
#[must_use]
pub fn probe(words: &[String]) -> ExitCode {
    host::hand::probe::child_main(words)
}
