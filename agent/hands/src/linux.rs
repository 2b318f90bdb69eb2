//! The acts on a real host: each hand's functions of `host`, with what the settings say.

use crate::acts::Acts;
use crate::policy;
use crate::power::why_powerless;
use host::front::Surroundings;
use host::hand::capability;
use host::hand::change::{self, Changes};
use host::hand::docker::{facts, smi_in_driver_container};
use host::hand::holders;
use host::hand::probe::{self, Parse, Probes};
use host::hand::process::Supervisor;
use model::driver::{DriverSource, ProbeFault};
use model::policy::Policy;
use model::settings::Settings;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use wire::hand::HandRole;

/// Time for Docker's facts; the front waits a little longer.
const DOCKER_WITHIN: Duration = Duration::from_secs(10);

/// Our own executable, which plays the disposable children too.
const WORKER: &str = "/proc/self/exe";

/// Bounds what this process and its children take, and lets it end what a child leaves behind. For a process that starts no child
/// but through [`acts`] or the doctor's facts.
///
/// # Errors
/// What the host said; the process works all the same.
pub fn prepare() -> std::io::Result<()> {
    host::hand::process::prepare()
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
            "the configuration is invalid ({wrong}), so this hand may use the default path instead of the configured one"
        ))
    }
}

fn with_note<T>(outcome: Result<T, ProbeFault>, note: Option<&String>) -> Result<T, ProbeFault> {
    outcome.map_err(|fault| match (fault, note) {
        (ProbeFault::Absent { what, said }, Some(note)) => ProbeFault::Absent { what, said: format!("{said}; {note}") },
        (other, _) => other,
    })
}

/// What the hand of this role can do on this host; `parse` reads the output of `nvidia-smi -q -x`. The executable must call
/// [`host::hand::probe::child_main`] when its first argument is [`host::hand::probe::ROLE`].
#[must_use]
pub fn acts(role: HandRole, given: Given, parse: Parse, ground: &Ground) -> Acts {
    let note = given.note();
    let (power_note, docker_note) = (note.clone(), note.clone());
    let settings = Arc::new(given.settings);
    let probes = Probes::new(WORKER, &ground.sysfs, parse);
    let (for_power, for_probes, for_docker) = (Arc::clone(&settings), Arc::clone(&settings), settings);
    let register = probes.clone();
    let changes = Changes::new(WORKER, &ground.sysfs, Surroundings::of_this_host());
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
            let (lookers, sysfs) = (lookers.clone(), sysfs.clone());
            Box::pin(async move { holders::look(&lookers, Path::new(WORKER), &sysfs, &scope).await })
        }),
        child_hangs: Box::new(move || register.waits() || changing.hangs()),
    }
}

/// Whether a first argument makes this process a disposable child of a hand, or what comes before one.
#[must_use]
pub fn is_child(word: &str) -> bool {
    [probe::ROLE, change::ROLE, change::LOOK_ROLE, holders::ROLE, capability::ROLE].contains(&word)
}

/// A disposable child of a hand, with its own first argument: `probe`, `act`, `close-up`, `look-for-holders`; or what runs before the
/// host hand starts, `name-mig-monitor`. `None` where the word names none. Blocking; what the process exits with.
#[must_use]
pub fn child(word: &str, rest: &[OsString]) -> Option<ExitCode> {
    let texts = || rest.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>();
    match word {
        probe::ROLE => Some(probe::child_main(&texts())),
        change::ROLE => Some(change::child_main(rest)),
        change::LOOK_ROLE => Some(change::look_main(rest)),
        holders::ROLE => Some(holders::child_main(rest)),
        capability::ROLE => Some(capability::main(rest)),
        _ => None,
    }
}
