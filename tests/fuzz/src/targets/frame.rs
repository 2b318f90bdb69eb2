//! Frames between the front and a hand: any bytes give frames or a fault, and a request or a response reads the same again.

use crate::Target;
use crate::bounds::Bounds;
use hands::frame::{self, FrameError};
use protocol::hand::containers::{
    ApplyNvidiaDeed, ApplyWorkspaceDeed, AwaitWorkspaceEvent, FindMigContainers, FindRuntimeUsers,
    InspectNvidiaContainers, InspectWorkspaces, ListStoredImages, ProbeDriverContainer, ProbeToolkit, ReadDockerFacts,
    ReadNvidiaLog, ReadRegistryLogins, RemoveStoredImage,
};
use protocol::hand::holders::{FindHolders, FindMigHolders, ListContainerNodes, ListDeviceGroups};
use protocol::hand::host::{
    ApplyCdiStep, ApplyDockerConfigStep, ApplyDriverHostStep, ApplyStep, InspectCdi, InspectDockerConfig,
    InspectDriverHost, InspectDriverLibraries, InspectScope, ProbeContainerDevices, ProbeNvml, ProbeSmi,
    ProbeToolkitPrograms, ReadContainerUse, ReadToolkitVersion,
};
use protocol::hand::mig::{ApplyMigStep, InspectMig, SetMigMode};
use protocol::hand::{FRAME_MAX_BYTES, HELLO, Hello, Introduction, Verb, VerbOutcome, VerbRequest, VerbResponse};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// The target.
pub const TARGET: Target = Target {
    name: "frame",
    what: "the stream between front and hand",
    run,
    seeds,
    words: &[
        "{\"id\":1,\"deadline_ms\":1,\"verb\":\"hello\",\"args\":{}}",
        "\"probe_nvml\"",
        "\"read_docker_facts\"",
        "\"inspect_scope\",\"args\":{\"scope\":",
        "{\"lane\":\"docker\",\"gpu\":\"0000:41:00.0\",\"members\":[]}",
        "\"said\":{",
        "\"reply\":{\"Ok\":",
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
                    read_request(&body);
                    read_response(&body);
                    let mut written = Vec::new();
                    frame::write(&mut written, &body, SOON).await.expect("what came in goes out");
                    assert_eq!(written, input[whole - 4 - body.len()..whole]);
                }
                Err(FrameError::TooLong { bytes }) => return assert!(bytes > u64::from(FRAME_MAX_BYTES)),
                Err(FrameError::CutShort) => return assert!(whole <= input.len()),
                Err(fault @ (FrameError::Slow { .. } | FrameError::Socket(_))) => panic!("{fault}"),
            }
        }
    });
}

/// How the arguments and the reply of one verb are read.
struct Reader {
    verb: &'static str,
    args: fn(&[u8]),
    reply: fn(&[u8]),
}

/// Every verb of every hand; a test compares it with the registries.
const READERS: [Reader; 37] = [
    Reader { verb: HELLO, args: same_again::<Hello>, reply: same_again::<Introduction> },
    reader::<ProbeContainerDevices>(),
    reader::<ReadToolkitVersion>(),
    reader::<ProbeNvml>(),
    reader::<ProbeSmi>(),
    reader::<ProbeToolkitPrograms>(),
    reader::<InspectScope>(),
    reader::<ApplyStep>(),
    reader::<InspectDockerConfig>(),
    reader::<ApplyDockerConfigStep>(),
    reader::<InspectCdi>(),
    reader::<ApplyCdiStep>(),
    reader::<InspectDriverLibraries>(),
    reader::<ReadContainerUse>(),
    reader::<InspectDriverHost>(),
    reader::<ApplyDriverHostStep>(),
    reader::<ReadDockerFacts>(),
    reader::<ProbeDriverContainer>(),
    reader::<FindMigContainers>(),
    reader::<FindRuntimeUsers>(),
    reader::<InspectNvidiaContainers>(),
    reader::<ApplyNvidiaDeed>(),
    reader::<ReadNvidiaLog>(),
    reader::<ProbeToolkit>(),
    reader::<InspectWorkspaces>(),
    reader::<ApplyWorkspaceDeed>(),
    reader::<AwaitWorkspaceEvent>(),
    reader::<ListStoredImages>(),
    reader::<ReadRegistryLogins>(),
    reader::<RemoveStoredImage>(),
    reader::<FindHolders>(),
    reader::<FindMigHolders>(),
    reader::<ListContainerNodes>(),
    reader::<ListDeviceGroups>(),
    reader::<InspectMig>(),
    reader::<ApplyMigStep>(),
    reader::<SetMigMode>(),
];

