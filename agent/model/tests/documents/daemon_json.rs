//! `daemon.json` with any content and any layout: one piece goes in, nothing else changes, and out it comes again.
#![allow(clippy::disallowed_methods, reason = "the cases lie outside of the repository")]

use model::daemon_json::{Edited, Refused, RuntimeEntry, insert, is_emptied, remove, take_out};
use proptest::prelude::*;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::fmt;
use std::path::Path;

fn nvidia() -> RuntimeEntry {
    "nvidia=nvidia-container-runtime".parse().unwrap()
}

/// A JSON value that keeps repeated names and their order: a second reading, beside the product's.
#[derive(Debug, Clone, PartialEq)]
enum Kept {
    Object(Vec<(String, Kept)>),
    Other(String),
}

impl<'de> serde::Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Keep;
        impl<'de> Visitor<'de> for Keep {
            type Value = Kept;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kept, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Kept::Object(members))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Kept, A::Error> {
                let mut shown = String::new();
                while let Some(value) = list.next_element::<Kept>()? {
                    shown += &format!("{value:?},");
                }
                Ok(Kept::Other(format!("[{shown}]")))
            }

            fn visit_str<E>(self, text: &str) -> Result<Kept, E> {
                Ok(Kept::Other(format!("{text:?}")))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Kept, E> {
                Ok(Kept::Other(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Kept, E> {
                Ok(Kept::Other(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Kept, E> {
                Ok(Kept::Other(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Kept, E> {
                Ok(Kept::Other(value.to_string()))
            }

            fn visit_unit<E>(self) -> Result<Kept, E> {
                Ok(Kept::Other("null".to_owned()))
            }
        }
        from.deserialize_any(Keep)
    }
}

fn kept(text: &str) -> Vec<(String, Kept)> {
    match serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap_or_else(|e| panic!("{e}: {text}")) {
        Kept::Object(members) => members,
        Kept::Other(other) => panic!("no object: {other}"),
    }
}

/// The members of all objects named `runtimes`, and the file without the ones that name equals `without`.
fn runtimes(file: &[(String, Kept)]) -> Vec<(String, Kept)> {
    let named = file.iter().filter(|(name, _)| name == "runtimes");
    named
        .flat_map(|(_, value)| match value {
            Kept::Object(members) => members.clone(),
            Kept::Other(other) => panic!("runtimes is {other}"),
        })
        .collect()
}

/// All that must hold of one insertion; the new file.
fn holds(before: &[u8], after: &[u8]) {
    // One piece: what is common at both ends is the whole of the old file.
    let head = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let tail = before[head..].iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
    assert_eq!(head + tail, before.len(), "more than one piece differs");
    let text = |bytes| std::str::from_utf8(bytes).expect("it stays UTF-8");
    let bare = |bytes| text(bytes).replace("\r\n", "").contains('\n');
    if before.windows(2).any(|pair| pair == b"\r\n") && !bare(before) {
        assert!(!bare(after), "a bare LF came into a file of CRLF: {after:?}");
    }
    let (old, new) = (kept(text(before)), kept(text(after)));
    let entry = Kept::Object(vec![("path".to_owned(), Kept::Other("\"nvidia-container-runtime\"".to_owned()))]);
    let mut added = runtimes(&new);
    let at = added.iter().position(|member| *member == ("nvidia".to_owned(), entry.clone())).expect("it is there");
    added.remove(at);
    assert_eq!(added, runtimes(&old), "other runtimes changed");
    let others =
        |file: &[(String, Kept)]| file.iter().filter(|(name, _)| name != "runtimes").cloned().collect::<Vec<_>>();
    assert_eq!(others(&new), others(&old), "something else changed");
    match insert(Some(after), &nvidia(), true) {
        Ok(Edited::Unchanged) => {}
        other => panic!("a second insertion: {other:?}"),
    }
    match remove(Some(after), &nvidia().name) {
        Ok(Edited::Content(again)) => assert_eq!(text(&again), text(before), "it does not come out as it went in"),
        other => panic!("taking it out: {other:?}"),
    }
}

/// Taking it out of a Docker that runs: each write is a file without the entry that Docker starts on, the first one has an object
/// `runtimes`, and the last one is what was there before.
fn comes_out_in_steps(before: &[u8], after: &[u8]) {
    let name = nvidia().name;
    let Ok(Edited::Content(first)) = take_out(Some(after), &name) else { panic!("it does not come out") };
    let named = |bytes: &[u8]| kept(std::str::from_utf8(bytes).unwrap()).iter().any(|(name, _)| name == "runtimes");
    assert!(named(&first), "a reload would not forget it: {:?}", String::from_utf8_lossy(&first));
    assert_eq!(remove(Some(&first), &name), Ok(Edited::Unchanged));
    if named(before) {
        assert_eq!(String::from_utf8_lossy(&first), String::from_utf8_lossy(before));
    } else {
        assert!(is_emptied(&first, &name) && !is_emptied(after, &name) && !is_emptied(before, &name));
        assert_eq!(take_out(Some(&first), &name), Ok(Edited::Content(before.to_vec())));
        // Wanted again in the middle of it, and given up again.
        let Ok(Edited::Content(again)) = insert(Some(&first), &nvidia(), true) else {
            panic!("it does not go in again")
        };
        assert_eq!(take_out(Some(&again), &name), Ok(Edited::Content(first)));
    }
}

/// White space, a few blanks at most.
fn space() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "", "", " ", "  ", "\n", "\n  ", "\n\t", "\r\n", "\r\n    ", "\t", "\r", "\n\n \n "])
        .prop_map(str::to_owned)
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z<>&/: -]{0,12}",
        prop::sample::select(vec![
            "\\u003c\\\"\\\\",
            "\\ud800",
            "é漢\u{202e}",
            "\\n\\/",
            "{\\\"runtimes\\\"",
            "runtimes",
            "//",
            "]}"
        ])
        .prop_map(str::to_owned),
    ]
    .prop_map(|inner| format!("\"{inner}\""))
}

/// Any value, laid out in any way.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        string(),
        prop::sample::select(vec![
            "true",
            "false",
            "null",
            "0",
            "-0",
            "12345678901234567890123",
            "1E+2",
            "0.10",
            "-1.5e-3"
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec((space(), inner.clone(), space()), 0..4).prop_map(|items| {
                let items: Vec<String> = items.into_iter().map(|(a, v, b)| format!("{a}{v}{b}")).collect();
                format!("[{}]", items.join(","))
            }),
            object(string(), inner, 0..4),
        ]
    })
}

