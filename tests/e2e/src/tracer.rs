//! A process under trace: what it does to files and sockets is counted, and it is killed before or behind one of these deeds. So an
//! instant is a number, and the same one on a slow machine as on a fast one.

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// While no thread of the process stops, the end is looked for this often.
const LOOK_EVERY: Duration = Duration::from_micros(300);

/// System calls that change a file, a folder or what a peer knows. `openat` counts where it makes a file.
const DEEDS: [libc::c_long; 15] = [
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_openat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_unlinkat,
    libc::SYS_mkdirat,
    libc::SYS_fchmod,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
];

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traced {
    /// So many instants were seen: two for each deed, one before and one behind it.
    pub instants: usize,
    /// The process was killed at the instant that was asked for; otherwise all was over before.
    pub was_reached: bool,
}

/// Follows all threads of a process while `begin` and what follows from it happens, and kills it at the instant of this number; where
/// `is_over` comes first, it is killed then.
///
/// # Panics
/// Where the process cannot be traced (this needs root), or ends by itself.
pub fn follow(process: Pid, kill_at: usize, begin: impl FnOnce(), is_over: impl Fn() -> bool + Sync) -> Traced {
    let armed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (ready, is_ready) = channel();
        let armed = &armed;
        let is_over = &is_over;
        // A thread of its own: the children of a thread that traces are what it traces, and nothing else.
        let tracer = scope.spawn(move || {
            let mut tracer = Tracer { process, kill_at, seen: 0, threads: BTreeSet::new(), killed: None };
            tracer.seize(&ready);
            tracer.run(armed, is_over)
        });
        is_ready.recv().expect("the process is traced");
        armed.store(true, Ordering::SeqCst);
        begin();
        tracer.join().expect("the tracer")
    })
}

struct Tracer {
    process: Pid,
    kill_at: usize,
    /// Instants so far.
    seen: usize,
    threads: BTreeSet<Pid>,
    /// It was killed: where it was to be, or because all was over.
    killed: Option<bool>,
}

impl Tracer {
    fn seize(&mut self, ready: &Sender<()>) {
        loop {
            let fresh: Vec<Pid> = self.tasks().into_iter().filter(|thread| !self.threads.contains(thread)).collect();
            if fresh.is_empty() {
                break;
            }
            for thread in fresh {
                match ptrace::seize(thread, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE) {
                    Ok(()) => {}
                    // It was made by a thread that is traced already, and so it is itself.
                    Err(Errno::EPERM) if !self.threads.is_empty() => {}
                    Err(Errno::ESRCH) => continue,
                    Err(fault) => panic!("{thread} cannot be traced: {fault}"),
                }
                self.threads.insert(thread);
                let _gone = ptrace::interrupt(thread);
            }
        }
        ready.send(()).expect("the test waits");
    }

    fn tasks(&self) -> Vec<Pid> {
        let folder = PathBuf::from(format!("/proc/{}/task", self.process));
        let named = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse().ok();
        let all = std::fs::read_dir(folder).expect("the process is there").filter_map(Result::ok);
        all.filter_map(named).map(Pid::from_raw).collect()
    }

    fn run(&mut self, armed: &AtomicBool, is_over: &(dyn Fn() -> bool + Sync)) -> Traced {
        let flags = WaitPidFlag::WNOHANG | WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            match waitpid(None, Some(flags)) {
                Err(Errno::ECHILD) => {
                    assert!(self.killed.is_some(), "the process has ended by itself");
                    return Traced { instants: self.seen, was_reached: self.killed == Some(true) };
                }
                Err(Errno::EINTR) => {}
                Err(fault) => panic!("{fault}"),
                Ok(WaitStatus::StillAlive) => {
                    if armed.load(Ordering::SeqCst) && self.killed.is_none() && is_over() {
                        self.kill(false);
                    }
                    std::thread::sleep(LOOK_EVERY);
                }
                Ok(status) => self.stopped(status, armed.load(Ordering::SeqCst)),
            }
        }
    }

    fn stopped(&mut self, status: WaitStatus, is_armed: bool) {
        let (thread, signal) = match status {
            WaitStatus::PtraceSyscall(thread) => {
                if is_armed && self.killed.is_none() && self.is_deed(thread) {
                    if self.kill_at == self.seen {
                        self.kill(true);
                    }
                    self.seen += 1;
                }
                (thread, None)
            }
            WaitStatus::Stopped(thread, signal) => (thread, Some(signal)),
            WaitStatus::PtraceEvent(thread, ..) => (thread, None),
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) | WaitStatus::Continued(_) | WaitStatus::StillAlive => {
                return;
            }
        };
        // It fails where the process was killed meanwhile.
        let _gone = ptrace::syscall(thread, signal);
    }

    fn kill(&mut self, was_reached: bool) {
        self.killed = Some(was_reached);
        kill(self.process, Signal::SIGKILL).expect("the process is there");
    }

    /// The system call that the thread is in leaves something behind. What wakes a thread of its own (eight bytes to an eventfd)
    /// and the log do not.
    fn is_deed(&self, thread: Pid) -> bool {
        let shown = std::fs::read_to_string(format!("/proc/{}/task/{thread}/syscall", self.process));
        let shown = shown.unwrap_or_default();
        let mut words = shown.split_whitespace();
        let Some(number) = words.next().and_then(|word| word.parse::<libc::c_long>().ok()) else { return false };
        let hexadecimal = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
        let arguments: Vec<u64> = words.map_while(hexadecimal).collect();
        let at = |place: usize| arguments.get(place).copied().unwrap_or_default();
        match number {
            libc::SYS_write => at(0) > 2 && at(2) != 8,
            libc::SYS_writev => at(0) > 2,
            libc::SYS_openat => at(2) & u64::from(libc::O_CREAT.unsigned_abs()) != 0,
            other => DEEDS.contains(&other),
        }
    }
}
