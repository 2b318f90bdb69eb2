//! Which manager is asked: zone, priority, order, the one that failed, the one that works; and what becomes of a list that a
//! reply names.

use crate::world::{UP, WALL, at, config, down, hosts_of, places, run};
use model::checkin::manager::shown;
use model::checkin::managers::{MANAGERS_MAX, RESORTS_MAX};
use model::checkin::{Answer, CheckinAction, CheckinConfig, CheckinMachine, KnownManagers, ManagerAddress, Reply};
use model::time::BootMillis;

fn placed(host: &str, zone: Option<&str>, priority: Option<i64>) -> ManagerAddress {
    ManagerAddress { zone: zone.map(str::to_owned), priority, ..ManagerAddress::new(host, 443) }
}

/// A machine whose first heartbeat is due at once.
fn knowing(known: KnownManagers) -> CheckinMachine {
    in_zone(None, known)
}

fn in_zone(zone: Option<&str>, managers: KnownManagers) -> CheckinMachine {
    CheckinMachine::new(CheckinConfig { zone: zone.map(str::to_owned), managers, ..config("k", &[]) }, UP, WALL)
        .at_once(UP)
}

fn listing(hosts: &[&str]) -> CheckinMachine {
    knowing(KnownManagers { listed: places(hosts), ..KnownManagers::default() })
}

fn names(list: &[ManagerAddress]) -> Vec<&str> {
    list.iter().map(|manager| manager.host.as_str()).collect()
}

/// The host of each request, where those that are up accept and name the managers that `name` gives for them.
fn hosts(
    m: &mut CheckinMachine,
    from: BootMillis,
    ms: u64,
    up: &[&str],
    name: impl Fn(&str) -> Vec<ManagerAddress>,
) -> Vec<String> {
    let answer = |_: BootMillis, what: &CheckinAction| match what {
        CheckinAction::Beat(b) if up.contains(&b.manager.host.as_str()) => {
            Answer::Accepted(Reply { managers: name(&b.manager.host), ..Reply::default() })
        }
        CheckinAction::Beat(_) | CheckinAction::Enrol(..) | CheckinAction::Wait(_) => down(),
    };
    let sent = run(m, from, from.plus(ms), 1, answer);
    hosts_of(&sent).into_iter().map(str::to_owned).collect()
}

fn nothing(_: &str) -> Vec<ManagerAddress> {
    Vec::new()
}

#[test]
fn same_zone_first_then_priority_then_order() {
    let listed = vec![
        placed("far-1", Some("z2"), Some(1)),
        placed("near-none", Some("z1"), None),
        placed("near-2", Some("z1"), Some(2)),
        placed("near-1b", Some("z1"), Some(1)),
        placed("near-1c", Some("z1"), Some(1)),
        placed("anywhere", None, Some(0)),
    ];
    let mut m = in_zone(Some("z1"), KnownManagers { listed, ..KnownManagers::default() });
    let tried = hosts(&mut m, UP, 20, &[], nothing);
    assert_eq!(tried, ["near-1b", "near-1c", "near-2", "near-none", "anywhere", "far-1"]);
}

#[test]
fn t11_the_next_manager_at_once_and_then_it_is_kept() {
    let mut m = listing(&["a", "b", "c"]);
    let tried = hosts(&mut m, UP, 90_000, &["b", "c"], nothing);
    assert_eq!(tried[..2], ["a", "b"]);
    assert!(tried[2..].iter().all(|h| h == "b"), "{tried:?}");
    let later = hosts(&mut m, UP.plus(90_000), 300_000, &["a", "b", "c"], nothing);
    assert!(later.iter().all(|h| h == "b"), "not sticky: {later:?}");
}

#[test]
fn one_that_failed_stands_behind_the_others_for_a_minute() {
    let mut m = listing(&["a", "b", "c"]);
    assert_eq!(hosts(&mut m, UP, 10, &["b"], nothing), ["a", "b"]);
    let soon = hosts(&mut m, UP.plus(10), 31_000, &[], nothing);
    assert_eq!(soon[..3], ["b", "c", "a"], "a failed half a minute ago");

    let mut m = listing(&["a", "b", "c"]);
    let _ = hosts(&mut m, UP, 70_000, &["b"], nothing);
    let later = hosts(&mut m, UP.plus(70_000), 31_000, &[], nothing);
    assert_eq!(later[..3], ["b", "a", "c"], "a failed more than a minute ago");
}

