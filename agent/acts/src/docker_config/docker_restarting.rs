//! The restart of Docker for what a reload does not take up: only of a service of systemd, never under a container that would end with it, and
//! taken back where Docker does not start.

use super::docker_child::ask;
use super::docker_unit::{self, DockerUnit, RestartFault, UnitState};
use super::{DockerConfigFile, Running, any_runtime, docker_idle, refused};
use model::daemon_json::reads_byte_order_mark;
use model::docker_config::{DockerConfigStep, DockerRestart, DockerRunning, FeatureSeen};
use model::ports::ActError;
use protocol::docker_task::{DockerDaemon, DockerDraft, DockerEdit, DockerTask};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So long Docker is not restarted a second time, whatever asks for it.
const PAUSE: Duration = Duration::from_secs(600);
/// So long a unit whose restart has failed may be started by itself: Docker's own waits 2 s, and gives up after three starts.
const SETTLES_WITHIN: Duration = Duration::from_secs(20);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// When this process has last had Docker restarted.
#[derive(Debug, Clone, Default)]
pub(super) struct LastRestart(Arc<Mutex<Option<Instant>>>);

impl LastRestart {
    /// Notes that it is restarted now, unless it was recently.
    fn begin(&self, now: Instant) -> Result<(), String> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(age) = age(*last, now) {
            return Err(format!("it was restarted {} s ago, and is not restarted twice within 10 min", age.as_secs()));
        }
        *last = Some(now);
        Ok(())
    }

    fn is_recent(&self, now: Instant) -> bool {
        age(*self.0.lock().unwrap_or_else(PoisonError::into_inner), now).is_some()
    }
}

/// How long ago it was; `None` where that is long enough.
fn age(last: Option<Instant>, now: Instant) -> Option<Duration> {
    last.map(|last| now.saturating_duration_since(last)).filter(|age| *age < PAUSE)
}

impl DockerConfigFile {
    /// What runs in Docker now, asked over its socket.
    ///
    /// # Errors
    /// Docker does not answer; for people.
    pub async fn running_containers(&self) -> Result<DockerRunning, String> {
        docker_idle::now(&self.socket).await.map(|now| now.running)
    }

    /// Docker was restarted within the last ten minutes: a process that has ended would not know of it.
    #[must_use]
    pub fn has_restarted_lately(&self) -> bool {
        self.last_restart.is_recent(Instant::now())
    }

    /// `allowed` is the lower of what is asked for and what the policy allows.
    pub(super) async fn restart(
        &self,
        step: &DockerConfigStep,
        allowed: DockerRestart,
        version: Option<&str>,
    ) -> Result<(), ActError> {
        let attempted = step.to_string();
        let refused = |why: &str| refused(&attempted, why);
        let Running { daemon, unit, .. } = self.running(&attempted, &any_runtime()?, version).await?;
        if daemon.seen.cdi != FeatureSeen::Enabled {
            return Err(refused("its file does not enable CDI: there is nothing that it would take up"));
        }
        let unit = unit.ok_or_else(|| {
            refused("it is not the main process of a service of systemd here: restart it yourself when no container would end with it")
        })?;
        // The hand's own look, as late as can be: what the front has seen may be over.
        let now = docker_idle::now(&self.socket).await.map_err(|why| refused(&why))?;
        if now.has_cdi {
            return Err(refused("Docker has CDI already: there is nothing that it would take up"));
        }
        now.running.may_restart(allowed).map_err(|why| refused(&why.to_string()))?;
        lives_on(&now.running, &unit.kill_mode).map_err(|why| refused(&why))?;
        docker_idle::at_rest(unit.pid).await.map_err(|why| refused(&why))?;
        self.last_restart.begin(Instant::now()).map_err(|why| refused(&why))?;
        let why = match docker_unit::restart(&self.supervisor, &unit.name).await {
            Ok(()) => return Ok(()),
            // PID 1 goes on with it: to edit the file now would race with the start.
            Err(RestartFault::Unknown(why)) => return Err(refused(&why)),
            Err(RestartFault::Failed(why)) => why,
        };
        // Its unit may start it again by itself: a Docker that runs, or may run, is not acted on further.
        let after = self.settled(&unit.name).await;
        if let Some(left) = left_as_it_is(after, &unit.name, &daemon.seen.file) {
            return Err(refused(&format!("the restart of {} failed: {why}. {left}", unit.name)));
        }
        let taken_out = self.take_out_of_stopped(&attempted, &daemon, version).await;
        let again = docker_unit::start_again(&self.supervisor, &unit.name).await;
        let words =
            |done: Result<(), String>| done.map_or_else(|why| format!("failed ({why})"), |()| "done".to_owned());
        Err(refused(&format!(
            "{} did not start: {why}. `features.cdi` is taken out of {}: {}. It is started again: {}. `journalctl -u {}` has why",
            unit.name,
            daemon.seen.file,
            words(taken_out.map_err(|fault| fault.to_string())),
            words(again),
            unit.name,
        )))
    }

