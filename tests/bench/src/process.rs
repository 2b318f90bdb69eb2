//! What /proc says of processes: who descends from whom, memory, and how often a process was woken.

use anyhow::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// A process with all that descend from it.
pub fn family(first: u32) -> anyhow::Result<BTreeSet<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse::<u32>().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    let mut family = BTreeSet::from([first]);
    while let Some((pid, _)) = parents.iter().find(|(pid, parent)| family.contains(parent) && !family.contains(pid)) {
        family.insert(*pid);
    }
    Ok(family)
}

/// The front among the processes that a launcher started.
pub fn front(family: &BTreeSet<u32>) -> Option<u32> {
    family.iter().copied().find(|pid| is_launched_front(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()))
}

fn is_launched_front(command_line: &[u8]) -> bool {
    let mut words = command_line.split(|byte| *byte == 0);
    words.next().unwrap_or_default().ends_with(b"/gpuhostd") && words.any(|word| word == b"--launcher")
}

/// A line of a file in /proc that is told in kB, in MiB.
pub fn mib(pid: u32, file: &str, key: &str) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/{file}");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)).with_context(|| format!("no {key} in {path}"))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().with_context(|| format!("{key} in {path}"))?;
    Ok(kib / 1024.0)
}

/// CPU time that a process has used so far, in seconds, in user space and in the kernel.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanoseconds += text.split_whitespace().next().unwrap_or_default().parse::<u64>().context("schedstat")?;
    }
    Ok(nanoseconds as f64 / 1e9)
}

/// Counts how often the threads of processes go to sleep, which is how often they are woken. A thread takes its count with it
/// when it ends: look again before one that is made meanwhile can have ended.
#[derive(Default)]
pub struct Sleeps {
    seen: BTreeMap<(u32, u32), f64>,
    counted: BTreeMap<(u32, String), f64>,
}

impl Sleeps {
    /// Looks at all threads of these processes; what they did before the first look does not count.
    pub fn look(&mut self, pids: &[u32]) -> anyhow::Result<()> {
        let first = self.seen.is_empty();
        for pid in pids {
            let folder = format!("/proc/{pid}/task");
            for task in fs::read_dir(&folder).with_context(|| folder.clone())? {
                let task = task?;
                // A thread may end between the listing and the reading.
                let Ok(status) = fs::read_to_string(task.path().join("status")) else { continue };
                let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
                let count = line.and_then(|count| count.trim().parse::<f64>().ok()).unwrap_or_default();
                let Some(thread) = task.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
                let before = self.seen.insert((*pid, thread), count);
                if !first {
                    let name = status.lines().find_map(|line| line.strip_prefix("Name:")).unwrap_or_default().trim();
                    *self.counted.entry((*pid, name.to_owned())).or_default() += count - before.unwrap_or_default();
                }
            }
        }
        Ok(())
    }

    /// How often, since the first look.
    pub fn counted(&self) -> f64 {
        self.counted.values().sum()
    }

    /// The same for each process and name of a thread.
    pub fn by_thread(&self) -> impl Iterator<Item = (&(u32, String), &f64)> {
        self.counted.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::process::{Command, Stdio};

    #[test]
    fn the_family_holds_grandchildren() {
        let script = ["-c", "sleep 1000 & echo $!; wait"];
        let mut child = Command::new("sh").args(script).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = [0; 32];
        let length = child.stdout.as_mut().unwrap().read(&mut line).unwrap();
        let grandchild: u32 = std::str::from_utf8(&line[..length]).unwrap().trim().parse().unwrap();
        let family = family(std::process::id()).unwrap();
        let killed = Command::new("kill").args([grandchild.to_string(), child.id().to_string()]).status().unwrap();
        child.wait().unwrap();
        assert!(killed.success() && family.contains(&child.id()) && family.contains(&grandchild), "{family:?}");
    }

    #[test]
    fn the_front_is_neither_launcher_nor_hand() {
        assert!(is_launched_front(b"/usr/bin/gpuhostd\0--bus\0system\0--launcher\x0012\0"));
        assert!(!is_launched_front(b"/usr/libexec/gpuhostd/gpuhostd-launcher\0--bus\0system\0"));
        assert!(!is_launched_front(b"/usr/libexec/gpuhostd/gpuhostd-host\0--launcher\x0012\0"));
    }

    #[test]
    fn work_costs_cpu_time() {
        let before = cpu_seconds(std::process::id()).unwrap();
        let begin = std::time::Instant::now();
        while cpu_seconds(std::process::id()).unwrap() <= before {
            assert!(begin.elapsed().as_secs() < 30, "it stays at {before}");
        }
    }

    #[test]
    fn memory_is_told_in_mib() {
        let rss = mib(std::process::id(), "status", "VmRSS:").unwrap();
        assert!((0.5..500.0).contains(&rss), "{rss}");
        assert!(mib(std::process::id(), "status", "NoSuchKey:").is_err());
    }

    /// In a process of its own: the threads of other tests end while this one counts.
    #[test]
    fn each_sleep_counts() {
        let script = "echo ready; read go; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.001; done; echo done; read end";
        let pipes = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = pipes.unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut stdin = child.stdin.take().unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        let mut sleeps = Sleeps::default();
        sleeps.look(&[child.id()]).unwrap();
        assert_eq!(sleeps.counted(), 0.0);
        stdin.write_all(b"go\n").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "done");
        sleeps.look(&[child.id()]).unwrap();
        drop(stdin);
        child.wait().unwrap();
        assert!(sleeps.counted() >= 10.0, "{}", sleeps.counted());
    }

    #[test]
    fn a_thread_that_ends_takes_nothing_away() {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let (begun, beginning) = std::sync::mpsc::channel();
        let mut sleeps = Sleeps::default();
        sleeps.look(&[std::process::id()]).unwrap();
        let thread = std::thread::spawn(move || {
            for _ in 0..10 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            begun.send(()).unwrap();
            let _ = stopped.recv();
        });
        beginning.recv().unwrap();
        sleeps.look(&[std::process::id()]).unwrap();
        let with_it = sleeps.counted();
        stop.send(()).unwrap();
        thread.join().unwrap();
        sleeps.look(&[std::process::id()]).unwrap();
        assert!(with_it >= 10.0 && sleeps.counted() >= with_it, "{with_it} {}", sleeps.counted());
    }
}
