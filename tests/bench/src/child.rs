//! A process that runs beside a measurement and is ended with it.

use anyhow::{Context, bail};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to become ready, or to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(30);

/// A started process; dropped, it is asked to end, and killed where it does not.
pub struct Running {
    child: Child,
    name: String,
}

impl Running {
    /// Starts a program with its output in a log.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let both = file.try_clone()?;
        let child = command.stdin(Stdio::null()).stdout(file).stderr(both).spawn();
        Ok(Self { child: child.with_context(|| format!("cannot start {name}"))?, name })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the condition holds; fails where the process ends first or time is over.
    pub fn await_ready(&mut self, mut ready: impl FnMut() -> bool) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            let holds = ready();
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status} before it was ready", self.name);
            }
            if holds {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                bail!("{} was not ready after {} s", self.name, PATIENCE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let asked = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        let begin = Instant::now();
        while asked.is_ok() && begin.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// True where a program of that name is found.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ends_early_is_not_waited_for() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut running = Running::start(&mut Command::new("false"), log.path()).unwrap();
        while !std::fs::read_to_string(format!("/proc/{}/stat", running.pid())).unwrap().contains(") Z ") {
            std::thread::yield_now();
        }
        for answer in [false, true] {
            let error = running.await_ready(|| answer).unwrap_err();
            assert!(error.to_string().contains("before it was ready"), "{error}");
        }
    }

    #[test]
    fn dropping_ends_the_process() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let running = Running::start(Command::new("sleep").arg("1000"), log.path()).unwrap();
        let proc = format!("/proc/{}", running.pid());
        assert!(Path::new(&proc).exists());
        drop(running);
        assert!(!Path::new(&proc).exists());
    }
}
