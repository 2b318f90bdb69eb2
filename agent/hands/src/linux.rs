//! The acts on a real host: each hand's functions of `host`, with what the settings say.

use crate::acts::Acts;
use crate::policy;
use crate::power::why_powerless;
use acts::change::Changes;
use acts::holders;
use acts::probe::Probes;
use docker::{facts, smi_in_driver_container};
use files::OwnProgram;
use host::front::Surroundings;
use model::driver::{DriverSource, ProbeFault};
use model::policy::Policy;
use model::settings::Settings;
use model::smi::Parse;
use spawn::{Own, Supervisor};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wire::hand::HandRole;

/// Time for Docker's facts; the front waits a little longer.
const DOCKER_WITHIN: Duration = Duration::from_secs(10);

/// Bounds what this process and its children take, and lets it end what a child leaves behind. For a process that starts no child
/// but through [`acts`] or the doctor's facts.
///
/// # Errors
/// What the host said; the process works all the same.
pub fn prepare() -> std::io::Result<()> {
    spawn::prepare()
}

/// Where a hand finds what it works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// `/sys`, or another root where a host is simulated.
    pub sysfs: PathBuf,
    /// The policy file, which the hand reads itself.
    pub policy: PathBuf,
}

/// The settings of a hand, and what is wrong with the files that they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// What is right in the files; for the rest the defaults.
    pub settings: Settings,
    /// What is wrong, in short.
    pub wrong: Option<String>,
}

impl Given {
    /// Said beside whatever is not found: it may have been looked for in the wrong place.
    fn note(&self) -> Option<String> {
        let wrong = self.wrong.as_ref()?;
        Some(format!(
            "the configuration is wrong ({wrong}), so that this hand may be looking in the usual place and not in yours"
        ))
    }
}

fn with_note<T>(outcome: Result<T, ProbeFault>, note: Option<&String>) -> Result<T, ProbeFault> {
    outcome.map_err(|fault| match (fault, note) {
        (ProbeFault::Absent { what, said }, Some(note)) => ProbeFault::Absent { what, said: format!("{said}; {note}") },
        (other, _) => other,
    })
}

/// What the hand of this role can do on this host; `parse` reads the output of `nvidia-smi -q -x`.
#[must_use]
pub fn acts(role: HandRole, given: Given, parse: Parse, ground: &Ground) -> Acts {
    let note = given.note();
    let (power_note, docker_note) = (note.clone(), note.clone());
    let settings = Arc::new(given.settings);
    let child = Own::find(OwnProgram::Child);
    let probes = Probes::new(child.clone(), &ground.sysfs, parse);
    let (for_power, for_probes, for_docker) = (Arc::clone(&settings), Arc::clone(&settings), settings);
    let register = probes.clone();
    let changes = Changes::new(child.clone(), &ground.sysfs, Surroundings::of_this_host());
    let (changing, looking, policy, sysfs) =
        (changes.clone(), changes.clone(), ground.policy.clone(), ground.sysfs.clone());
    let lookers = Supervisor::default();
    Acts {
        powerless: Box::new(move || {
            let why = why_powerless(role, &for_power.docker.socket)?;
            Some(power_note.as_ref().map_or_else(|| why.clone(), |note| format!("{why}; {note}")))
        }),
        probe_driver: Box::new(move |source| {
            let (settings, probes, note) = (Arc::clone(&for_probes), probes.clone(), note.clone());
            Box::pin(async move {
                let probed = match source {
                    DriverSource::Nvml | DriverSource::Smi | DriverSource::Sysfs => {
                        probes.run(source, &settings.nvidia).await
                    }
                    DriverSource::SmiInDriverContainer => {
                        let within = Duration::from_millis(settings.nvidia.probe_timeout_ms);
                        smi_in_driver_container(&settings.docker.socket, within, parse).await
                    }
                };
                with_note(probed, note.as_ref())
            })
        }),
        docker_facts: Box::new(move |()| {
            let (settings, note) = (Arc::clone(&for_docker), docker_note.clone());
            Box::pin(async move { with_note(facts(&settings.docker.socket, DOCKER_WITHIN).await, note.as_ref()) })
        }),
        close_up: Box::new(move |scope| {
            let changes = looking.clone();
            Box::pin(async move { changes.close_up(&scope).await.map(Box::new) })
        }),
        act: Box::new(move |(scope, step)| {
            let (changes, policy) = (changes.clone(), policy.clone());
            Box::pin(async move {
                let rules = tokio::task::spawn_blocking(move || policy::read(&policy)).await;
                changes.act(&scope, &step, rules.unwrap_or_else(|_| Policy::strictest())).await
            })
        }),
        holders: Box::new(move |scope| {
            let (lookers, child, sysfs) = (lookers.clone(), child.clone(), sysfs.clone());
            Box::pin(async move { holders::look(&lookers, &child, &sysfs, &scope).await })
        }),
        child_hangs: Box::new(move || register.waits() || changing.hangs()),
    }
}
