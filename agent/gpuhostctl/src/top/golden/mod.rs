//! The picture on simulated hosts, as it is in `golden/`: `UPDATE_GOLDEN=1 cargo test -p gpuhostctl top` writes them again.

use super::containers::Containers;
use super::frame::Frame;
use super::layout::{View, picture, screen};
use model::enrol::{CheckinState, CheckinStatus};
use model::judge::{ObservationMeta, judge};
use model::observation::RawObservation;
use model::readiness::ReadinessStatus;
use model::time::{BootMillis, UnixMillis};
use std::path::Path;
use wire::dbus::gpu::GpuView;
use wire::dbus::host::HostView;
use wire::dbus::load::LoadView;
use wire::dbus::snapshot::Snapshot;

const NOW: i64 = 1_700_000_000_000;

fn raw(name: &str) -> RawObservation {
    sim::SimHost::new(sim::load(name).unwrap()).unwrap().asked()
}

fn snapshot(name: &str) -> Snapshot {
    let seen = ObservationMeta { sequence: 7, observed_at: UnixMillis(NOW - 1200), observed_boot: BootMillis(60_000) };
    let seen = judge(raw(name), seen, None);
    let checkin = CheckinStatus {
        state: CheckinState::Ok,
        manager: Some("manager.example:443".to_owned()),
        last_accepted: Some(UnixMillis(NOW - 12_000)),
        interval_s: 30,
        ..CheckinStatus::default()
    };
    Snapshot {
        host: HostView::new("0.1.0", &seen, &checkin, &ReadinessStatus::default()),
        gpus: seen.gpus.iter().map(GpuView::from).collect(),
        iommu_groups: Vec::new(),
        nvidia_containers: Vec::new(),
        workspaces_summary: None,
        workspaces: Vec::new(),
        jobs: Vec::new(),
        load: LoadView::new(&seen, &checkin, UnixMillis(NOW)),
    }
}

fn frame(name: &str) -> Frame {
    let container = "3f1d5a0c9b7e4d2f8a6c1e0b5d7f9a3c2e4b6d8f0a1c3e5b7d9f1a3c5e7b9d0f".to_owned();
    let containers = Containers::from([(41_200, container)]);
    let mut before = Frame::new(Containers::new(), snapshot(name), None);
    before.snapshot.load.cpu_ticks = before.snapshot.load.cpu_ticks.map(|ticks| ticks - 2000);
    before.snapshot.load.cpu_idle_ticks = before.snapshot.load.cpu_idle_ticks.map(|ticks| ticks - 1500);
    Frame::new(containers, snapshot(name), Some(&before))
}

fn plain(lines: &[String]) -> String {
    lines.iter().map(|line| anstream::adapter::strip_str(line).to_string() + "\n").collect()
}

fn compare(name: &str, made: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/top/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, made).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == made, "{name} has changed; look at it, then UPDATE_GOLDEN=1:\n{made}");
}

#[test]
fn the_picture_of_each_host_on_each_screen() {
    let view = View { interval: 2, ..View::default() };
    for name in ["dgx-a100", "workstation-rtx", "amd-mi300", "mixed-faults"] {
        let frame = frame(name);
        let mut text = String::new();
        for (width, height) in [(80, 24), (120, 40), (40, 10)] {
            let (lines, _) = screen(Some(&frame), &view, width, height);
            text.push_str(&format!("--- {width}x{height}\n{}", plain(&lines)));
        }
        text.push_str(&format!("--- once, 160 wide\n{}", plain(&picture(&frame, 160))));
        compare(&format!("{name}.txt"), &text);
    }
}

#[test]
fn no_line_is_too_wide_and_none_too_many_on_any_screen() {
    for name in ["dgx-a100", "workstation-rtx", "amd-mi300", "mixed-faults"] {
        let frame = frame(name);
        for width in 0..170 {
            for height in [0, 1, 2, 3, 5, 10, 14, 24, 60] {
                for scroll in [0, 3, 1000] {
                    let view = View { scroll, interval: 2, trouble: None };
                    let (lines, furthest) = screen(Some(&frame), &view, width, height);
                    assert!(lines.len() <= height, "{name} {width}x{height}: {} lines", lines.len());
                    let widest = plain(&lines).lines().map(|line| line.chars().count()).max().unwrap_or(0);
                    assert!(widest <= width, "{name} {width}x{height}: {widest} columns");
                    assert!(furthest < 100);
                }
            }
        }
    }
}

#[test]
fn scrolling_reaches_every_row() {
    let frame = frame("dgx-a100");
    let shown = |scroll| {
        let view = View { scroll, interval: 2, trouble: None };
        let (lines, furthest) = screen(Some(&frame), &view, 80, 10);
        (plain(&lines), furthest)
    };
    let (top, furthest) = shown(0);
    assert!(furthest > 0 && top.contains("more below"), "{top}");
    let bottom = shown(furthest).0;
    assert!(!bottom.contains("more below") && bottom.contains("q quit"), "{bottom}");
    let all: String = (0..=furthest).map(|scroll| shown(scroll).0).collect();
    for gpu in &frame.snapshot.gpus {
        assert!(all.contains(gpu.address.strip_prefix("0000:").unwrap()), "{}", gpu.address);
    }
}

#[test]
fn a_daemon_that_goes_away_is_told_and_what_was_seen_stays() {
    let frame = frame("workstation-rtx");
    let view = View { trouble: Some("gpuhostd is not running".to_owned()), ..View::default() };
    let text = plain(&screen(Some(&frame), &view, 80, 24).0);
    assert!(text.ends_with("gpuhostd is not running; trying again  q quit\n") && text.contains("RTX"), "{text}");
    let text = plain(&screen(None, &view, 80, 24).0);
    assert_eq!(text, "gpuhostd\ngpuhostd is not running; trying again  q quit\n");
}
