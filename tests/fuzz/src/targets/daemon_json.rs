//! Docker's `daemon.json`: what is taken gets one piece, loses it again byte for byte, and is right at the second look.

use super::often;
use crate::Target;
use crate::bounds::Bounds;
use model::daemon_json::{Edited, RuntimeEntry, insert, remove, take_out};

/// The target.
pub const TARGET: Target = Target {
    name: "daemon_json",
    what: "daemon.json of Docker, of which one runtime entry is ours",
    run,
    seeds,
    words: &[
        "\"runtimes\": {",
        "\"runt\\u0069mes\":",
        "\"nvidia\": {",
        "\"nv\\u0069dia\"",
        "\"path\": \"nvidia-container-runtime\"",
        "\"runtimeArgs\": []",
        "{ \"path\": \"x\" }",
        "\u{feff}",
        "\r\n\t",
        "\n    ",
        "// ",
        "/*",
        "\\ud800",
        "1e999",
        "null",
        "{}",
        "},",
    ],
    bounds: Bounds { heap_per_byte: 32, ..Bounds::USUAL },
};

fn run(input: &[u8]) {
    let entry: RuntimeEntry = "nvidia=nvidia-container-runtime".parse().expect("a fixed text");
    match insert(Some(input), &entry, true) {
        Ok(Edited::Content(after)) => {
            let head = input.iter().zip(&after).take_while(|(a, b)| a == b).count();
            let tail = input[head..].iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
            assert_eq!(head + tail, input.len(), "more than one piece differs");
            assert_eq!(insert(Some(&after), &entry, true), Ok(Edited::Unchanged));
            assert_eq!(remove(Some(&after), &entry.name), Ok(Edited::Content(input.to_vec())));
            // Out of a Docker that runs: in one write, or in two.
            let Ok(Edited::Content(first)) = take_out(Some(&after), &entry.name) else {
                panic!("it does not come out")
            };
            if first != input {
                assert_eq!(remove(Some(&first), &entry.name), Ok(Edited::Unchanged));
                assert_eq!(take_out(Some(&first), &entry.name), Ok(Edited::Content(input.to_vec())));
            }
        }
        Ok(Edited::Unchanged) => {}
        Ok(Edited::NoFile) => panic!("an insertion takes no file away"),
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
    }
    if let Ok(Edited::Content(out)) = remove(Some(input), &entry.name) {
        assert!(out.len() < input.len());
        assert_eq!(remove(Some(&out), &entry.name), Ok(Edited::Unchanged));
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "{\n    \"log-driver\": \"journald\",\n    \"runtimes\": {\n        \"kata\": {\"path\": \"/opt/kata\"}\n    }\n}\n",
        "{\r\n\t\"debug\": true,\r\n\t\"runtimes\": {\r\n\t}\r\n}",
        "{\"runtimes\": {\"a\": {}}, \"runtimes\": {\"nvidia\": {\"path\": \"nvidia-container-runtime\", \"args\": []}}}",
        "{\n    \"runtimes\": {\n        \"nvidia\": { \"path\": \"nvidia-container-runtime\" }\n    }\n}\n",
        "\u{feff}{\"runtimes\": {\"nvidia\": { \"path\": \"x\" }},\"labels\": [\"<&>\", \"\\ud800\"], \"x\": 12345678901234567890}",
        "{}",
        "{\n    \"runtimes\": {  },\n    \"debug\": true\n}\n",
        "{\n    \"runtimes\": {   }\n}\n",
    ];
    let bombs = [often("{\"a\":", 60_000), [b"{\"runtimes\": ".to_vec(), often("[", 60_000)].concat()];
    texts.map(|text| text.as_bytes().to_vec()).into_iter().chain(bombs).collect()
}
