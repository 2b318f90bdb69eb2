//! Lines of the kernel log as `dmesg`, `journalctl -k` and syslog print them: what is before the text, and who wrote it.
//!
//! Such a line states less than a record: `dmesg` without `-r` or `-x` prints what programs wrote to `/dev/kmsg` like the
//! kernel's own.

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plain<'a> {
    /// Microseconds since the kernel started, where the line has them; a time of day is not read.
    pub(crate) since_boot_us: Option<u64>,
    /// The kernel wrote it, as far as the line states.
    pub(crate) is_kernels: bool,
    /// The text.
    pub(crate) text: &'a str,
}

/// What a stamp reports.
enum Stamp {
    SinceBoot(u64),
    Dmesg,
    Journal,
}

/// Reads a line; `None` for one that has nothing before its text that only a log has.
pub(crate) fn plain(line: &str) -> Option<Plain<'_>> {
    let (by_level, rest) = level(line).or_else(|| decoded(line)).map_or((None, line), |(is, rest)| (Some(is), rest));
    let (stamp, rest) = stamp(rest).map_or((None, rest), |(stamp, rest)| (Some(stamp), rest));
    if by_level.is_none() && stamp.is_none() {
        return None;
    }
    let by_host = rest.split_once(' ').and_then(|(_, rest)| rest.strip_prefix("kernel: "));
    let is_kernels = by_level.unwrap_or(true) && (by_host.is_some() || !matches!(stamp, Some(Stamp::Journal)));
    let mut since_boot_us = if let Some(Stamp::SinceBoot(us)) = stamp { Some(us) } else { None };
    let mut text = by_host.unwrap_or(rest);
    // Syslog keeps the kernel's own stamp behind `kernel: `.
    if let Some((Stamp::SinceBoot(us), rest)) = by_host.and_then(bracketed) {
        (since_boot_us, text) = (Some(us), rest);
    }
    Some(Plain { since_boot_us, is_kernels, text: without_caller(text) })
}

/// `<3>`: level and facility as numbers (`dmesg -r`).
fn level(line: &str) -> Option<(bool, &str)> {
    let (number, rest) = line.strip_prefix('<')?.split_once('>')?;
    let number: u32 = number.parse().ok()?;
    Some((number < 8, rest))
}

/// `kern  :err   : `: facility and level in words (`dmesg -x`).
fn decoded(line: &str) -> Option<(bool, &str)> {
    const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];
    let (facility, rest) = line.split_once(':')?;
    let (level, rest) = rest.split_once(':')?;
    let is_word = facility.len() <= 8 && facility.trim_end().bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_word && LEVELS.contains(&level.trim_end())).then(|| (facility.trim_end() == "kern", rest.trim_start()))
}

fn stamp(line: &str) -> Option<(Stamp, &str)> {
    bracketed(line).or_else(|| iso(line)).or_else(|| syslog(line))
}

/// `[   12.345678] `, or a time of day in brackets (`dmesg -T`).
fn bracketed(line: &str) -> Option<(Stamp, &str)> {
    let (inner, rest) = line.strip_prefix('[')?.split_once(']')?;
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    if let Some(us) = seconds(inner.trim()) {
        return Some((Stamp::SinceBoot(us), rest));
    }
    let words: Vec<&str> = inner.split_whitespace().collect();
    (words.len() >= 4 && words.iter().any(|word| is_time(word))).then_some((Stamp::Dmesg, rest))
}

/// `12.345678` in microseconds.
fn seconds(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.')?;
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 9 {
        return None;
    }
    let micros: u64 = format!("{part:0<6}").get(..6)?.parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micros)
}

/// `2026-09-11T16:24:18,028841+02:00 text` (`dmesg --time-format iso`, `journalctl -o short-iso`).
fn iso(line: &str) -> Option<(Stamp, &str)> {
    let (stamp, rest) = line.split_once(' ')?;
    let (day, time) = stamp.split_once('T')?;
    let is_day = day.len() == 10 && day.bytes().filter(|byte| *byte == b'-').count() == 2;
    (is_day && is_time(time.get(..8)?)).then_some((Stamp::Dmesg, rest))
}

/// `Jun 12 16:30:32 host kernel: text`, also with the weekday before or the year behind.
fn syslog(line: &str) -> Option<(Stamp, &str)> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (month, rest) = line.split_once(' ')?;
    MONTHS.contains(&month).then_some(())?;
    let (day, rest) = rest.trim_start().split_once(' ')?;
    let (time, rest) = rest.split_once(' ')?;
    let is_day = day.len() <= 2 && day.bytes().all(|byte| byte.is_ascii_digit());
    (is_day && is_time(time.get(..8)?)).then_some((Stamp::Journal, rest))
}

/// `16:30:32`.
fn is_time(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    parts.len() == 3 && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `[ T1234] `, `[   C3] `: who printed it, where the kernel is built to say so.
fn without_caller(text: &str) -> &str {
    let caller = text.strip_prefix('[').and_then(|rest| rest.split_once("] ")).filter(|(inner, _)| {
        let digits = inner.trim_start().strip_prefix(['T', 'C']).unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    caller.map_or(text, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_printer_of_the_log_is_understood() {
        let text = "NVRM: Xid (PCI:0000:41:00): 79, x";
        for (before, us) in [
            ("[   12.345678] ", Some(12_345_678)),
            ("[12.3] ", Some(12_300_000)),
            ("<3>[   12.345678] ", Some(12_345_678)),
            ("<4>", None),
            ("[   12.345678] [   T123] ", Some(12_345_678)),
            ("[   12.345678] [    C3] ", Some(12_345_678)),
            ("kern  :err   : [   12.345678] ", Some(12_345_678)),
            ("kern  :err   : 2026-09-11T16:24:18,028841+02:00 ", None),
            ("[Sun Feb 23 16:24:18 2025] ", None),
            ("2026-09-11T16:24:18,028841+02:00 ", None),
            ("2026-09-11T16:24:18+02:00 node7 kernel: ", None),
            ("Jun 12 16:30:32 node7 kernel: ", None),
            ("Jun  2 16:30:32 node7 kernel: [   12.345678] ", Some(12_345_678)),
            ("Jun 12 16:30:32.123456 node7 kernel: ", None),
            ("[   12.345678] node7 kernel: ", Some(12_345_678)),
        ] {
            let line = format!("{before}{text}");
            assert_eq!(plain(&line), Some(Plain { since_boot_us: us, is_kernels: true, text }), "{before:?}");
        }
    }

    #[test]
    fn what_a_program_wrote_is_seen_where_the_line_says_so() {
        for line in [
            "<12>[   12.345678] NVRM: Xid (PCI:0000:41:00): 79, x",
            "user  :warn  : [   12.345678] NVRM: Xid (PCI:0000:41:00): 79, x",
            "Jun 12 16:30:32 node7 joe[4711]: NVRM: Xid (PCI:0000:41:00): 79, x",
        ] {
            assert!(plain(line).is_some_and(|plain| !plain.is_kernels), "{line}");
        }
    }

    #[test]
    fn what_is_no_line_of_a_log_is_none() {
        for line in [
            "",
            "NVRM: Xid (PCI:0000:41:00): 79",
            "[drm] x",
            "[12] x",
            "# Jun",
            "a: b: c",
            "<x>",
            "\u{0}\u{0}",
            "1:2:3 x",
        ] {
            assert_eq!(plain(line), None, "{line:?}");
        }
    }
}
