//! Answers of a manager, made up and spoilt: valid bodies of each kind, changed in their fields or in their bytes. The same number
//! makes the same answer.

use serde_json::{Map, Value, json};

/// Splitmix64: the next number of a row.
#[derive(Debug, Clone, Copy)]
pub struct Dice(u64);

impl Dice {
    /// The row that begins with this number.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `most`; 0 where that is 0.
    pub fn below(&mut self, most: usize) -> usize {
        let most = u64::try_from(most.max(1)).unwrap_or(1);
        usize::try_from(self.roll() % most).unwrap_or(0)
    }

    /// One of these.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Most answers are no refusals, so that their bodies are read.
const STATUSES: [&str; 40] = [
    "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200",
    "200", "200", "200", "200", "201", "202", "204", "302", "400", "401", "403", "404", "407", "409", "410", "413",
    "426", "429", "429", "500", "502", "503", "511", "999",
];
const RETRIES: [&str; 8] = [
    "",
    "0",
    "-1",
    "120",
    "99999999999999999999",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Wed, 21 Oct 2099 07:28:00 GMT",
    "soon",
];
/// Names of fields that mean something to the client.
const NAMES: [&str; 26] = [
    "server_time",
    "next_heartbeat_s",
    "early_gap_s",
    "managers",
    "need_inventory",
    "enabled",
    "rotate_credential",
    "next_token",
    "desired",
    "desired_state",
    "error_message",
    "code",
    "retry_after_s",
    "protocols",
    "features",
    "server_id",
    "secret",
    "cert_chain_pem",
    "ca_bundle_pem",
    "not_after",
    "hostname",
    "port",
    "zone",
    "priority",
    "epoch",
    "revision",
];
const CODES: [&str; 16] = [
    "bad_request",
    "invalid_token",
    "token_expired",
    "enrol_used",
    "not_approved",
    "unknown_agent",
    "duplicate_agent",
    "agent_deleted",
    "conflict",
    "too_large",
    "upgrade_required",
    "rate_limited",
    "manager_disabled",
    "not_primary",
    "internal",
    "teapot",
];

/// Valid bodies, one of each kind.
fn bases() -> [Value; 6] {
    [
        json!({"server_time": "2026-03-31T13:13:13.140Z", "next_heartbeat_s": 30, "early_gap_s": 5, "need_inventory": true,
            "managers": [{"hostname": "a.example", "zone": "z", "priority": 1}, {"hostname": "::1", "port": 8443}],
            "enabled": true, "rotate_credential": "now", "next_token": "hidden-word", "desired": {"epoch": "b0f4", "revision": 43}}),
        json!({"server_time": "2026-03-31T13:13:13Z", "desired_state": {"epoch": "b0f4", "revision": 44,
            "issued_at": "2026-03-31T13:13:13Z", "agent": {"draining": false, "labels": {"site": "ams"}},
            "gpus": [{"match": {"bdf": "0000:41:00.0"}, "use": "passthrough"}]}}),
        json!({"server_id": "5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7", "secret": "hidden-word", "not_after": "2027-01-01T00:00:00Z",
            "managers": [{"hostname": "a.example"}], "enabled": true}),
        json!({"server_id": "5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7", "not_after": "2027-01-01T00:00:00Z",
            "cert_chain_pem": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "ca_bundle_pem": null}),
        json!({"protocols": ["1.0"], "min_agent": null, "server_time": "2026-03-31T13:13:13Z", "features": ["gzip", "long_poll"]}),
        json!({"error_message": "no", "code": "rate_limited", "retryable": true, "retry_after_s": 7, "request_id": "r"}),
    ]
}

/// Something that a field may be and mostly should not.
fn odd(dice: &mut Dice) -> Value {
    let texts = [
        "",
        "now",
        "true",
        "30",
        "../../etc/shadow",
        "a.example/x",
        "a@b",
        "\u{0}\u{1b}[31m",
        "http://127.0.0.1/",
        "0:0",
        "2026-03-31T13:13:13Z",
        "9999-12-31T23:59:60Z",
        "5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7",
        "$(reboot)",
        "`id`",
        "\u{202e}x",
    ];
    match dice.below(12) {
        0 => Value::Null,
        1 => json!(dice.roll().is_multiple_of(2)),
        2 => json!(i64::MIN),
        3 => json!(u64::MAX),
        4 => json!(dice.below(400)),
        5 => json!(1e308),
        6 => json!(30.0),
        7 => json!("x".repeat(dice.below(6000))),
        8 => json!(CODES[dice.below(CODES.len())]),
        9 => Value::Array((0..dice.below(40)).map(|_| json!(texts[dice.below(texts.len())])).collect()),
        10 => json!({"hostname": texts[dice.below(texts.len())], "port": dice.below(70_000)}),
        _ => json!(texts[dice.below(texts.len())]),
    }
}

/// Changes one field somewhere in the body.
fn change(value: &mut Value, dice: &mut Dice) {
    match value {
        Value::Object(fields) if dice.below(4) > 0 || fields.is_empty() => change_field(fields, dice),
        Value::Object(fields) => {
            let at = dice.below(fields.len());
            if let Some(inner) = fields.values_mut().nth(at) {
                change(inner, dice);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let at = dice.below(items.len());
            if dice.below(4) == 0 {
                items.extend(std::iter::repeat_n(items[at].clone(), 50));
            } else {
                change(&mut items[at], dice);
            }
        }
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => *value = odd(dice),
    }
}

fn change_field(fields: &mut Map<String, Value>, dice: &mut Dice) {
    let at = dice.below(fields.len());
    let name = fields.keys().nth(at).cloned();
    match (dice.below(4), name) {
        (0, Some(name)) => drop(fields.remove(&name)),
        (1, Some(name)) => drop(fields.insert(name, odd(dice))),
        _ => drop(fields.insert((*dice.one(&NAMES)).to_owned(), odd(dice))),
    }
}

/// Changes bytes of the text.
fn spoil(text: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(text.len());
    match dice.below(7) {
        0 => text.truncate(at),
        1 => {
            if let Some(byte) = text.get_mut(at) {
                *byte ^= u8::try_from(1 << dice.below(8)).unwrap_or(1);
            }
        }
        2 => {
            let piece = text[at..].to_vec();
            text.extend(piece);
        }
        3 => drop(text.splice(at..at, b"[".repeat(dice.below(2000)))),
        4 => drop(text.splice(at..at, b"{\"\":0},".repeat(dice.below(2000)))),
        5 => drop(text.splice(at..at, [0xff, 0xfe, 0xc0])),
        _ => {
            let other = Value::from(bases().to_vec()).to_string().into_bytes();
            let from = dice.below(other.len());
            drop(text.splice(at..at, other[from..].iter().copied()));
        }
    }
}

/// One answer, as the target `reply` takes it: `STATUS RETRY-AFTER`, an empty line, the body.
#[must_use]
pub fn answer(number: u64) -> Vec<u8> {
    let mut dice = Dice::new(number);
    let kinds = bases();
    let mut body = dice.one(&kinds).clone();
    for _ in 0..dice.below(6) {
        change(&mut body, &mut dice);
    }
    let mut text = body.to_string().into_bytes();
    if dice.below(3) == 0 {
        for _ in 0..=dice.below(3) {
            spoil(&mut text, &mut dice);
        }
    }
    let mut input = format!("{} {}\n\n", dice.one(&STATUSES), dice.one(&RETRIES)).into_bytes();
    input.append(&mut text);
    input
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_same_number_makes_the_same_answer_and_others_make_others() {
        assert_eq!(answer(7), answer(7));
        let all: BTreeSet<_> = (0..1000).map(answer).collect();
        assert!(all.len() > 950, "{} of 1000 differ", all.len());
    }
}