    /// What has become of a unit whose restart has failed, once it has settled; one that has not in time counts as it is then.
    async fn settled(&self, name: &str) -> Option<After> {
        let end = Instant::now() + SETTLES_WITHIN;
        loop {
            let after = docker_unit::main_process(&self.supervisor, name).await.map(|unit| after(&unit));
            match after {
                Some(After::Runs(_) | After::Down) => return after,
                Some(After::Changing) | None if Instant::now() >= end => return after,
                Some(After::Changing) | None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Docker does not run, so that its file is known from before only.
    async fn take_out_of_stopped(
        &self,
        attempted: &str,
        daemon: &DockerDaemon,
        version: Option<&str>,
    ) -> Result<(), ActError> {
        let (file, sha256) = (daemon.seen.real_file.clone(), daemon.seen.sha256.clone());
        let task = DockerTask::Draft {
            file: file.clone(),
            sha256: sha256.clone(),
            edit: DockerEdit::TakeCdi,
            reads_mark: version.is_none_or(reads_byte_order_mark),
            is_required: daemon.is_required,
        };
        let draft_sha256 = match ask(&self.supervisor, &self.child, attempted, &task).await? {
            DockerDraft::Unchanged | DockerDraft::NoFile => return Ok(()),
            DockerDraft::Written { sha256, .. } => Some(sha256),
        };
        let task = DockerTask::Replace { file, sha256, draft_sha256, keeps_backup: false };
        ask(&self.supervisor, &self.child, attempted, &task).await
    }
}

/// What has become of a unit whose restart has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// It runs all the same, as this process.
    Runs(u32),
    /// It is being started once more, and may fail again.
    Changing,
    /// It does not run.
    Down,
}

fn after(unit: &DockerUnit) -> After {
    match (unit.state, unit.pid) {
        (UnitState::Down, _) => After::Down,
        (UnitState::Changing, _) | (UnitState::Active, 0) => After::Changing,
        (UnitState::Active, pid) => After::Runs(pid),
    }
}

/// Why the file is not edited, where Docker runs or may run.
fn left_as_it_is(after: Option<After>, unit: &str, file: &str) -> Option<String> {
    match after {
        Some(After::Runs(pid)) => {
            Some(format!("It runs by now (process {pid}), and {file} is left as it is. `journalctl -u {unit}` has why"))
        }
        Some(After::Changing | After::Down) => None,
        None => Some(format!(
            "systemd does not answer whether it runs, so {file} is left as it is: look with `systemctl status {unit}`; where it does not \
             run, remove `features.cdi` from {file} and start it with `systemctl start {unit}`"
        )),
    }
}

/// Live-restore keeps containers only where systemd leaves their shims alone: with another `KillMode=` it ends every process of the
/// unit's control group (moby 21933).
fn lives_on(running: &DockerRunning, kill_mode: &str) -> Result<(), String> {
    let runs = running.is_driver_up || running.others != Some(0);
    if !runs || matches!(kill_mode, "process" | "none") {
        return Ok(());
    }
    Err(format!(
        "containers run, and KillMode={kill_mode} of its unit would end them in spite of live-restore: `systemctl edit docker.service`, add \
         `[Service]` and `KillMode=process`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_is_not_restarted_twice_within_ten_minutes() {
        let (last, start) = (LastRestart::default(), Instant::now());
        assert!(!last.is_recent(start));
        assert_eq!(last.begin(start), Ok(()));
        let clone = last.clone();
        for seconds in [0, 1, 599] {
            let now = start + Duration::from_secs(seconds);
            let why = clone.begin(now).unwrap_err();
            assert!(why.contains(&format!("{seconds} s ago")) && last.is_recent(now), "{why}");
        }
        assert_eq!(clone.begin(start + PAUSE), Ok(()), "what was refused does not count");
        assert!(last.begin(start + PAUSE + Duration::from_secs(1)).is_err(), "clones are of one Docker");
    }

    #[test]
    fn after_a_restart_that_failed_the_file_is_edited_only_where_docker_is_known_not_to_run() {
        use UnitState::{Active, Changing, Down};
        let left = |state, pid| {
            let (name, kill_mode) = ("docker.service".to_owned(), "process".to_owned());
            let unit = DockerUnit { name, pid, state, can_reload: true, kill_mode };
            left_as_it_is(Some(after(&unit)), "docker.service", "/etc/docker/daemon.json")
        };
        assert!(left(Active, 812).unwrap().contains("process 812"));
        for (state, pid) in [(Changing, 812), (Changing, 0), (Down, 0), (Active, 0)] {
            assert_eq!(left(state, pid), None, "{state:?} {pid}: it would have settled by then if it came up");
        }
        let why = left_as_it_is(None, "docker.service", "/etc/docker/daemon.json").unwrap();
        assert!(why.contains("does not answer") && why.contains("`systemctl start docker.service`"), "{why}");
    }

    #[test]
    fn a_unit_that_is_being_started_does_not_run_yet_though_it_has_a_process() {
        let unit = |state, pid| {
            let (name, kill_mode) = ("docker.service".to_owned(), "process".to_owned());
            DockerUnit { name, pid, state, can_reload: true, kill_mode }
        };
        assert_eq!(after(&unit(UnitState::Changing, 812)), After::Changing);
        assert_eq!(after(&unit(UnitState::Active, 812)), After::Runs(812));
        assert_eq!(after(&unit(UnitState::Down, 0)), After::Down);
    }

    #[test]
    fn containers_live_on_only_where_systemd_leaves_their_shims_alone() {
        let running = |others, is_driver_up| DockerRunning { live_restore: Some(true), others, is_driver_up };
        for (mode, fits) in [("process", true), ("none", true), ("control-group", false), ("mixed", false), ("", false)]
        {
            assert_eq!(lives_on(&running(Some(2), false), mode).is_ok(), fits, "{mode}");
            assert_eq!(lives_on(&running(Some(0), true), mode).is_ok(), fits, "{mode}");
            assert!(lives_on(&running(Some(0), false), mode).is_ok(), "{mode}: nothing runs");
        }
    }
}
