//! Which manager is asked: zone, priority, order, the one that failed, the one that works.

use crate::world::{UP, WALL, accepted, config, down, run};
use model::checkin::manager::shown;
use model::checkin::{Action, Answer, Config, Machine, ManagerAddress, Reply};
use model::time::BootMillis;

fn placed(host: &str, zone: Option<&str>, priority: Option<i64>) -> ManagerAddress {
    ManagerAddress { zone: zone.map(str::to_owned), priority, ..ManagerAddress::new(host, 443) }
}

fn hosts(machine: &mut Machine, from: BootMillis, ms: u64, up: &[&str]) -> Vec<String> {
    let answer = |_: BootMillis, what: &Action| match what {
        Action::Beat(b) if up.contains(&b.manager.host.as_str()) => accepted(),
        Action::Beat(_) | Action::Enrol(_) | Action::Wait(_) => down(),
    };
    run(machine, from, from.plus(ms), 1, answer).into_iter().map(|s| s.beat().manager.host.clone()).collect()
}

#[test]
fn same_zone_first_then_priority_then_order() {
    let managers = vec![
        placed("far-1", Some("z2"), Some(1)),
        placed("near-none", Some("z1"), None),
        placed("near-2", Some("z1"), Some(2)),
        placed("near-1b", Some("z1"), Some(1)),
        placed("near-1c", Some("z1"), Some(1)),
        placed("anywhere", None, Some(0)),
    ];
    let mut m = Machine::new(Config { zone: Some("z1".into()), managers, ..config("k", &[]) }, UP, WALL);
    assert_eq!(hosts(&mut m, UP, 20, &[]), ["near-1b", "near-1c", "near-2", "near-none", "anywhere", "far-1"]);
}

#[test]
fn t11_the_next_manager_at_once_and_then_it_is_kept() {
    let mut m = Machine::new(config("k", &["a", "b", "c"]), UP, WALL);
    let tried = hosts(&mut m, UP, 90_000, &["b", "c"]);
    assert_eq!(tried[..2], ["a", "b"]);
    assert!(tried[2..].iter().all(|h| h == "b"), "{tried:?}");
    let later = hosts(&mut m, UP.plus(90_000), 300_000, &["a", "b", "c"]);
    assert!(later.iter().all(|h| h == "b"), "not sticky: {later:?}");
}

#[test]
fn one_that_failed_stands_behind_the_others_for_a_minute() {
    let mut m = Machine::new(config("k", &["a", "b", "c"]), UP, WALL);
    assert_eq!(hosts(&mut m, UP, 10, &["b"]), ["a", "b"]);
    let soon = hosts(&mut m, UP.plus(10), 31_000, &[]);
    assert_eq!(soon[..3], ["b", "c", "a"], "a failed half a minute ago");

    let mut m = Machine::new(config("k", &["a", "b", "c"]), UP, WALL);
    let _ = hosts(&mut m, UP, 70_000, &["b"]);
    let later = hosts(&mut m, UP.plus(70_000), 31_000, &[]);
    assert_eq!(later[..3], ["b", "a", "c"], "a failed more than a minute ago");
}

#[test]
fn t11_the_list_of_the_reply_replaces_the_list_and_keeps_the_one_in_use() {
    let mut m = Machine::new(config("k", &["a"]), UP, WALL);
    let news = vec![placed("b", None, Some(1)), placed("a", None, Some(2)), placed("b", None, Some(3))];
    let _ = run(&mut m, UP, UP.plus(40_000), 1, |_, _| {
        Answer::Accepted(Reply { managers: news.clone(), ..Reply::default() })
    });
    assert_eq!(m.managers(), news[..2]);
    assert_eq!(m.manager().map(|a| a.host.as_str()), Some("a"));
    assert_eq!(hosts(&mut m, UP.plus(40_000), 31_000, &["b"])[..2], ["a", "b"]);
}