fn object(
    names: impl Strategy<Value = String>,
    values: impl Strategy<Value = String>,
    size: std::ops::Range<usize>,
) -> impl Strategy<Value = String> {
    let member = (space(), names, space(), space(), values, space());
    (prop::collection::vec(member, size), space()).prop_map(|(members, inner)| {
        let shown: Vec<String> =
            members.into_iter().map(|(a, name, b, c, value, d)| format!("{a}{name}{b}:{c}{value}{d}")).collect();
        if shown.is_empty() { format!("{{{inner}}}") } else { format!("{{{}}}", shown.join(",")) }
    })
}

/// A whole file: some members of any kind, and none, one or two objects named `runtimes`.
fn file() -> impl Strategy<Value = String> {
    let other_name = string().prop_filter("runtimes is made apart", |name| name != "\"runtimes\"");
    let plain = (other_name, value());
    let named = prop::sample::select(vec!["\"runtimes\"", "\"runt\\u0069mes\""]).prop_map(str::to_owned);
    let names =
        prop::sample::select(vec!["\"a\"", "\"Nvidia\"", "\"nvidia-cdi\"", "\"\\ud800\""]).prop_map(str::to_owned);
    let ours = (named, object(names, value(), 0..3));
    let member = prop_oneof![3 => plain, 1 => ours];
    let members = prop::collection::vec((space(), member, space(), space(), space()), 0..6);
    (any::<bool>(), space(), members, space(), space()).prop_map(|(mark, lead, members, inner, end)| {
        let shown: Vec<String> =
            members.into_iter().map(|(a, (name, value), b, c, d)| format!("{a}{name}{b}:{c}{value}{d}")).collect();
        let body = if shown.is_empty() { inner } else { shown.join(",") };
        format!("{}{lead}{{{body}}}{end}", if mark { "\u{feff}" } else { "" })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]
    #[test]
    fn any_file_in_any_layout_gets_one_piece_and_loses_it_again(before in file()) {
        match insert(Some(before.as_bytes()), &nvidia(), true) {
            // Half of a surrogate pair is text to no reader: neither to the second one here.
            Ok(Edited::Content(after)) if before.contains("\\ud800") => {
                let again = remove(Some(&after), &nvidia().name);
                prop_assert_eq!(again, Ok(Edited::Content(before.into_bytes())));
            }
            Ok(Edited::Content(after)) => {
                holds(before.as_bytes(), &after);
                comes_out_in_steps(before.as_bytes(), &after);
            }
            other => prop_assert!(false, "{before}: {other:?}"),
        }
    }
}

/// A generator of numbers that needs no crate: the same ones in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % limit
    }
}

