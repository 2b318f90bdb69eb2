//! Documents of a desired state: whatever comes, it is a document within the limits or a fault with its field, in bounded time and
//! memory, and what was in force stays unless it is accepted.

use super::often;
use crate::Target;
use crate::bounds::Bounds;
use model::desired::{
    Accepted, DOCUMENT_MAX_BYTES, DesiredDocument, Epoch, HeldDocument, Ledger, TomlDocument, accept,
};
use model::time::UnixMillis;
use wire::manager::desired::{DesiredForm, examine, examine_toml, form_of, read, same_json};

/// The target.
pub const TARGET: Target = Target {
    name: "desired",
    what: "documents of a desired state, their ledger, and local files",
    run,
    seeds,
    words: &WORDS,
    // No tree is built of a manager's document: 64 KiB of it stay below 16 MiB by far. What TOML takes is in the fixed part.
    bounds: Bounds { heap: 2 * 1024 * 1024, heap_per_byte: 96, ..Bounds::USUAL },
};

/// A file in TOML becomes trees and lists of faults of up to 250 bytes for each of its own; only root can write one.
const TOML_MAX_BYTES: usize = 4096;

const WORDS: [&str; 34] = [
    "\"epoch\":\"b0f4\"",
    "\"revision\":43",
    "\"issued_at\":\"2026-03-31T13:13:13Z\"",
    "\"not_after\":",
    "\"server_id\":\"5f0c2f0e\"",
    "\"requires\":[\"gpu.v1\"]",
    "\"agent\":{",
    "\"enabled\":true",
    "\"draining\":null",
    "\"drain_at\":\"2026-03-31T13:13:13Z\"",
    "\"labels\":{\"site\":\"ams\"}",
    "\"zone\":\"z\"",
    "\"max_workspaces\":30.0",
    "\"overrides\":{\"cores\":1.5,\"memory\":0}",
    "\"heartbeat_interval_s\":30",
    "\"reconcile_interval_s\":1e1",
    "\"log_level\":\"info,zbus=warn\"",
    "\"gpus\":[{",
    "\"match\":{\"bdf\":\"0000:41:00.0\"}",
    "\"uuid\":\"GPU-a\"",
    "\"pci_id\":\"10de:2330\"",
    "\"use\":\"passthrough\"",
    "\"features\":{\"nvenc\":{\"enabled\":false}}",
    "\"mig\":{}",
    "\"images\":[{}]",
    "\"workspaces\":[{}]",
    "\"nvidia\":{}",
    "\\ud800",
    "\\u0000",
    "9223372036854775807",
    "18446744073709551616",
    "1e999",
    "[agent]\n",
    "[[gpus]]\n",
];

const HOST: &str = "5f0c2f0e";

/// What is in force when a document comes.
const IN_FORCE: &str = r#"{"epoch":"b0f4","revision":43,"agent":{"draining":true}}"#;

fn run(input: &[u8]) {
    document(input);
    ledger(input);
    if let Ok(text) = std::str::from_utf8(input) {
        local(text);
    }
}

/// A document of a manager: judged, kept and read again, or a fault with its field.
pub fn document(input: &[u8]) {
    let document = match read(input) {
        Ok(document) => document,
        Err(fault) => {
            assert!(!fault.faults.is_empty() && fault.faults.len() <= 64);
            let said = fault.to_string();
            assert!(said.len() < 8000 && !said.contains(|c: char| c.is_control()), "{said:?}");
            assert!(fault.faults.iter().all(|fault| fault.pointer.is_empty() || fault.pointer.starts_with('/')));
            return;
        }
    };
    assert!(input.len() <= DOCUMENT_MAX_BYTES && document.wishes.gpus.len() <= 256);
    let text = std::str::from_utf8(input).expect("what was read is text");
    assert!(same_json(text, text));
    judged(&document, text);
    // What is kept is read again as what it was.
    let left = vec![Epoch::try_from("old".to_owned()).expect("an epoch")];
    let ledger = Ledger { server_id: HOST.to_owned(), epochs_left: left, document: text.trim_ascii().to_owned() };
    let again = Ledger::decode(&ledger.encode().expect("it is text")).expect("what was written is read");
    assert_eq!(again, ledger);
    assert_eq!(read(again.document.as_bytes()).as_ref(), Ok(&document));
}

