//! Processor, memory and distribution.

use super::text::content;
use model::absence::{Absence, Reading};
use model::host_facts::CpuTicks;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Number of processors online, and the ticks of all of them, both from `/proc/stat`.
pub(super) fn cpu(proc: &Path) -> Reading<(u32, CpuTicks)> {
    let text = match content(&proc.join("stat")) {
        Ok(text) => text,
        Err(why) => return Reading::Absent(why),
    };
    let processors = text.lines().skip(1).take_while(|line| line.starts_with("cpu")).count();
    let ticks = text.lines().next().and_then(ticks);
    match (u32::try_from(processors).ok().filter(|count| *count > 0), ticks) {
        (Some(count), Some(ticks)) => Reading::Known((count, ticks)),
        _ => Reading::Absent(Absence::garbled(&text)),
    }
}

/// `cpu user nice system idle iowait irq softirq steal guest guest_nice`; guest time is already in user time.
fn ticks(line: &str) -> Option<CpuTicks> {
    let mut columns = line.split_ascii_whitespace();
    (columns.next() == Some("cpu")).then_some(())?;
    let states: Vec<u64> = columns.take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
    let total = states.iter().try_fold(0_u64, |sum, state| sum.checked_add(*state))?;
    let idle = states.get(3)?.checked_add(states.get(4).copied().unwrap_or(0))?;
    Some(CpuTicks { total, idle })
}

/// The load averages, in hundredths.
pub(super) fn load(proc: &Path) -> Reading<[u32; 3]> {
    match content(&proc.join("loadavg")) {
        Ok(text) => averages(&text).map_or_else(|| Reading::Absent(Absence::garbled(&text)), Reading::Known),
        Err(why) => Reading::Absent(why),
    }
}

/// `0.52 0.58 0.59 1/977 12345`: the kernel prints two decimals.
fn averages(text: &str) -> Option<[u32; 3]> {
    let mut columns = text.split_ascii_whitespace().map(|column| {
        let (whole, hundredths) = column.split_once('.').filter(|(_, decimals)| decimals.len() == 2)?;
        whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(hundredths.parse().ok()?)
    });
    Some([columns.next()??, columns.next()??, columns.next()??])
}

/// `/proc/meminfo`, or why it cannot be read.
pub(super) struct Memory(Result<HashMap<String, Result<u64, Absence>>, Absence>);

impl Memory {
    /// One value in bytes.
    pub(super) fn of(&self, key: &str) -> Reading<u64> {
        match self.0.as_ref().map(|values| values.get(key)) {
            Ok(Some(Ok(bytes))) => Reading::Known(*bytes),
            Ok(Some(Err(why))) | Err(why) => Reading::Absent(why.clone()),
            Ok(None) => Reading::Absent(Absence::NotReported),
        }
    }
}

/// Reads `/proc/meminfo`.
pub(super) fn memory(proc: &Path) -> Memory {
    let bytes = |value: &str| {
        let kilobytes: Option<u64> = value.trim().strip_suffix(" kB").and_then(|number| number.trim().parse().ok());
        kilobytes.and_then(|number| number.checked_mul(1024)).ok_or_else(|| Absence::garbled(value))
    };
    let parse = |text: String| {
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        pairs.map(|(key, value)| (key.to_owned(), bytes(value))).collect()
    };
    Memory(content(&proc.join("meminfo")).map(parse))
}

/// The distribution.
#[derive(Debug, Default)]
pub(super) struct OsRelease {
    /// `ID`.
    pub(super) id: Reading<String>,
    /// `VERSION_ID`; rolling distributions have none.
    pub(super) version_id: Reading<String>,
    /// `PRETTY_NAME`.
    pub(super) pretty_name: Reading<String>,
}

/// Reads the first `os-release` that there is.
pub(super) fn os_release(folders: &[PathBuf]) -> OsRelease {
    let mut refused = OsRelease::default();
    for folder in folders {
        match content(&folder.join("os-release")) {
            Ok(text) => {
                let value = |key| Reading::from(assignment(&text, key));
                return OsRelease {
                    id: value("ID"),
                    version_id: value("VERSION_ID"),
                    pretty_name: value("PRETTY_NAME"),
                };
            }
            Err(Absence::NotReported) => {}
            Err(why) => {
                let absent = || Reading::Absent(why.clone());
                refused = OsRelease { id: absent(), version_id: absent(), pretty_name: absent() };
            }
        }
    }
    refused
}

/// The value of `KEY=value`, `KEY="value"` or `KEY='value'`, unquoted as a shell would for these simple cases.
fn assignment(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?.trim();
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
    let fits = (1..=256).contains(&value.len()) && !value.chars().any(char::is_control);
    fits.then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_is_idle_and_waiting_and_guest_time_counts_once() {
        let ticks = ticks("cpu  10 1 20 300 40 5 6 7 9 1").unwrap();
        assert_eq!(ticks, CpuTicks { total: 389, idle: 340 });
    }

    #[test]
    fn a_kernel_without_iowait_still_counts() {
        assert_eq!(super::ticks("cpu 1 2 3 4"), Some(CpuTicks { total: 10, idle: 4 }));
        for line in ["cpu", "cpu 1 2 3", "cpu a b c d", "cpu0 1 2 3 4", "cpu 1 2 3 -4", ""] {
            assert_eq!(super::ticks(line), None, "{line}");
        }
    }

    #[test]
    fn load_averages_have_two_decimals() {
        assert_eq!(averages("0.52 12.05 128.00 1/977 12345\n"), Some([52, 1205, 12_800]));
        for text in ["", "0.52 0.58", "0.5 0.5 0.5", "a.bc 0.00 0.00", "1 2 3"] {
            assert_eq!(averages(text), None, "{text}");
        }
    }

    #[test]
    fn assignments_are_unquoted_and_not_confused() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_ID='12'\nID=debian\nID_LIKE=x\nNAME=\"\n";
        assert_eq!(assignment(text, "PRETTY_NAME").as_deref(), Some("Debian GNU/Linux 12"));
        assert_eq!(assignment(text, "VERSION_ID").as_deref(), Some("12"));
        assert_eq!(assignment(text, "ID").as_deref(), Some("debian"));
        assert_eq!(assignment(text, "NAME").as_deref(), Some("\""));
        assert_eq!(assignment(text, "BUILD_ID"), None);
    }
}
