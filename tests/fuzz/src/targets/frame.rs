//! Frames between the front and a hand: any bytes give frames or a fault, and a request or an answer reads the same again.

use crate::Target;
use crate::bounds::Bounds;
use hands::frame::{self, FrameFault};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use wire::hand::{Answer, FRAME_MAX_BYTES, Request};

/// The target.
pub const TARGET: Target = Target {
    name: "frame",
    what: "the stream between front and hand",
    run,
    seeds,
    words: &[
        "{\"id\":1,\"deadline_ms\":1,\"ask\":\"hello\"}",
        "{\"probe_driver\":\"nvml\"}",
        "\"docker_facts\"",
        "\"said\":{",
        "\"driver\":{\"Ok\":",
        "\"Err\":{\"fault\":\"stuck\",\"what\":\"x\",\"pid\":1}",
        "\"refused\":{\"why\":\"x\"}",
        "\"known\":",
        "\"absent\":\"none\"",
        "{\"garbled\":\"x\"}",
        "\u{0}\u{0}\u{0}\u{0}",
        "1e400",
    ],
    // A reader takes 64 KiB of room before the first byte of a body.
    bounds: Bounds { heap_per_byte: 256, ..Bounds::USUAL },
};

const SOON: Duration = Duration::from_secs(5);

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Builder::new_current_thread().enable_time().build().expect("a runtime starts"))
}

fn run(input: &[u8]) {
    runtime().block_on(async {
        let (mut reader, mut whole) = (input, 0);
        loop {
            match frame::read(&mut reader, SOON).await {
                Ok(body) => {
                    whole += 4 + body.len();
                    same_again::<Request>(&body);
                    same_again::<Answer>(&body);
                    let mut written = Vec::new();
                    frame::write(&mut written, &body, SOON).await.expect("what came in goes out");
                    assert_eq!(written, input[whole - 4 - body.len()..whole]);
                }
                Err(FrameFault::TooLong { bytes }) => return assert!(bytes > u64::from(FRAME_MAX_BYTES)),
                Err(FrameFault::CutShort) => return assert!(whole <= input.len()),
                Err(fault @ (FrameFault::Slow { .. } | FrameFault::Socket(_))) => panic!("{fault}"),
            }
        }
    });
}

/// What is taken as `T` is written in a form that is taken as the same.
fn same_again<T: DeserializeOwned + Serialize + PartialEq + Debug>(body: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(body) else { return };
    let written = serde_json::to_vec(&value).expect("it has a JSON form");
    assert_eq!(serde_json::from_slice::<T>(&written).expect("what was written is read"), value);
}

fn seeds() -> Vec<Vec<u8>> {
    let bodies = [
        r#"{"id":1,"deadline_ms":5000,"ask":"hello"}"#,
        r#"{"id":2,"deadline_ms":5000,"ask":{"probe_driver":"nvml"}}"#,
        r#"{"id":3,"deadline_ms":5000,"ask":"docker_facts","more":1}"#,
        r#"{"id":1,"said":{"hello":{"role":"host","version":"0.1.0","powerless":null}}}"#,
        r#"{"id":2,"said":{"driver":{"Err":{"fault":"stuck","what":"nvidia-smi","pid":7}}}}"#,
        r#"{"id":2,"said":{"docker":{"Err":{"fault":"timeout","what":"Docker","after_ms":1}}}}"#,
    ];
    let frame = |body: &[u8]| {
        let length = u32::try_from(body.len()).expect("a seed is short");
        [length.to_le_bytes().as_slice(), body].concat()
    };
    let report = model::smi::parse(b"<nvidia_smi_log><gpu id=\"41:00.0\"><serial>1</serial></gpu></nvidia_smi_log>");
    let full = serde_json::to_vec(&Answer { id: 9, said: wire::hand::Said::Driver(Box::new(report)) });
    let all: Vec<Vec<u8>> = bodies.iter().map(|body| frame(body.as_bytes())).collect();
    let lies = vec![0xff, 0xff, 0x3f, 0, b'{'];
    vec![all.concat(), frame(&full.expect("an answer has a JSON form")), lies, vec![0xff; 4], all[0][..9].to_vec()]
}
