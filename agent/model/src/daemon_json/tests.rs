//! Single files in and out; the properties over all files are in `tests/documents/daemon_json.rs`.

use super::*;

fn nvidia() -> RuntimeEntry {
    "nvidia=nvidia-container-runtime".parse().unwrap()
}

fn added(before: &str) -> String {
    match insert(Some(before.as_bytes()), &nvidia(), true).unwrap_or_else(|refused| panic!("{before}: {refused}")) {
        Edited::Content(bytes) => String::from_utf8(bytes).unwrap(),
        other @ (Edited::Unchanged | Edited::NoFile) => panic!("{before}: {other:?}"),
    }
}

fn refused(before: &[u8]) -> Refused {
    insert(Some(before), &nvidia(), true).expect_err("it is taken")
}

#[test]
fn the_piece_is_laid_out_as_its_neighbours() {
    const OURS: &str = "\"runtimes\": {\"nvidia\": { \"path\": \"nvidia-container-runtime\" }}";
    const ENTRY: &str = "\"nvidia\": {\"path\": \"nvidia-container-runtime\"}";
    for (before, after) in [
        ("{}", format!("{{{OURS}}}")),
        ("{\n}\n", format!("{{\n    {OURS}\n}}\n")),
        ("{\"debug\":true}", format!("{{{OURS},\"debug\":true}}")),
        ("{\n\t\"debug\": true\n}\n", format!("{{\n\t{OURS},\n\t\"debug\": true\n}}\n")),
        ("{\r\n  \"a\": 1\r\n}", format!("{{\r\n  {OURS},\r\n  \"a\": 1\r\n}}")),
        ("{\n\n\n  \"a\": 1}", format!("{{\n  {OURS},\n\n\n  \"a\": 1}}")),
        ("{\"runtimes\": {   }}", format!("{{\"runtimes\": {{{ENTRY}   }}}}")),
        ("{\n  \"runtimes\": {\n  }\n}", format!("{{\n  \"runtimes\": {{\n    {ENTRY}\n  }}\n}}")),
        ("{\r\n\t\"runtimes\": {\r\n\t}\r\n}", format!("{{\r\n\t\"runtimes\": {{\r\n\t\t{ENTRY}\r\n\t}}\r\n}}")),
        ("{\"runtimes\": {\"a\": {}}}", format!("{{\"runtimes\": {{{ENTRY},\"a\": {{}}}}}}")),
        ("\u{feff}{}", format!("\u{feff}{{{OURS}}}")),
    ] {
        assert_eq!(added(before), after, "{before:?}");
        let out = remove(Some(after.as_bytes()), &nvidia().name).unwrap();
        assert_eq!(out, Edited::Content(before.as_bytes().to_vec()), "{after:?}");
    }
}

#[test]
fn a_file_that_was_not_there_goes_again() {
    let Edited::Content(bytes) = insert(None, &nvidia(), false).unwrap() else { panic!("no file was made") };
    let text = std::str::from_utf8(&bytes).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(text).unwrap()["runtimes"]["nvidia"]["path"], nvidia().path());
    assert_eq!(remove(Some(&bytes), &nvidia().name).unwrap(), Edited::NoFile);
    assert_eq!(remove(None, &nvidia().name).unwrap(), Edited::Unchanged);
    let Edited::Content(emptied) = take_out(Some(&bytes), &nvidia().name).unwrap() else {
        panic!("one write removes it")
    };
    assert_eq!(std::str::from_utf8(&emptied).unwrap(), "{\n    \"runtimes\": {   }\n}\n");
    assert_eq!(take_out(Some(&emptied), &nvidia().name).unwrap(), Edited::NoFile);
    assert_eq!(take_out(None, &nvidia().name).unwrap(), Edited::Unchanged);
    // No file that was there becomes this one: each keeps its own bytes.
    for before in ["{\n    \"runtimes\": {\n    }\n}\n", "{\n}\n", "{}"] {
        assert_ne!(added(before).as_bytes(), bytes, "{before:?}");
    }
}

