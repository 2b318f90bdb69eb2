//! What the reference manager says on its standard output: one line for each heartbeat, and the last one in a file.

use anyhow::Context as _;
use manager::{Received, write_file};
use serde_json::Value;
use std::collections::HashMap;
use std::io::Write as _;
use std::path::PathBuf;

/// Tells of heartbeats, one after the other.
pub(crate) struct Narrator {
    quiet: bool,
    dump_last: Option<PathBuf>,
    /// GPUs in the last inventory of each host: most heartbeats come without one.
    gpus: HashMap<String, usize>,
}

impl Narrator {
    /// `quiet` says nothing of heartbeats that were accepted.
    pub(crate) fn new(quiet: bool, dump_last: Option<PathBuf>) -> Self {
        Self { quiet, dump_last, gpus: HashMap::new() }
    }

    /// Tells of one heartbeat. A refused one is always told, and never kept as the last.
    pub(crate) fn tell(&mut self, beat: &Received) -> anyhow::Result<()> {
        if let (Some(count), Some(id)) = (gpus_in(&beat.body), beat.body.get("server_id").and_then(Value::as_str)) {
            self.gpus.insert(id.to_owned(), count);
        }
        if !(beat.accepted && self.quiet) {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", self.line(beat))
                .and_then(|()| out.flush())
                .context("can't write to standard output")?;
        }
        match &self.dump_last {
            Some(file) if beat.accepted => write_file(file, &format!("{:#}\n", beat.body), 0o600),
            Some(_) | None => Ok(()),
        }
    }

    /// The line about one heartbeat.
    fn line(&self, beat: &Received) -> String {
        let server_id = shown(beat.body.get("server_id"));
        let host = shown(beat.body.get("hostname"));
        let seq = shown(beat.body.get("seq"));
        let who = format!("host={host} server_id={server_id} seq={seq}");
        if !beat.accepted {
            let why = beat.refusal.as_deref().unwrap_or("no reason given");
            return format!("heartbeat refused {who} status={} why={}", beat.status, printable(why));
        }
        let gpus = self.gpus.get(&server_id).map_or_else(|| "?".to_owned(), ToString::to_string);
        let yes_no = |yes: bool| if yes { "yes" } else { "no" };
        format!(
            "heartbeat accepted {who} gpus={gpus} bytes={} gzip={} inventory={}",
            beat.wire_bytes,
            yes_no(beat.gzip),
            yes_no(gpus_in(&beat.body).is_some()),
        )
    }
}

fn gpus_in(body: &Value) -> Option<usize> {
    Some(body.pointer("/inventory/gpus")?.as_array()?.len())
}

/// A value on one line, without quotation marks; `?` where there is none.
fn shown(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => printable(text),
        Some(Value::Null) | None => "?".to_owned(),
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => other.to_string(),
    }
}

/// What came over the network must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use manager::Auth;
    use serde_json::json;
    use std::collections::BTreeMap;
    use std::time::Instant;

    fn beat(body: Value, accepted: bool) -> Received {
        Received {
            received_at: 0,
            at: Instant::now(),
            body,
            wire_bytes: 1234,
            gzip: true,
            auth: Auth::Nothing,
            connection_id: 1,
            headers: BTreeMap::new(),
            status: if accepted { 200 } else { 400 },
            accepted,
            refusal: (!accepted).then(|| "bad\nnews".to_owned()),
        }
    }

    #[test]
    fn the_number_of_gpus_is_remembered_from_the_last_inventory() {
        let mut narrator = Narrator::new(true, None);
        let slim = json!({"server_id": "a", "hostname": "gpu-01", "seq": 7});
        assert!(narrator.line(&beat(slim.clone(), true)).contains(" gpus=? "));
        let full = json!({"server_id": "a", "hostname": "gpu-01", "seq": 6, "inventory": {"gpus": [{}, {}]}});
        narrator.tell(&beat(full, true)).unwrap();
        assert_eq!(
            narrator.line(&beat(slim, true)),
            "heartbeat accepted host=gpu-01 server_id=a seq=7 gpus=2 bytes=1234 gzip=yes inventory=no"
        );
    }

    #[test]
    fn a_refused_heartbeat_says_why_on_one_line() {
        let line = Narrator::new(false, None).line(&beat(json!({"hostname": "\u{1b}[2Jevil"}), false));
        assert_eq!(line, "heartbeat refused host=\u{fffd}[2Jevil server_id=? seq=? status=400 why=bad\u{fffd}news");
    }

    #[test]
    fn the_last_accepted_heartbeat_is_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("last.json");
        let mut narrator = Narrator::new(true, Some(file.clone()));
        narrator.tell(&beat(json!({"seq": 1}), true)).unwrap();
        narrator.tell(&beat(json!({"seq": 2}), true)).unwrap();
        let read: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(read, json!({"seq": 2}));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
