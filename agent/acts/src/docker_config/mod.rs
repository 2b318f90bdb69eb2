//! Docker's configuration file, for the host hand: the one that the running Docker reads is found and edited in a disposable child, and
//! Docker is asked to read it again. Decision record 28 has the reasons.

mod docker_child;
mod docker_idle;
mod docker_peer;
mod docker_restarting;
mod docker_unit;
mod validation;

use docker_child::ask;
use docker_peer::DockerPeer;
use docker_restarting::LastRestart;
use docker_unit::DockerUnit;
use model::daemon_json::{RuntimeEntry, reads_byte_order_mark};
use model::docker_config::{DockerConfigLook, DockerConfigStep, WhyUnusable};
use model::os_cause::OsCause;
use model::policy::NvidiaPolicy;
use model::ports::ActError;
use protocol::docker_task::{DockerDaemon, DockerDraft, DockerEdit, DockerFound, DockerTask};
use spawn::{Own, Supervisor};
use std::path::{Path, PathBuf};

/// The part of a host that edits Docker's configuration. Clones share the register of children that hang in the kernel, and when Docker was
/// restarted.
#[derive(Debug, Clone)]
pub struct DockerConfigFile {
    supervisor: Supervisor,
    child: Own,
    socket: PathBuf,
    last_restart: LastRestart,
}

/// The Docker that runs, and the handle by which it is still the same process when it is signalled.
struct Running {
    peer: DockerPeer,
    daemon: DockerDaemon,
    unit: Option<DockerUnit>,
}

impl DockerConfigFile {
    /// `child` is the disposable child; `socket` is Docker's.
    #[must_use]
    pub fn new(child: Own, socket: impl Into<PathBuf>) -> Self {
        Self { supervisor: Supervisor::default(), child, socket: socket.into(), last_restart: LastRestart::default() }
    }

    /// Looks which file the running Docker reads, and what it reports about a runtime. `version` is that of the engine.
    ///
    /// # Errors
    /// The look itself did not work. That the file cannot be edited is an answer.
    pub async fn look(&self, entry: &RuntimeEntry, version: Option<&str>) -> Result<DockerConfigLook, ActError> {
        let attempted = "look at Docker's configuration";
        Ok(match self.find(attempted, entry, version).await? {
            Ok(running) => {
                let unit = running.unit.map(|unit| unit.name);
                DockerConfigLook::File(model::docker_config::DockerConfigSeen { unit, ..running.daemon.seen })
            }
            Err(why) => DockerConfigLook::Unusable(why),
        })
    }

    /// Takes a step, if the policy allows it and the file is still the one that was looked at.
    ///
    /// # Errors
    /// That the policy forbids it, what the host or Docker's own check answered, or that the kernel does not respond. The file is then the one before or the one
    /// after, never anything between.
    pub async fn act(
        &self,
        step: &DockerConfigStep,
        version: Option<&str>,
        policy: &NvidiaPolicy,
    ) -> Result<(), ActError> {
        if !policy.docker_config {
            let why = "refused by the hand: /etc/gpuhostd/policy.toml: host.nvidia.docker_config is false";
            return Err(refused(&step.to_string(), why));
        }
        match step {
            DockerConfigStep::PutRuntime { entry, sha256 } => {
                self.write(step, entry, sha256.as_deref(), DockerEdit::Put(entry.clone()), version).await
            }
            DockerConfigStep::TakeRuntime { entry, sha256 } => {
                self.write(step, entry, sha256.as_deref(), DockerEdit::Take(entry.clone()), version).await
            }
            DockerConfigStep::Reload => self.reload(step).await,
            DockerConfigStep::PutCdi { sha256 } => {
                self.write(step, &any_runtime()?, Some(sha256), DockerEdit::PutCdi, version).await
            }
            DockerConfigStep::TakeCdi { sha256 } => {
                self.write(step, &any_runtime()?, Some(sha256), DockerEdit::TakeCdi, version).await
            }
            DockerConfigStep::Restart { allowed } => {
                self.restart(step, (*allowed).min(policy.docker_restart), version).await
            }
        }
    }

    /// True while a child hangs in the kernel.
    #[must_use]
    pub fn hangs(&self) -> bool {
        !self.supervisor.stuck().is_empty()
    }