#[test]
fn t11_a_list_with_the_manager_in_use_counts_at_once_and_keeps_it_in_use() {
    let mut m = listing(&["a"]);
    let news = vec![placed("b", None, Some(1)), placed("a", None, Some(2)), placed("b", None, Some(3))];
    let _ = hosts(&mut m, UP, 40_000, &["a"], |_| news.clone());
    assert_eq!(names(&m.managers().addresses()), ["b", "a"]);
    assert_eq!(m.managers().listed(), news);
    assert_eq!(m.manager().unwrap().host, "a");
    assert_eq!(hosts(&mut m, UP.plus(40_000), 31_000, &["b"], nothing)[..2], ["a", "b"]);
}

#[test]
fn a_list_that_the_manager_in_use_is_not_on_is_tried_and_counts_only_after_one_of_it_accepted_a_heartbeat() {
    let mut m = listing(&["a"]);
    let name_b = |host: &str| if host == "a" { places(&["b"]) } else { Vec::new() };
    let sent = hosts(&mut m, UP, 100_000, &["a"], name_b);
    assert_eq!((names(m.managers().listed()), names(m.managers().offered())), (vec!["a"], vec!["b"]));
    assert_eq!(sent[..3], ["a", "b", "a"], "the way back is not at once");
    assert!(sent[3..].iter().all(|host| host == "a"), "it goes on leaving what works: {sent:?}");

    let mut m = listing(&["a"]);
    let sent = hosts(&mut m, UP, 100_000, &["a", "b"], name_b);
    assert!(sent[1..].iter().all(|host| host == "b"), "it does not move: {sent:?}");
    assert_eq!((names(m.managers().listed()), m.managers().offered()), (vec!["b"], &[][..]));
}

#[test]
fn a_last_resort_that_names_the_list_which_has_just_failed_is_not_left_for_it() {
    let known = KnownManagers { listed: places(&["b"]), enrolled_with: places(&["a"]), ..KnownManagers::default() };
    let mut m = knowing(known);
    let sent = hosts(&mut m, UP, 1_800_000, &["a"], |_| places(&["b"]));
    assert_eq!(sent.iter().filter(|host| *host == "b").count(), 1, "{sent:?}");
    assert_eq!(names(m.managers().listed()), ["b"]);
    assert_eq!(hosts(&mut m, UP.plus(1_800_000), 31_000, &["b"], nothing).last().unwrap(), "b");
}

/// One wrong list in one reply, also one that a wrong manager accepts for a while, also over a restart.
#[test]
fn a_wrong_list_never_loses_a_host() {
    let enrolled_with = places(&["home"]);
    let wrong = [places(&["169.254.169.254"]), places(&["x", "y", "z"]), places(&["0.0.0.0", "home2"])];
    for list in wrong {
        let known = KnownManagers {
            listed: places(&["home"]),
            enrolled_with: enrolled_with.clone(),
            ..KnownManagers::default()
        };
        let mut m = knowing(known);
        let _ = hosts(&mut m, UP, 10, &["home"], |_| list.clone());
        let after = hosts(&mut m, UP.plus(10), 600_000, &["home"], nothing);
        assert!(after.iter().filter(|host| *host == "home").count() >= 19, "{after:?}");
        let kept = KnownManagers {
            listed: m.managers().listed().to_vec(),
            offered: m.managers().offered().to_vec(),
            enrolled_with: enrolled_with.clone(),
            last_accepted: m.managers().last_accepted().cloned(),
            ..KnownManagers::default()
        };
        let again = hosts(&mut knowing(kept), UP, 60_000, &["home"], nothing);
        assert!(again.iter().all(|host| host == "home"), "{again:?}");
        // Even where the wrong list counted for a while.
        let lost =
            KnownManagers { listed: list.clone(), enrolled_with: enrolled_with.clone(), ..KnownManagers::default() };
        let back = hosts(&mut knowing(lost), UP, 60_000, &["home"], nothing);
        assert!(back.iter().any(|host| host == "home"), "{back:?}");
    }
}