#[test]
fn an_equal_entry_is_left_and_another_is_refused() {
    for right in [
        "{\"runtimes\": {\"nvidia\": {\"path\": \"nvidia-container-runtime\"}}}",
        "{\"runtimes\": {\"nvidia\": {\"args\": [ ], \"path\": \"nvidia-container-\\u0072untime\"}}}",
        "{\"runtimes\": {\"nvidia\": {\"path\": \"nvidia-container-runtime\", \"runtimeArgs\": null}}}",
        "{\"runt\\u0069mes\": {\"nvidia\": {\"path\": \"nvidia-container-runtime\"}}}",
    ] {
        assert_eq!(insert(Some(right.as_bytes()), &nvidia(), true).unwrap(), Edited::Unchanged, "{right}");
    }
    for (other, why) in [
        ("{\"nvidia\": {\"path\": \"/usr/bin/nvidia-container-runtime\"}}", "its path"),
        ("{\"nvidia\": {\"path\": \"nvidia-container-runtime\", \"runtimeArgs\": [\"-d\"]}}", "runtimeArgs"),
        ("{\"nvidia\": {\"path\": \"nvidia-container-runtime\", \"path\": \"x\"}}", "two paths"),
        ("{\"nvidia\": {\"Path\": \"nvidia-container-runtime\"}}", "Path"),
        ("{\"nvidia\": {}}", "no path"),
        ("{\"nvidia\": {\"path\": 5}}", "no path"),
        ("{\"nv\\u0069dia\": {\"path\": \"nvidia-container-runtime\"}}", "escape"),
        ("{\"nvidia\": {\"path\": \"nvidia-container-runtime\"}, \"nvidia\": {\"path\": \"x\"}}", "its path"),
    ] {
        let text = format!("{{\"runtimes\": {other}}}");
        let said = refused(text.as_bytes());
        assert!(said.code() == "runtime_exists" && said.to_string().contains(why), "{text}: {said}");
        assert!(said.to_string().starts_with("line 1, column "), "{said}");
    }
}

#[test]
fn what_docker_does_not_start_on_is_refused_with_its_place() {
    let deep = [b"{\"a\": ".to_vec(), vec![b'['; 100_000]].concat();
    let large = [b"{\"a\": \"".to_vec(), vec![b'x'; MOST_BYTES], b"\"}".to_vec()].concat();
    let cases: [(&[u8], &str, &str); 16] = [
        (b"", "empty_file", "20.10"),
        (b" \r\n\t", "empty_file", "blank"),
        (b"\xef\xbb\xbf \n", "empty_file", "blank"),
        (b"{\n// x\n}", "invalid_json", "line 2, column 1: a comment"),
        (b"{\"a\": 1,\n}", "invalid_json", "line 2, column 1: nothing follows the comma"),
        (b"{} {}", "invalid_json", "line 1, column 4"),
        (b"{\"a\": 1", "invalid_json", "line 1, column 7: EOF"),
        (b"{\"a\": \"\x01\"}", "invalid_json", "control character"),
        (b"\xff\xfe{\0}\0", "encoding", "UTF-16"),
        (b"{\n\"a\": \"\xe9\"}", "encoding", "line 2, column 7"),
        (b"[]", "wrong_type", "the file is an array"),
        (b"null", "wrong_type", "the file is null"),
        (b"{\"runtimes\": []}", "wrong_type", "runtimes is an array"),
        (b"{\"runtimes\": {}, \"runtimes\": null}", "wrong_type", "runtimes is null"),
        (b"{\"runtimes\": {\"nvidia\": \"x\"}}", "wrong_type", "runtimes.nvidia is a string"),
        (b"<html>", "invalid_json", "line 1, column 1"),
    ];
    let bombs = [(deep.as_slice(), "too_deep", "line 1, column 70"), (large.as_slice(), "too_large", "4194304")];
    for (bytes, code, words) in cases.into_iter().chain(bombs) {
        let said = refused(bytes);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        assert_eq!(said.code(), code, "{shown:?}: {said}");
        assert!(said.to_string().contains(words), "{shown:?}: {said}");
        assert!(Refused::CODES.contains(&said.code()));
        assert_eq!(serde_json::to_value(&said).unwrap()["code"], code);
        if code != "runtime_exists" {
            assert!(remove(Some(bytes), &nvidia().name).is_err(), "{shown:?}");
        }
    }
}