const PIECES: [&[u8]; 24] = [
    b"\"runtimes\": {",
    b"\"nvidia\": {\"path\": \"x\"},",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"// x\n",
    b"/* */",
    b"\r\n",
    b"\n",
    b"\t",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\0",
    b"null",
    b"1e999",
    b"\\u0000",
    b"\"runtimes\": null",
    b"{}",
    b" ",
];

fn mutated(dice: &mut Dice, seed: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=dice.below(3).saturating_sub(1) {
        let at = dice.below(bytes.len() + 1);
        // White space and letters often: most other damage makes it invalid.
        let piece = match dice.below(3) {
            0 => PIECES[dice.below(PIECES.len())],
            1 => [b" ".as_slice(), b"\n", b"\r\n\t", b"   "][dice.below(4)],
            _ => [b"x".as_slice(), b"1", b"nvidia", b"\\u006e"][dice.below(4)],
        };
        match dice.below(7).min(3) {
            0 => drop(bytes.splice(at..at, piece.iter().copied())),
            1 => drop(bytes.splice(at..(at + 1 + dice.below(4)).min(bytes.len()).max(at), piece.iter().copied())),
            2 if dice.below(2) == 0 => bytes.truncate(at),
            2 => drop(bytes.drain(at..(at + 1 + dice.below(8)).min(bytes.len()).max(at))),
            _ => drop(bytes.splice(at..at, piece.iter().copied())),
        }
    }
    bytes
}

