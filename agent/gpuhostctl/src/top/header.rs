//! What is above the GPUs: the host, its driver and Docker, the manager, and what is wrong.

use super::frame::Frame;
use super::line::Line;
use super::rows::gib;
use crate::text::{Look, span};
use wire::dbus::host::HostView;
use wire::dbus::load::LoadView;

const MIB: u64 = 1024 * 1024;

/// All lines of the header, the most important first.
pub(crate) fn lines(frame: &Frame, width: usize) -> Vec<Line> {
    let mut lines = vec![host(frame, width), parts(frame, width), manager(&frame.snapshot.host, &frame.snapshot.load)];
    lines.extend(wrong(&frame.snapshot.host));
    lines
}

/// The pieces that fit, from the left; what does not fit is left out as a whole.
fn fitting(pieces: Vec<(String, Look)>, width: usize) -> Line {
    let mut line = Line::default();
    for (text, look) in pieces {
        let gap = if line.width() == 0 { "" } else { "  " };
        if line.width() == 0 || line.width() + gap.len() + text.chars().count() <= width {
            line.push(gap, Look::Plain);
            line.push(&text, look);
        }
    }
    line
}

fn host(frame: &Frame, width: usize) -> Line {
    let (host, load) = (&frame.snapshot.host, &frame.snapshot.load);
    let mut pieces = vec![(host.hostname.clone().unwrap_or_else(|| "this host".to_owned()), Look::Bold)];
    let mut piece = |text: Option<String>| pieces.extend(text.map(|text| (text, Look::Plain)));
    piece(match (frame.cpu_percent, load.cpu_count) {
        (Some(percent), Some(count)) => Some(format!("CPU {percent:.0} % of {count}")),
        (Some(percent), None) => Some(format!("CPU {percent:.0} %")),
        (None, Some(count)) => Some(format!("{count} CPUs")),
        (None, None) => None,
    });
    piece(load.load_average.map(|[one, five, fifteen]| format!("load {one:.2} {five:.2} {fifteen:.2}")));
    piece(load.memory_total_bytes.zip(load.memory_available_bytes).map(|(total, available)| {
        format!("memory {}/{} GiB", gib(total.saturating_sub(available) / MIB), gib(total / MIB))
    }));
    piece(load.uptime_seconds.map(|seconds| format!("up {}", span(seconds.saturating_mul(1000)))));
    fitting(pieces, width)
}

fn parts(frame: &Frame, width: usize) -> Line {
    let host = &frame.snapshot.host;
    let all = frame.snapshot.gpus.len();
    let usable = frame.snapshot.gpus.iter().filter(|gpu| gpu.schedulable).count();
    let look = if usable == all { Look::Good } else { Look::Bad };
    let mut pieces = vec![match all {
        0 if host.observation_sequence == 0 => ("the host has not been observed yet".to_owned(), Look::Dim),
        0 => ("no GPU on the PCI bus".to_owned(), Look::Plain),
        1 => (format!("{usable} of 1 GPU usable"), look),
        _ => (format!("{usable} of {all} GPUs usable"), look),
    }];
    pieces.push(match (&host.docker_version, &host.docker_fault, frame.snapshot.load.containers_running) {
        (Some(version), _, Some(running)) => (format!("Docker {version}, {running} running"), Look::Plain),
        (Some(version), _, None) => (format!("Docker {version}"), Look::Plain),
        (None, Some(_), _) => ("Docker does not answer".to_owned(), Look::Bad),
        (None, None, _) => ("Docker".to_owned(), Look::Plain),
    });
    pieces.extend(host.driver_version.as_ref().map(|version| (format!("driver {version}"), Look::Plain)));
    pieces.extend(host.cuda_version.as_ref().map(|version| (format!("CUDA {version}"), Look::Plain)));
    fitting(pieces, width)
}

fn manager(host: &HostView, load: &LoadView) -> Line {
    let who = host.manager.as_deref().map(|manager| format!(" {manager}")).unwrap_or_default();
    let look = match host.manager_state.as_str() {
        "ok" => Look::Good,
        "not_enrolled" => Look::Dim,
        _ => Look::Bad,
    };
    let mut line = Line::of("manager", Look::Plain).and(&who, Look::Plain);
    line.push(": ", Look::Plain);
    line.push(&host.manager_state.replace('_', " "), look);
    let since = |when: u64| load.now.map(|now| now.saturating_sub(when));
    if let Some((last, past)) = host.last_heartbeat.and_then(|last| Some((last, since(last)?))) {
        line.push(&format!(", heartbeat {} ago", span(past)), Look::Plain);
        let usual = load.heartbeat_interval_seconds.map(|seconds| last.saturating_add(seconds.saturating_mul(1000)));
        let next = usual.map(|usual| usual.max(host.manager_wait_until.unwrap_or(0)));
        let due = next.zip(load.now).and_then(|(next, now)| next.checked_sub(now)).filter(|_| look == Look::Good);
        if let Some(due) = due {
            line.push(&format!(", next in {}", span(due)), Look::Plain);
        }
    }
    line
}

fn wrong(host: &HostView) -> Option<Line> {
    let kinds: Vec<&str> = host.conditions.iter().filter(|c| c.status == "true").map(|c| c.kind.as_str()).collect();
    (!kinds.is_empty()).then(|| Line::of("wrong: ", Look::Bad).and(&kinds.join(", "), Look::Bad))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_that_does_not_fit_is_left_out_as_a_whole() {
        let pieces = || ["abc", "defghijkl", "mn"].map(|text| (text.to_owned(), Look::Plain)).to_vec();
        assert_eq!(fitting(pieces(), 80).shown(80), "abc  defghijkl  mn");
        assert_eq!(fitting(pieces(), 10).shown(10), "abc  mn");
        assert_eq!(fitting(pieces(), 2).shown(2), "a…", "the first is cut, never left out");
    }
}