#[test]
fn a_byte_order_mark_stays_where_the_engine_reads_it() {
    let file = "\u{feff}{\"debug\": true}\n".as_bytes();
    assert_eq!(insert(Some(file), &nvidia(), false), Err(Refused::Bom));
    assert!(added("\u{feff}{\"debug\": true}\n").starts_with("\u{feff}{\"runtimes\""));
    for (version, reads) in [("20.10.24", false), ("20.10.24+dfsg1", false), ("23.0.0", true), ("26.1.5", true)] {
        assert_eq!(reads_byte_order_mark(version), reads, "{version}");
    }
}

#[test]
fn a_file_that_somebody_laid_out_anew_loses_the_entry_alone() {
    for (now, after) in [
        (
            "{\"runtimes\": {\"a\": {\"path\": \"/a\"}, \"nvidia\": {\"path\": \"x\"}}}",
            "{\"runtimes\": {\"a\": {\"path\": \"/a\"}}}",
        ),
        (
            "{\"runtimes\": {\n  \"nvidia\": {\n    \"args\": [],\n    \"path\": \"x\"\n  },\n  \"b\": {}\n}}",
            "{\"runtimes\": {\n  \"b\": {}\n}}",
        ),
        ("{\"runtimes\": {\"nvidia\": {\"args\": [], \"path\": \"/a b\"}}}", "{\"runtimes\": {}}"),
        // Ours, and somebody put another runtime into the object that we had made.
        (
            "{\"runtimes\": {\"nvidia\": { \"path\": \"x\" }, \"b\": {}},\"debug\": true}",
            "{\"runtimes\": {\"b\": {}},\"debug\": true}",
        ),
    ] {
        assert_eq!(
            remove(Some(now.as_bytes()), &nvidia().name).unwrap(),
            Edited::Content(after.as_bytes().to_vec()),
            "{now}"
        );
    }
    for (now, code) in [
        ("{\"runtimes\": {\"nvidia\": {\"path\": \"x\", \"runtimeArgs\": [\"-d\"]}}}", "runtime_exists"),
        (
            "{\"runtimes\": {\"nvidia\": {\"path\": \"x\"}}, \"runtimes\": {\"nvidia\": {\"path\": \"x\"}}}",
            "runtime_exists",
        ),
        ("{\"runtimes\": {\"nvidia\": null}}", "wrong_type"),
    ] {
        assert_eq!(remove(Some(now.as_bytes()), &nvidia().name).unwrap_err().code(), code, "{now}");
    }
    assert_eq!(remove(Some(b"{\"runtimes\": {}}"), &nvidia().name).unwrap(), Edited::Unchanged);
}

#[test]
fn only_names_and_paths_that_need_no_escape_are_taken() {
    for text in ["nvidia=/usr/bin/nvidia-container-runtime", "nvidia-cdi=x", "a.b_c=/opt/x+y/run"] {
        assert!(text.parse::<RuntimeEntry>().is_ok(), "{text}");
    }
    for text in [
        "nvidia",
        "=x",
        "nvidia=",
        "runc=/x",
        "io.containerd.x=/x",
        "-n=x",
        "a b=x",
        "n=a b",
        "n=../x",
        "n=/a/../b",
        "n=a/b",
        "n=-x",
        "n=/",
        "n=\"x",
        "n=/x\n",
        "\u{e9}=x",
        "n=.",
    ] {
        assert!(text.parse::<RuntimeEntry>().is_err(), "{text:?}");
    }
}