#[test]
fn the_manager_that_accepted_last_is_asked_where_all_others_fail() {
    let known = KnownManagers {
        listed: places(&["a"]),
        last_accepted: Some(ManagerAddress::new("b", 443)),
        ..KnownManagers::default()
    };
    assert_eq!(hosts(&mut knowing(known.clone()), UP, 10, &["b"], nothing), ["a", "b"]);
    // Also where it then names a wrong list, and the host starts anew before it has come back to it.
    let mut m = knowing(known);
    let _ = hosts(&mut m, UP, 10, &["b"], |_| places(&["x"]));
    let managers = m.managers();
    assert_eq!((names(managers.listed()), names(managers.offered())), (vec!["a"], vec!["x"]));
    let kept = KnownManagers {
        listed: managers.listed().to_vec(),
        offered: managers.offered().to_vec(),
        last_accepted: managers.last_accepted().cloned(),
        ..KnownManagers::default()
    };
    assert_eq!(hosts(&mut knowing(kept), UP, 10, &["b"], nothing), ["a", "b"]);
}

#[test]
fn a_list_on_trial_from_before_a_restart_is_asked_behind_the_one_that_counts_and_counts_once_it_works() {
    let known = KnownManagers { listed: places(&["a"]), offered: places(&["b", "c"]), ..KnownManagers::default() };
    let mut m = knowing(known.clone());
    assert_eq!(hosts(&mut m, UP, 10, &["c"], nothing), ["a", "b", "c"]);
    assert_eq!(names(m.managers().listed()), ["b", "c"]);
    assert_eq!(hosts(&mut knowing(known), UP, 40_000, &["a", "b", "c"], nothing), ["a", "a", "a"][..2]);
}

#[test]
fn lists_that_change_with_every_reply_do_not_make_every_heartbeat_late() {
    let turn = std::cell::Cell::new(0);
    let another = |host: &str| {
        turn.set(turn.get() + 1);
        let list = [format!("x{}", turn.get()), "y".to_owned()].map(|name| ManagerAddress::new(&name, 443));
        if host == "a" { list.to_vec() } else { Vec::new() }
    };
    let mut m = listing(&["a"]);
    let sent = hosts(&mut m, UP, 3_600_000, &["a"], another);
    let elsewhere = sent.iter().filter(|host| *host != "a").count();
    assert!((1..=14).contains(&elsewhere), "{elsewhere} requests to managers that are not there in an hour");

    let shuffled = |_: &str| {
        turn.set(turn.get() + 1);
        if turn.get() % 2 == 0 { places(&["x", "y"]) } else { places(&["y", "x"]) }
    };
    let sent = hosts(&mut listing(&["a"]), UP, 3_600_000, &["a"], shuffled);
    assert!(sent.iter().filter(|host| *host != "a").count() <= 2, "the same list in another order is no news");
}

#[test]
fn a_configured_manager_stays_in_use_although_replies_name_others_that_cannot_be_reached() {
    let mut m = knowing(KnownManagers { configured: places(&["configured"]), ..KnownManagers::default() });
    let inside = |_: &str| vec![placed("inside", None, Some(1))];
    let sent = hosts(&mut m, UP, 600_000, &["configured"], inside);
    assert!(sent.len() >= 20 && sent.iter().all(|host| host == "configured"), "not sticky");
    assert_eq!(names(&m.managers().addresses()), ["inside", "configured"]);
    let sent = hosts(&mut m, UP.plus(600_000), 30_000, &["inside"], nothing);
    assert_eq!(sent, ["configured", "inside"]);
}

#[test]
fn a_list_without_end_is_cut_and_leaves_room_for_the_last_resorts() {
    let many: Vec<_> = (0..1000).map(|n| placed(&format!("m{n}"), None, None)).collect();
    let known = KnownManagers {
        listed: many.clone(),
        enrolled_with: places(&["home"]),
        configured: many,
        ..KnownManagers::default()
    };
    let m = knowing(known);
    let all = m.managers().addresses();
    assert!(all.len() <= MANAGERS_MAX && all.len() >= MANAGERS_MAX - RESORTS_MAX, "{}", all.len());
    assert!(all.iter().any(|manager| manager.host == "home"));
}

#[test]
fn without_a_manager_it_waits_for_one() {
    let mut m = listing(&[]);
    assert_eq!(m.next(at(UP), "r"), CheckinAction::Wait(None));
}

#[test]
fn the_same_place_is_asked_once_a_round_whatever_its_case() {
    let known = KnownManagers {
        listed: places(&["A.example"]),
        configured: places(&["a.EXAMPLE"]),
        ..KnownManagers::default()
    };
    assert_eq!(hosts(&mut knowing(known), UP, 10, &[], nothing), ["A.example"]);
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