/// Only what is newer replaces what is in force.
fn judged(document: &DesiredDocument, text: &str) {
    let in_force = read(IN_FORCE.as_bytes()).expect("a right document");
    let left = [Epoch::try_from("old".to_owned()).expect("an epoch")];
    let held = HeldDocument { server_id: HOST, in_force: Some(&in_force), epochs_left: &left, now: UnixMillis(0) };
    match accept(document, held, || same_json(text, IN_FORCE)) {
        Ok(Accepted::Same) => assert!(*document == in_force),
        Ok(Accepted::New { epochs_left }) => {
            assert!(document.id.epoch != left[0] && epochs_left.len() <= 8);
            assert!(document.id.epoch != in_force.id.epoch || document.id.revision > in_force.id.revision);
        }
        Err(refused) => {
            let said = refused.to_string();
            assert!(said.len() < 8000 && !said.contains(|c: char| c.is_control()), "{said:?}");
        }
    }
}

/// A damaged ledger is none, and never an empty one.
fn ledger(input: &[u8]) {
    if let Ok(ledger) = Ledger::decode(input) {
        assert!(!ledger.document.is_empty());
    }
}

/// A file of this host is wholly right or refused.
fn local(text: &str) {
    let reading = examine(text.as_bytes(), DesiredForm::Local);
    assert!(reading.faults.items.is_empty() && reading.id.is_none());
    if text.len() > TOML_MAX_BYTES {
        return;
    }
    let _form = form_of(text);
    let reading = examine_toml(text, DesiredForm::Local);
    assert!(reading.faults.items.is_empty() && reading.id.is_none());
    if let Ok(toml) = TomlDocument::read(text) {
        assert!(serde_json::from_str::<serde_json::Value>(&toml.json).is_ok());
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![IN_FORCE.into(), IN_FORCE.replace("43", "44").into()];
    all.push(WHOLE.into());
    all.push(
        b"[agent]\ndraining = true\ndrain_at = 2026-03-31T13:13:13Z\n[[gpus]]\nmatch = {bdf = '41:00.0'}\n".to_vec(),
    );
    all.push(format!("{{\"schema\":1,\"server_id\":\"x\",\"epochs_left\":[],\"document\":{IN_FORCE}}}").into());
    // Small inputs that would be large as a tree.
    for piece in ["[", "{\"a\":", "[[],", "{\"\":0},", "0,", "\"\\u0061\","] {
        all.push([b"{\"epoch\":\"e\",\"revision\":1,\"x\":[".to_vec(), often(piece, 4000)].concat());
    }
    let list = often("{\"\":0},", 8000);
    all.push([b"{\"epoch\":\"e\",\"revision\":1,\"x\":[".as_slice(), &list, b"0]}"].concat());
    let names: String = (0..4000).map(|n| format!("\"{n}\":0,")).collect();
    all.push(format!("{{\"epoch\":\"e\",\"revision\":1,\"x\":{{{names}\"\":0}}}}").into());
    all.push(often("a.b.c.d.e.f = 1\n[a.b]\n", 50));
    all.push(often("[[a]]\n", 2000));
    all
}

const WHOLE: &str = r#"{"epoch":"b0f4","revision":44.0,"issued_at":"2026-03-31T13:13:13Z","not_after":"2027-03-31T13:13:13Z",
"server_id":"5f0c2f0e","requires":["gpu.v1","host.v1"],"agent":{"enabled":true,"draining":false,"drain_at":null,
"labels":{"site":"ams","tier":"gpu"},"zone":"z","pool":"p","max_workspaces":4,"overrides":{"cores":1.5,"memory":1,"cuda_gpus":2},
"heartbeat_interval_s":30,"reconcile_interval_s":30,"log_level":"info,zbus=warn","prune":"normal"},
"gpus":[{"match":{"bdf":"0000:41:00.0","pci_id":"10de:2330"},"use":"passthrough","features":{"nvenc":{"enabled":false},"x":{}},
"security_context":null,"mig":{"mode":"enabled"}}],"images":[{"image_id":"i"}],"workspaces":[{}],"nvidia":{},"proxy":{},"new":[1,{}]}"#;
