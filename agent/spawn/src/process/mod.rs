//! Supervises subprocesses: runs one child process at a time for each purpose, with a deadline and bounds, and never loses
//! sight of it.

mod family;

pub use family::prepare;

use crate::own::Own;
use model::message::Message;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

/// Most that a child may write to its standard output.
pub const STDOUT_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Most that a child may write to its standard error.
pub const STDERR_MAX_BYTES: usize = 64 * 1024;
/// How long SIGTERM has before SIGKILL follows: a client of NVML that is killed in a call can leave its GPU unusable.
pub const GRACE: Duration = Duration::from_secs(5);
/// How long a child may take to die of SIGKILL; one that takes longer sits in the kernel.
const DEATH: Duration = Duration::from_secs(1);
/// How long the pipes of an ended child are read on; what it wrote itself is in them already.
const DRAIN: Duration = Duration::from_millis(250);

/// A program to run. Its environment is empty but for a fixed `PATH`, `LC_ALL=C` and `env`; its standard input is closed.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its absolute path.
    pub path: PathBuf,
    /// The file that is started instead of what the path leads to, where it is one of ours.
    pub own: Option<Own>,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// More environment.
    pub env: Vec<(String, OsString)>,
    /// It is ended after this time.
    pub deadline: Duration,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
}

impl Program {
    /// A program with [`GRACE`].
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, args: impl IntoIterator<Item = OsString>, deadline: Duration) -> Self {
        let args = args.into_iter().collect();
        Self { path: path.into(), own: None, args, env: Vec::new(), deadline, grace: GRACE }
    }

    /// A program of ours with [`GRACE`].
    #[must_use]
    pub fn own(own: &Own, args: impl IntoIterator<Item = OsString>, deadline: Duration) -> Self {
        Self { own: Some(own.clone()), ..Self::new(own.path(), args, deadline) }
    }
}

/// A child that ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// All of its standard error.
    pub stderr: Vec<u8>,
}

/// Why there is no finished child.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be started.
    #[error("cannot start {}: {source}", path.display())]
    Start {
        /// The program.
        path: PathBuf,
        /// What the host reported.
        #[source]
        source: io::Error,
    },
    /// It did not end in its time, and was ended.
    #[error("it did not exit within {} ms", after.as_millis())]
    Timeout {
        /// Its deadline.
        after: Duration,
    },
    /// It does not die: it hangs in the kernel. Nothing is started for this purpose until it ends.
    #[error("it hangs in the kernel as process {pid}")]
    Stuck {
        /// The child.
        pid: u32,
    },
    /// It wrote more than anybody would read.
    #[error("it wrote more than {max_bytes} bytes to its standard {stream}")]
    TooMuch {
        /// `output` or `error`.
        stream: &'static str,
        /// The bound.
        max_bytes: usize,
    },
    /// Its pipes or its status could not be read.
    #[error("it could not be supervised: {0}")]
    Supervision(#[from] io::Error),
    /// The runtime that supervised it went down.
    #[error("its supervisor has exited")]
    Abandoned,
}

/// What a child is started for.
pub type Purpose = Cow<'static, str>;

/// Takes a piece of a child's standard output.
pub type Hear = Box<dyn FnMut(&[u8]) + Send>;

type EndGroup = fn(Pid, Signal);

/// Starts children and keeps a register of those that do not die. Clones share the register.
#[derive(Debug, Clone)]
pub struct Supervisor {
    slots: Arc<Mutex<HashMap<Purpose, Arc<Slot>>>>,
    end_group: EndGroup,
}

/// One purpose: at most one child.
#[derive(Debug)]
struct Slot {
    turn: Arc<Semaphore>,
    stuck: Mutex<Option<u32>>,
}

impl Slot {
    fn stuck(&self) -> Option<u32> {
        *self.stuck.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_stuck(&self, pid: Option<u32>) {
        *self.stuck.lock().unwrap_or_else(PoisonError::into_inner) = pid;
    }
}

impl Default for Supervisor {
    fn default() -> Self {
        // ESRCH, the one answer that comes in practice, says that the group has ended by itself.
        Self { slots: Arc::default(), end_group: |group, signal| _ = killpg(group, signal) }
    }
}

impl Supervisor {
    /// Runs a program for a purpose, and waits for its end. Children of one purpose run one after the other. When the
    /// caller stops waiting (its future is dropped), the child is ended in the same way as at its deadline.
    ///
    /// # Errors
    /// Everything but an end of its own; a bad exit status is no error here.
    pub async fn run(&self, purpose: impl Into<Purpose>, program: Program) -> Result<Finished, RunError> {
        self.run_heard(purpose, program, Box::new(|_| {})).await
    }

    /// As [`Supervisor::run`]; each piece of standard output is given to `hear` as it comes.
    ///
    /// # Errors
    /// As [`Supervisor::run`].
    pub async fn run_heard(
        &self,
        purpose: impl Into<Purpose>,
        program: Program,
        hear: Hear,
    ) -> Result<Finished, RunError> {
        let slot = self.slot(purpose.into());
        let refused = |slot: &Slot| slot.stuck().map(|pid| RunError::Stuck { pid });
        if let Some(fault) = refused(&slot) {
            return Err(fault);
        }
        let turn = timeout(program.deadline, Arc::clone(&slot.turn).acquire_owned()).await;
        let late = || RunError::Timeout { after: program.deadline };
        let turn = turn.map_err(|_| refused(&slot).unwrap_or_else(late))?.map_err(|_| RunError::Abandoned)?;
        let child = Running::start(&program, self.end_group)?;
        let (tell, told) = oneshot::channel();
        tokio::spawn(supervise(child, program, slot, turn, (hear, tell)));
        told.await.unwrap_or(Err(RunError::Abandoned))
    }