const fn reader<V: Verb<Reply: PartialEq + Debug> + PartialEq + Debug>() -> Reader {
    Reader { verb: V::NAME, args: same_again::<V>, reply: same_again::<V::Reply> }
}

/// The names of the verbs whose forms this target reads.
#[must_use]
pub fn verbs() -> Vec<&'static str> {
    READERS.iter().map(|reader| reader.verb).collect()
}

/// A request is written in a form that is read as the same, and so are the arguments of a verb that a hand serves.
fn read_request(body: &[u8]) {
    let Ok(request) = serde_json::from_slice::<VerbRequest>(body) else { return };
    let written = serde_json::to_vec(&request).expect("it has a JSON form");
    let again: VerbRequest = serde_json::from_slice(&written).expect("what was written is read");
    assert_eq!((request.id, request.deadline_ms, &request.verb), (again.id, again.deadline_ms, &again.verb));
    assert_eq!(request.args.get(), again.args.get());
    READERS
        .iter()
        .filter(|reader| reader.verb == request.verb)
        .for_each(|reader| (reader.args)(request.args.get().as_bytes()));
}

/// A response is written in a form that is read as the same, whichever verb it is taken for.
fn read_response(body: &[u8]) {
    let Ok(response) = serde_json::from_slice::<VerbResponse>(body) else { return };
    let written = serde_json::to_vec(&response).expect("it has a JSON form");
    let again: VerbResponse = serde_json::from_slice(&written).expect("what was written is read");
    assert_eq!(response.id, again.id);
    match (response.outcome, again.outcome) {
        (VerbOutcome::Reply(reply), VerbOutcome::Reply(again)) => {
            assert_eq!(reply.get(), again.get());
            READERS.iter().for_each(|reader| (reader.reply)(reply.get().as_bytes()));
        }
        (VerbOutcome::Refused { why }, VerbOutcome::Refused { why: again }) => assert_eq!(why, again),
        (one, other) => panic!("{one:?} was written as {other:?}"),
    }
}

/// What is taken as `T` is written in a form that is taken as the same.
fn same_again<T: DeserializeOwned + Serialize + PartialEq + Debug>(body: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(body) else { return };
    let written = serde_json::to_vec(&value).expect("it has a JSON form");
    assert_eq!(serde_json::from_slice::<T>(&written).expect("what was written is read"), value);
}

fn seeds() -> Vec<Vec<u8>> {
    let bodies = [
        r#"{"id":1,"deadline_ms":5000,"verb":"hello","args":{}}"#,
        r#"{"id":2,"deadline_ms":5000,"verb":"probe_nvml","args":{}}"#,
        r#"{"id":3,"deadline_ms":5000,"verb":"read_docker_facts","args":{},"more":1}"#,
        r#"{"id":4,"deadline_ms":5000,"verb":"find_holders","args":{"scope":{"lane":"docker","gpu":"0000:41:00.0","members":[]}}}"#,
        r#"{"id":1,"said":{"reply":{"hand":"host","version":"0.1.0","degraded":null}}}"#,
        r#"{"id":2,"said":{"reply":{"Err":{"fault":"stuck","what":"nvidia-smi","pid":7}}}}"#,
        r#"{"id":2,"said":{"refused":{"why":"the verb \"x\" is not served"}}}"#,
    ];
    let frame = |body: &[u8]| {
        let length = u32::try_from(body.len()).expect("a seed is short");
        [length.to_le_bytes().as_slice(), body].concat()
    };
    let report = model::smi::parse(b"<nvidia_smi_log><gpu id=\"41:00.0\"><serial>1</serial></gpu></nvidia_smi_log>");
    let reply = serde_json::value::to_raw_value(&report).expect("a report has a JSON form");
    let full = serde_json::to_vec(&VerbResponse { id: 9, outcome: VerbOutcome::Reply(reply) });
    let all: Vec<Vec<u8>> = bodies.iter().map(|body| frame(body.as_bytes())).collect();
    let lies = vec![0xff, 0xff, 0x3f, 0, b'{'];
    vec![all.concat(), frame(&full.expect("a response has a JSON form")), lies, vec![0xff; 4], all[0][..9].to_vec()]
}
