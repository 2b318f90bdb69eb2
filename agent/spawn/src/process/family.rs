//! The family of a child: what it starts is limited as it is, and ends with it, also where it left the child's process group.
//!
//! A process whose parent has ended goes to the nearest ancestor that takes it in. A hand does, so what a child leaves behind
//! becomes a child of the hand that the hand did not start; nothing but such a process is ended here.

use model::message::Message;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Most writable memory of this process and of each that it starts, in bytes: nvidia-smi for sixteen GPUs takes a tenth of it.
const DATA_MAX_BYTES: u64 = 512 * 1024 * 1024;
/// How long the orphans of a child may take to die; those that take longer hang in the kernel, and are seen to at the next end.
const DEATH: Duration = Duration::from_secs(1);
/// Looks at the orphans without a pause: each ended one may hand over children of its own.
const LOOKS: usize = 64;

/// Children that a supervisor of this process started and that it has not seen end; none before [`prepare`].
static STARTED: Mutex<Option<BTreeSet<i32>>> = Mutex::new(None);

/// Limits the memory of this process and of all that it starts, and lets it take in the orphans of its children. Only for a
/// process whose every child is started by a [`super::Supervisor`]: any other would be taken for an orphan.
///
/// # Errors
/// What the host reported; one part does not depend on the other.
pub fn prepare() -> io::Result<()> {
    let limited = getrlimit(Resource::RLIMIT_DATA).and_then(|(_, hard)| {
        let most = DATA_MAX_BYTES.min(hard);
        setrlimit(Resource::RLIMIT_DATA, most, most)
    });
    set_child_subreaper(true)?;
    STARTED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
    Ok(limited?)
}

/// Starts a child and keeps in mind that it is one. Where memory runs out, the kernel ends it and its family before others.
pub(super) fn start(command: &mut Command) -> io::Result<Child> {
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    let child = command.spawn()?;
    let Some(pid) = child.id() else { return Ok(child) };
    if let (Some(started), Ok(pid)) = (started.as_mut(), i32::try_from(pid)) {
        started.insert(pid);
    }
    // Only a preference: without it the kernel chooses by size, which finds the right one too.
    let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), "1000");
    Ok(child)
}

/// Forgets a child whose end was seen, or which nobody looks for any more.
pub(super) fn ended(pid: u32) {
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if let (Some(started), Ok(pid)) = (started.as_mut(), i32::try_from(pid)) {
        started.remove(&pid);
    }
}

/// Ends all orphans that came to this process.
pub(super) async fn end_orphans() {
    let (until, mut ended) = (Instant::now() + DEATH, 0_usize);
    loop {
        for _ in 0..LOOKS {
            let (gone, alive) = look();
            ended = ended.saturating_add(gone);
            if alive == 0 {
                if ended > 0 {
                    tracing::info!(ended, "processes that a child left behind are killed");
                }
                return;
            }
        }
        if Instant::now() >= until {
            tracing::warn!(
                message_id = Message::ChildrenUnbounded.id(),
                ended,
                "processes that a child left behind do not exit; they are killed again when the next child exits"
            );
            return;
        }
        sleep(Duration::from_millis(2)).await;
    }
}

/// Signals each orphan, and buries those that are dead: how many were buried, and how many are still there.
fn look() -> (usize, usize) {
    let started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(started) = started.as_ref() else { return (0, 0) };
    let (mut gone, mut alive) = (0_usize, 0_usize);
    for pid in children().into_iter().filter(|pid| !started.contains(pid)).map(Pid::from_raw) {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            // Until it is waited for its number is not given out again, and only we can wait for it: nobody else is hit.
            Ok(WaitStatus::StillAlive) => {
                let _ = kill(pid, Signal::SIGKILL);
                alive = alive.saturating_add(1);
            }
            Ok(_) => gone = gone.saturating_add(1),
            // It is no child of ours any more.
            Err(_) => {}
        }
    }
    (gone, alive)
}

/// All children of this process, by the kernel's lists of each of its threads.
fn children() -> Vec<i32> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}