    /// A child of this purpose runs, or hangs in the kernel.
    #[must_use]
    pub fn is_busy(&self, purpose: &str) -> bool {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(purpose).is_some_and(|slot| slot.turn.available_permits() == 0)
    }

    /// Children that do not die, with the purpose that each was started for.
    #[must_use]
    pub fn stuck(&self) -> Vec<(Purpose, u32)> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stuck: Vec<_> =
            slots.iter().filter_map(|(purpose, slot)| Some((purpose.clone(), slot.stuck()?))).collect();
        stuck.sort_unstable();
        stuck
    }

    fn slot(&self, purpose: Purpose) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        // A purpose can have the name of a container in it. What runs or waits holds its slot, and so does a child that does not die.
        slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        let fresh = || Arc::new(Slot { turn: Arc::new(Semaphore::new(1)), stuck: Mutex::new(None) });
        Arc::clone(slots.entry(purpose).or_insert_with(fresh))
    }
}

/// A child with its group. Dropped before its end (the runtime goes down), it takes its whole group with it.
struct Running {
    child: Child,
    pid: u32,
    group: Option<Pid>,
    end_group: EndGroup,
}

impl Running {
    fn start(program: &Program, end_group: EndGroup) -> Result<Self, RunError> {
        let failed = |source| RunError::Start { path: program.path.clone(), source };
        let mut command = match &program.own {
            Some(own) => own.command().map_err(failed)?,
            None => Command::new(&program.path),
        };
        command.args(&program.args).env_clear().env("LC_ALL", "C").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(program.env.iter().map(|(name, value)| (name, value))).current_dir("/").process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = family::start(&mut command).map_err(failed)?;
        let pid = child.id().ok_or_else(|| failed(io::Error::other("it has no process id")))?;
        let group = i32::try_from(pid).ok().map(Pid::from_raw);
        Ok(Self { child, pid, group, end_group })
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            (self.end_group)(group, signal);
        }
    }

    /// Waits for the end of the child, then ends what it left behind in its group.
    async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        // The leader has been reaped; its number stays taken while the group has a member, and is not given out again
        // before all other numbers were: nobody else is hit.
        self.signal(Signal::SIGKILL);
        self.group = None;
        family::ended(self.pid);
        Ok(status)
    }

    /// SIGTERM, a grace, SIGKILL. False where even that does not end it.
    async fn end(&mut self, grace: Duration) -> bool {
        self.signal(Signal::SIGTERM);
        if timeout(grace, self.wait()).await.is_ok() {
            return true;
        }
        self.signal(Signal::SIGKILL);
        timeout(DEATH, self.wait()).await.is_ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        if self.group.is_some() {
            family::ended(self.pid);
        }
    }
}

async fn supervise(
    mut running: Running,
    program: Program,
    slot: Arc<Slot>,
    turn: OwnedSemaphorePermit,
    (hear, mut tell): (Hear, oneshot::Sender<Result<Finished, RunError>>),
) {
    let outcome = tokio::select! {
        outcome = collect(&mut running, hear) => outcome,
        () = tokio::time::sleep(program.deadline) => Err(RunError::Timeout { after: program.deadline }),
        () = tell.closed() => Err(RunError::Abandoned),
    };
    if outcome.is_ok() || running.group.is_none() || running.end(program.grace).await {
        family::end_orphans().await;
        drop(turn);
        // Nobody listens where the caller has gone; the child has ended all the same.
        let _ = tell.send(outcome);
        return;
    }
    let pid = running.pid;
    slot.set_stuck(Some(pid));
    tracing::error!(
        message_id = Message::ChildStuck.id(),
        pid,
        "process {pid} ({}) hangs in the kernel; no other is started until it exits",
        program.path.display()
    );
    let _ = tell.send(Err(RunError::Stuck { pid }));
    if let Err(error) = running.wait().await {
        tracing::error!(
            message_id = Message::ChildStuck.id(),
            pid,
            "the exit of process {pid}, which hung in the kernel, could not be observed: {error}"
        );
        return;
    }
    tracing::info!(pid, "process {pid}, which hung in the kernel, has exited");
    slot.set_stuck(None);
    drop(turn);
}

/// Reads both pipes and waits for the end.
async fn collect(running: &mut Running, hear: Hear) -> Result<Finished, RunError> {
    let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = {
        let pipes = async {
            tokio::try_join!(
                pump(stdout, &mut out, "output", STDOUT_MAX_BYTES, hear),
                pump(stderr, &mut err, "error", STDERR_MAX_BYTES, Box::new(|_| {}))
            )
        };
        tokio::pin!(pipes);
        let mut open = true;
        let status = {
            let wait = running.wait();
            tokio::pin!(wait);
            loop {
                tokio::select! {
                    status = &mut wait => break status?,
                    read = &mut pipes, if open => {
                        read?;
                        open = false;
                    }
                }
            }
        };
        // A process that left the group may hold the pipes for ever; everything the child wrote is read by then.
        if open && let Ok(read) = timeout(DRAIN, &mut pipes).await {
            read?;
        }
        status
    };
    Ok(Finished { status, stdout: out, stderr: err })
}

async fn pump(
    pipe: Option<impl AsyncRead + Unpin>,
    into: &mut Vec<u8>,
    stream: &'static str,
    max_bytes: usize,
    mut hear: Hear,
) -> Result<(), RunError> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    while let read @ 1.. = pipe.read_buf(into).await? {
        hear(into.get(into.len().saturating_sub(read)..).unwrap_or_default());
        if into.len() > max_bytes {
            return Err(RunError::TooMuch { stream, max_bytes });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