    async fn find(
        &self,
        attempted: &str,
        entry: &RuntimeEntry,
        version: Option<&str>,
    ) -> Result<Result<Running, WhyUnusable>, ActError> {
        let peer = match docker_peer::find(&self.supervisor, &self.socket).await {
            Ok(peer) => peer,
            Err(why) => return Ok(Err(why)),
        };
        let reads_mark = version.is_none_or(reads_byte_order_mark);
        let task = DockerTask::Look { pid: peer.pid, entry: entry.clone(), reads_mark };
        let daemon = match ask(&self.supervisor, &self.child, attempted, &task).await? {
            DockerFound::Daemon(daemon) => daemon,
            DockerFound::Unusable(why) => return Ok(Err(why)),
        };
        let unit = match &daemon.seen.unit {
            Some(name) => docker_unit::main_process(&self.supervisor, name).await.filter(|unit| unit.pid == peer.pid),
            None => None,
        };
        // All that was read of the process was of the one that answers at the socket, for it still runs.
        if peer.has_exited() {
            let said = format!("process {} exited while it was looked at: Docker restarts; try again", peer.pid);
            return Ok(Err(WhyUnusable::DockerUnknown { said }));
        }
        Ok(Ok(Running { peer, daemon, unit }))
    }

    async fn running(&self, attempted: &str, entry: &RuntimeEntry, version: Option<&str>) -> Result<Running, ActError> {
        self.find(attempted, entry, version)
            .await?
            .map_err(|why| refused(attempted, &format!("{why} ({})", why.code())))
    }

    async fn write(
        &self,
        step: &DockerConfigStep,
        entry: &RuntimeEntry,
        sha256: Option<&str>,
        edit: DockerEdit,
        version: Option<&str>,
    ) -> Result<(), ActError> {
        let attempted = step.to_string();
        let Running { daemon, .. } = self.running(&attempted, entry, version).await?;
        let (file, sha256) = (daemon.seen.real_file.clone(), sha256.map(str::to_owned));
        let task = DockerTask::Draft {
            file: file.clone(),
            sha256: sha256.clone(),
            edit: edit.clone(),
            reads_mark: version.is_none_or(reads_byte_order_mark),
            is_required: daemon.is_required,
        };
        let draft_sha256 = match ask(&self.supervisor, &self.child, &attempted, &task).await? {
            DockerDraft::Unchanged => return Ok(()),
            DockerDraft::NoFile => None,
            DockerDraft::Written { path, sha256 } => {
                if let Err(said) = validation::judge(&self.supervisor, &daemon, Path::new(&path), version).await {
                    self.discard(&attempted, file).await?;
                    return Err(refused(&attempted, &said));
                }
                Some(sha256)
            }
        };
        let keeps_backup = matches!(edit, DockerEdit::Put(_) | DockerEdit::PutCdi);
        let task = DockerTask::Replace { file, sha256, draft_sha256, keeps_backup };
        ask(&self.supervisor, &self.child, &attempted, &task).await
    }

    async fn discard(&self, attempted: &str, file: String) -> Result<(), ActError> {
        ask(&self.supervisor, &self.child, attempted, &DockerTask::Discard { file }).await
    }

    async fn reload(&self, step: &DockerConfigStep) -> Result<(), ActError> {
        let attempted = step.to_string();
        let Running { peer, daemon, unit } = self.running(&attempted, &any_runtime()?, None).await?;
        // A reload ends each write: it is the step that is taken again where a write was interrupted behind the rename.
        if daemon.has_leftovers {
            self.discard(&attempted, daemon.seen.real_file).await?;
        }
        let done = match unit.filter(|unit| unit.can_reload) {
            Some(unit) => docker_unit::reload(&self.supervisor, &unit.name).await,
            None => peer.signal_reload(),
        };
        done.map_err(|said| refused(&attempted, &said))
    }
}

/// Where it does not matter which runtime is asked about.
fn any_runtime() -> Result<RuntimeEntry, ActError> {
    "nvidia=nvidia-container-runtime"
        .parse()
        .map_err(|fault: model::daemon_json::BadEntry| refused("name a runtime", &fault.to_string()))
}

fn refused(attempted: &str, said: &str) -> ActError {
    ActError::Refused { attempted: attempted.to_owned(), cause: OsCause::found(said) }
}