#[test]
fn a_hundred_thousand_damaged_files_are_right_or_refused_with_a_place() {
    let seeds: [&[u8]; 6] = [
        b"{\n    \"log-driver\": \"journald\",\n    \"runtimes\": {\n        \"kata\": {\"path\": \"/opt/kata\"}\n    }\n}\n",
        b"{\r\n\t\"debug\": true,\r\n\t\"default-ulimits\": {\"memlock\": {\"Soft\": 9007199254740993}}\r\n}",
        b"\xef\xbb\xbf{\"debug\":true,\"debug\":false,\"runtimes\":{}}",
        b"{\"runtimes\": {\"a\": {}}, \"runtimes\": {\"nvidia\": {\"path\": \"nvidia-container-runtime\", \"args\": []}}}",
        b"{\"runtimes\": {\"nvidia\": { \"path\": \"nvidia-container-runtime\" }},\"labels\": [\"a=<&>\"]}\n",
        b"{}",
    ];
    let (mut dice, mut changed, mut equal, mut refused) = (Dice(0x9e37_79b9_7f4a_7c15), 0, 0, 0);
    for number in 0..100_000 {
        let bytes = mutated(&mut dice, seeds[number % seeds.len()]);
        match insert(Some(&bytes), &nvidia(), true) {
            Ok(Edited::Content(after)) => {
                changed += 1;
                assert!(after.len() > bytes.len());
                let Ok(Edited::Content(again)) = remove(Some(&after), &nvidia().name) else {
                    panic!("it does not come out: {:?}", String::from_utf8_lossy(&bytes))
                };
                assert_eq!(again, bytes, "it does not come out as it went in");
                if serde_json::from_slice::<Kept>(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes)).is_ok() {
                    holds(&bytes, &after);
                    comes_out_in_steps(&bytes, &after);
                }
            }
            Ok(Edited::Unchanged) => equal += 1,
            Ok(Edited::NoFile) => panic!("an insertion takes no file away"),
            Err(Refused::EmptyFile { .. }) => refused += 1,
            Err(refusal) => {
                refused += 1;
                let lines = bytes.split(|byte| *byte == b'\n').count();
                let said = refusal.to_string();
                let line: usize =
                    said.strip_prefix("line ").and_then(|s| s.split_once(',')).unwrap().0.parse().unwrap();
                assert!((1..=lines).contains(&line), "{said}");
            }
        }
        // Whatever the file: taking out what is not there, or not ours, loses nothing.
        if let Ok(Edited::Content(out)) = remove(Some(&bytes), &nvidia().name) {
            assert!(out.len() < bytes.len());
        }
    }
    println!("{changed} changed, {equal} right already, {refused} refused");
    assert!(changed > 10_000 && equal > 1_000 && refused > 10_000, "{changed} {equal} {refused}");
}

/// What a case of the handed set accepts.
#[derive(serde::Deserialize)]
struct Case {
    accept: Vec<String>,
    #[serde(default)]
    codes: Vec<String>,
    #[serde(default)]
    setup: std::collections::BTreeMap<String, serde_json::Value>,
}

#[test]
fn the_collected_files_come_out_as_they_should() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/docker_cases/daemon-json");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("SKIPPED: {} is absent, so no collected file was read", folder.display());
        return;
    };
    let mut cases = 0;
    for entry in entries {
        let path = entry.unwrap().path();
        let Some(stem) = path.to_str().and_then(|name| name.strip_suffix(".meta.json")) else { continue };
        let case: Case = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        // A path without a file, or with something else than a file, is the adapter's.
        if case.setup.contains_key("fifo") || case.setup.contains_key("dangling") {
            continue;
        }
        cases += 1;
        let before = std::fs::read(format!("{stem}.before")).unwrap();
        let before = (!case.setup.contains_key("absent")).then_some(before.as_slice());
        let accepts = |what: &str| case.accept.iter().any(|one| one == what);
        match insert(before, &nvidia(), true) {
            Ok(Edited::Content(after)) if before.is_some() => {
                assert!(accepts("insert"), "{stem}: it was changed");
                holds(before.unwrap(), &after);
            }
            Ok(Edited::Content(after)) => {
                assert!(accepts("create"), "{stem}");
                assert_eq!(remove(Some(&after), &nvidia().name), Ok(Edited::NoFile));
            }
            Ok(Edited::Unchanged) => assert!(accepts("unchanged"), "{stem}: it was left as it is"),
            Ok(Edited::NoFile) => panic!("{stem}"),
            Err(refusal) => {
                let known = case.codes.iter().any(|code| code == refusal.code());
                assert!(accepts("refuse") && known, "{stem}: {} {refusal}", refusal.code());
            }
        }
    }
    println!("{cases} collected files");
    assert!(cases > 25, "only {cases} collected files were found");
}
