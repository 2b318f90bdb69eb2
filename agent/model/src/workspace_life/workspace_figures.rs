//! What a running workspace uses, from the files of its control groups, in both versions of them.

use super::container_use::NetworkCounters;
use crate::absence::Reading;
use crate::ids::ContainerId;
use crate::time::BootMillis;
use crate::workspace::WorkspaceId;
use std::collections::BTreeMap;

/// A file of a control group, by what it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupFile {
    /// Processor time.
    Cpu,
    /// Memory in use, with caches.
    Memory,
    /// Of what kind that memory is.
    MemoryKinds,
    /// Bytes read from and written to disks.
    Io,
    /// Processes and threads.
    Pids,
}

impl CgroupFile {
    /// Its name, in version 2 or in version 1 behind the folder of its controller.
    #[must_use]
    pub const fn name(self, is_unified: bool) -> (&'static str, &'static str) {
        match (self, is_unified) {
            (Self::Cpu, true) => ("", "cpu.stat"),
            (Self::Memory, true) => ("", "memory.current"),
            (Self::MemoryKinds, true) => ("", "memory.stat"),
            (Self::Io, true) => ("", "io.stat"),
            (Self::Pids, true) => ("", "pids.current"),
            (Self::Cpu, false) => ("cpuacct", "cpuacct.usage"),
            (Self::Memory, false) => ("memory", "memory.usage_in_bytes"),
            (Self::MemoryKinds, false) => ("memory", "memory.stat"),
            (Self::Io, false) => ("blkio", "blkio.throttle.io_service_bytes"),
            (Self::Pids, false) => ("pids", "pids.current"),
        }
    }
}

/// What the control groups of a container show. What cannot be read is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CgroupFigures {
    /// Processor time since its start, in microseconds.
    pub cpu_us: Option<u64>,
    /// Memory in use, in bytes, without what the kernel takes back at once (`inactive_file`), as Docker counts it.
    pub memory_bytes: Option<u64>,
    /// Bytes read from disks.
    pub read_bytes: Option<u64>,
    /// Bytes written to disks.
    pub write_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

impl CgroupFigures {
    /// From the texts of the files; `text` has none for a file that cannot be read.
    #[must_use]
    pub fn read(is_unified: bool, text: impl Fn(CgroupFile) -> Option<String>) -> Self {
        let whole = |file| text(file)?.trim().parse::<u64>().ok();
        let cpu_us = if is_unified {
            text(CgroupFile::Cpu).and_then(|text| value(&text, "usage_usec"))
        } else {
            whole(CgroupFile::Cpu).map(|nanos| nanos / 1_000)
        };
        let kind = if is_unified { "inactive_file" } else { "total_inactive_file" };
        let cache = text(CgroupFile::MemoryKinds).and_then(|text| value(&text, kind)).unwrap_or(0);
        let io = text(CgroupFile::Io).map(|text| if is_unified { io_unified(&text) } else { io_first(&text) });
        Self {
            cpu_us,
            memory_bytes: whole(CgroupFile::Memory).map(|bytes| bytes.saturating_sub(cache)),
            read_bytes: io.map(|(read, _)| read),
            write_bytes: io.map(|(_, write)| write),
            pids: whole(CgroupFile::Pids),
        }
    }
}

/// `usage_usec 4711` among other lines.
fn value(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(key, _)| *key == name)?.1.trim().parse().ok()
}

/// `8:0 rbytes=1 wbytes=2 rios=…`, a line for each disk; a disk that was never used has the number alone.
fn io_unified(text: &str) -> (u64, u64) {
    let sum = |key: &str| {
        let words = text.split_whitespace().filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok());
        words.fold(0, u64::saturating_add)
    };
    (sum("rbytes="), sum("wbytes="))
}

/// `8:0 Read 1`, a line for each disk and direction.
fn io_first(text: &str) -> (u64, u64) {
    let sum = |direction: &str| {
        let of = |line: &str| {
            let mut words = line.split_whitespace().skip(1);
            (words.next()? == direction).then(|| words.next()?.parse::<u64>().ok())?
        };
        text.lines().filter_map(of).fold(0, u64::saturating_add)
    };
    (sum("Read"), sum("Write"))
}

/// What a workspace uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkspaceFigures {
    /// Hundredths of a percent of one core, over the time since the sample before; `None` in the first.
    pub cpu_hundredths: Option<u64>,
    /// What its control groups show.
    pub cgroup: CgroupFigures,
    /// What went over its network; `None` where that could not be read.
    pub network: Option<NetworkCounters>,
    /// Memory that its processes have on the GPUs that it shares, in bytes.
    pub gpu_memory_bytes: Reading<u64>,
}

