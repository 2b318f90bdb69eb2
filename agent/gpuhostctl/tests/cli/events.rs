//! Events on the command line: a list for people, JSON for scripts, and what happens from now on.

use crate::rig::core::core;
use crate::rig::hosts::{self, event};
use crate::rig::private_bus::PrivateBus;
use crate::rig::{NOBODY, Served, busctl_as};
use crate::run::{gpuhostctl, json, program, told};
use model::event::EventKind;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc;

fn daemon() -> (PrivateBus, Served) {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    let second = 1_795_000_000;
    served.core.events.send_replace(vec![
        event(7, second, EventKind::GpuAdded, "GPU 0000:41:00.0 is there"),
        event(8, second + 60, EventKind::GpuXid, "the kernel log has Xid 79 \u{1b}[31m"),
        event(9, second + 120, EventKind::GpuHealth, "the health is failed"),
    ]);
    (bus, served)
}

#[test]
fn events_are_listed_page_by_page_and_from_a_time_on() {
    let (bus, _served) = daemon();
    let text = told(&bus, &["events"]);
    for part in
        ["TIME", "2026-11-18 11:06:40 UTC  warning   gpu.added   0000:41:00.0  GPU 0000:41:00.0 is there", "gpu.health"]
    {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "a device steers the terminal: {text:?}");
    let list = json(&bus, &["events", "--json", "--since", "2026-11-18T11:07:40Z"]);
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!((&list[0]["Seq"], &list[0]["Type"], &list[0]["Code"]), (&8.into(), &"gpu.xid".into(), &"xid_79".into()));
    assert_eq!(told(&bus, &["events", "--since", "2099-01-01"]), "No event is kept of this time.\n");
    let ran = gpuhostctl(&bus, &["events", "--since", "yesterday"]);
    assert!(ran.status == 2 && ran.err.contains("expected a span such as 15m"), "{ran:?}");
}

#[test]
fn events_are_followed_as_they_happen() {
    let (bus, served) = daemon();
    let mut command = program(&bus.address);
    let mut child = command.args(["events", "--follow", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let (send, lines) = mpsc::channel();
    let out = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        BufReader::new(out).lines().map_while(Result::ok).for_each(|line| drop(send.send(line)));
    });
    let next = || {
        let line = lines.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
        serde_json::from_str::<serde_json::Value>(&line).unwrap()["Seq"].as_u64().unwrap()
    };
    assert_eq!([next(), next(), next()], [7, 8, 9]);
    served.core.events.send_modify(|kept| kept.push(event(10, 1_795_000_180, EventKind::GpuHealth, "again")));
    assert_eq!(next(), 10);
    served.core.events.send_modify(|kept| {
        kept.extend((11..16).map(|seq| event(seq, 1_795_000_180, EventKind::GpuHealth, "a burst")));
    });
    assert_eq!([next(), next(), next(), next(), next()], [11, 12, 13, 14, 15]);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn options_that_are_not_known_are_refused_and_a_page_is_bounded() {
    let (bus, _served) = daemon();
    let call = |options: &[&str]| {
        let fixed = [
            "call",
            "org.gpuhost.Agent1",
            "/org/gpuhost/Agent1",
            "org.gpuhost.Agent1.Host",
            "ReadEvents",
            "ta{sv}",
            "0",
        ];
        busctl_as(&bus, 0, &[&fixed[..], options].concat())
    };
    let page = String::from_utf8(call(&["1", "limit", "t", "1"]).stdout).unwrap();
    assert!(page.contains("gpu.added") && !page.contains("gpu.xid") && page.contains("\\\"More\\\":true"), "{page}");
    for odd in [&["1", "limit", "t", "501"][..], &["1", "since", "s", "1h"], &["1", "color", "b", "true"]] {
        assert!(!call(odd).status.success(), "{odd:?}");
    }
}

#[test]
fn any_user_reads_events() {
    let (bus, _served) = daemon();
    let call = ["call", "org.gpuhost.Agent1", "/org/gpuhost/Agent1", "org.gpuhost.Agent1.Host", "ReadEvents", "ta{sv}"];
    let read = busctl_as(&bus, NOBODY, &[&call[..], &["0", "0"]].concat());
    let page = String::from_utf8_lossy(&read.stdout);
    assert!(read.status.success() && page.contains("gpu.added") && page.contains("gpu.xid"), "{read:?}");
}