#[test]
fn a_configured_manager_stays_in_use_although_replies_name_others_that_cannot_be_reached() {
    let fallback = vec![placed("configured", None, None)];
    let mut m = Machine::new(Config { fallback, ..config("k", &[]) }, UP, WALL);
    let sent = run(&mut m, UP, UP.plus(600_000), 1, |_, what| match what {
        Action::Beat(b) if b.manager.host == "configured" => {
            Answer::Accepted(Reply { managers: vec![placed("inside", None, Some(1))], ..Reply::default() })
        }
        Action::Beat(_) | Action::Enrol(_) | Action::Wait(_) => down(),
    });
    assert!(sent.len() >= 20 && sent.iter().all(|s| s.beat().manager.host == "configured"), "not sticky");
    let hosts: Vec<_> = m.managers().into_iter().map(|a| a.host).collect();
    assert_eq!(hosts, ["inside", "configured"]);
}

#[test]
fn a_list_without_end_is_cut() {
    let many: Vec<_> = (0..1000).map(|n| placed(&format!("m{n}"), None, None)).collect();
    let m = Machine::new(Config { managers: many, ..config("k", &[]) }, UP, WALL);
    assert_eq!(m.managers().len(), 32);
}

#[test]
fn without_a_manager_it_waits_for_one() {
    let mut m = Machine::new(config("k", &[]), UP, WALL);
    assert_eq!(m.next(UP, "r"), Action::Wait(None));
}

#[test]
fn urls_are_https_only_and_plain() {
    let text = |url: &str| url.parse::<ManagerAddress>().map(|a| a.base_url());
    assert_eq!(text("https://m.example").unwrap(), "https://m.example:443");
    assert_eq!(text("https://10.0.0.1:8443/").unwrap(), "https://10.0.0.1:8443");
    assert_eq!(text("https://[2001:db8::1]:8443").unwrap(), "https://[2001:db8::1]:8443");
    assert_eq!(text("https://[2001:db8::1]").unwrap(), "https://[2001:db8::1]:443");
    for bad in [
        "http://m.example",
        "m.example",
        "https://",
        "https://user@m",
        "https://m/path",
        "https://m:0",
        "https://m:99999",
        "https://m?x",
        "https://m#x",
        "https://m\n",
        "https://[::1",
        "https://a b",
        "https://m:44 3",
        "ftp://m",
    ] {
        let refused = text(bad);
        assert!(refused.is_err() || bad.ends_with('\n'), "{bad:?} gave {refused:?}");
    }
    assert_eq!(text("HTTPS://m.example").unwrap(), "https://m.example:443", "a scheme has no case");
    let fault = text("http://m.example").unwrap_err().to_string();
    assert!(fault.contains("http://m.example") && fault.contains("https://HOST"), "{fault}");
}

#[test]
fn an_address_is_repeated_without_what_could_be_a_secret() {
    for (given, expected) in [
        ("https://joe:hunter2@manager.example", "https://[redacted]@manager.example"),
        ("https://hunter2@m:8443/", "https://[redacted]@m:8443/"),
        ("https://joe:hun/ter2@m", "https://[redacted]@m"),
        ("https://joe:hun@ter2@m", "https://[redacted]@m"),
        ("https://joe:hun?ter2@m", "https://[redacted]@m"),
        ("https://joe:hunter2%40m", "https://[redacted]@m"),
        ("joe:hunter2@m//x", "[redacted]@m//x"),
        ("joe:hunt//er2@m", "[redacted]@m"),
        ("joe:hunt://er2@m", "[redacted]@m"),
        ("https:/joe:hunter2@m", "[redacted]@m"),
        ("https://m.example?token=hunter2", "https://m.example?[redacted]"),
        ("https://m.example#hunter2", "https://m.example?[redacted]"),
        ("https://m.example/x", "https://m.example/x"),
        ("m\u{1b}[2J\n", "m[2J"),
    ] {
        assert_eq!(shown(given), expected, "{given}");
        if given.contains("hunter2") {
            let fault = given.parse::<ManagerAddress>().unwrap_err().to_string();
            assert!(!fault.contains("hunter2"), "{fault}");
        }
    }
    assert_eq!(shown(&"é".repeat(1000)).chars().count(), 128);
}