/// The samples of all workspaces that run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkspaceSamples {
    last: BTreeMap<WorkspaceId, (ContainerId, BootMillis, CgroupFigures)>,
}

impl WorkspaceSamples {
    /// Takes the next sample: what each uses now. Of a container that was started again the first sample counts as its first.
    pub fn take(
        &mut self,
        now: BootMillis,
        seen: BTreeMap<WorkspaceId, (ContainerId, CgroupFigures)>,
    ) -> BTreeMap<WorkspaceId, WorkspaceFigures> {
        let before = std::mem::take(&mut self.last);
        let mut figures = BTreeMap::new();
        for (id, (container, cgroup)) in seen {
            let earlier = before.get(&id).filter(|(of, _, _)| *of == container);
            let cpu_hundredths = earlier.and_then(|(_, at, earlier)| {
                let spent = cgroup.cpu_us?.checked_sub(earlier.cpu_us?)?;
                // Microseconds in milliseconds: a whole core is a thousand.
                spent.saturating_mul(10).checked_div(now.since(*at))
            });
            figures.insert(id.clone(), WorkspaceFigures { cpu_hundredths, cgroup, ..WorkspaceFigures::default() });
            self.last.insert(id, (container, now, cgroup));
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(is_unified: bool, files: &[(CgroupFile, &str)]) -> CgroupFigures {
        CgroupFigures::read(is_unified, |file| {
            files.iter().find(|(one, _)| *one == file).map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn both_versions_show_the_same_and_a_cache_is_no_use() {
        let expected = CgroupFigures {
            cpu_us: Some(1_234_567),
            memory_bytes: Some(700),
            read_bytes: Some(30),
            write_bytes: Some(7),
            pids: Some(12),
        };
        let second = [
            (CgroupFile::Cpu, "usage_usec 1234567\nuser_usec 1\n"),
            (CgroupFile::Memory, "1000\n"),
            (CgroupFile::MemoryKinds, "anon 700\ninactive_file 300\nactive_file 5\n"),
            (
                CgroupFile::Io,
                "8:0 rbytes=10 wbytes=3 rios=1 wios=1 dbytes=0 dios=0\n8:16 \n259:0 rbytes=20 wbytes=4 rios=1\n",
            ),
            (CgroupFile::Pids, "12\n"),
        ];
        assert_eq!(of(true, &second), expected);
        let first = [
            (CgroupFile::Cpu, "1234567890\n"),
            (CgroupFile::Memory, "1000\n"),
            (CgroupFile::MemoryKinds, "cache 300\ninactive_file 9\ntotal_inactive_file 300\n"),
            (CgroupFile::Io, "8:0 Read 10\n8:0 Write 3\n8:0 Total 13\n259:0 Read 20\n259:0 Write 4\nTotal 37\n"),
            (CgroupFile::Pids, "12\n"),
        ];
        assert_eq!(of(false, &first), expected);
    }

    #[test]
    fn what_cannot_be_read_is_missing_and_never_0() {
        assert_eq!(of(true, &[]), CgroupFigures::default());
        let odd = [(CgroupFile::Cpu, "user_usec 1"), (CgroupFile::Memory, "max"), (CgroupFile::Pids, "-1")];
        assert_eq!(of(true, &odd), CgroupFigures::default());
        let full = [(CgroupFile::Memory, "10"), (CgroupFile::MemoryKinds, "inactive_file 20")];
        assert_eq!(of(true, &full).memory_bytes, Some(0), "the two files are not read at once");
    }

    #[test]
    fn processor_time_is_over_the_time_since_the_sample_before_of_the_same_container() {
        let container = |digit: &str| digit.repeat(64).parse::<ContainerId>().unwrap();
        let seen = |digit, cpu_us| {
            let figures = CgroupFigures { cpu_us, ..CgroupFigures::default() };
            BTreeMap::from([("w".parse().unwrap(), (container(digit), figures))])
        };
        let mut samples = WorkspaceSamples::default();
        let mut take = |at, digit, cpu_us| {
            samples.take(BootMillis(at), seen(digit, cpu_us)).remove(&"w".parse().unwrap()).unwrap().cpu_hundredths
        };
        assert_eq!(take(0, "a", Some(0)), None, "the first");
        assert_eq!(take(30_000, "a", Some(45_000_000)), Some(15_000), "one and a half cores");
        assert_eq!(take(30_000, "a", Some(45_000_000)), None, "no time has passed");
        assert_eq!(take(60_000, "a", Some(45_000_000)), Some(0));
        assert_eq!(take(90_000, "a", Some(1)), None, "it was started again");
        assert_eq!(take(120_000, "b", Some(9_000_000)), None, "another container");
        assert_eq!(take(150_000, "b", None), None);
    }
}
