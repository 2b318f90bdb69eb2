//! Whom polkit is asked about: the caller by its name on the bus, which no other process can take over, and nobody once it has gone.

use crate::polkit::{POLKIT, RESCAN, start_daemon};
use crate::rig::core::core;
use crate::rig::hosts;
use crate::rig::private_bus::{PrivateBus, top};
use crate::rig::{NOBODY, Served, block_on, busctl, busctl_as, client};
use futures_util::StreamExt;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use zbus::message::Flags;
use zbus::{Connection, MessageStream, OwnedVariant};

const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

/// Whom a question is about, as it came: kind and details of the subject.
type Subject = (String, HashMap<String, OwnedVariant>);
type Question = (Subject, String, HashMap<String, String>, u32, String);

async fn uid_of(connection: &Connection, name: &str) -> zbus::Result<u32> {
    connection.call_method(Some(BUS), BUS_PATH, Some(BUS), "GetConnectionUnixUser", &name).await?.body().deserialize()
}

async fn is_there(connection: &Connection, name: &str) -> bool {
    let answer = connection.call_method(Some(BUS), BUS_PATH, Some(BUS), "NameHasOwner", &name).await.unwrap();
    answer.body().deserialize().unwrap()
}

/// The user `daemon`, whom polkit lets pass.
const MAY: u32 = 1;

/// Stands in for polkit under the rule "this user may, others may not", and tells whom it was asked about.
async fn one_user_may(bus: &PrivateBus, tell: mpsc::Sender<(String, Vec<String>, u32)>) -> Connection {
    let connection = client(bus).await;
    let mut stream = MessageStream::from(&connection);
    connection.request_name(POLKIT).await.unwrap();
    let replies = connection.clone();
    tokio::spawn(async move {
        while let Some(Ok(message)) = stream.next().await {
            let header = message.header();
            if header.member().map(|member| member.as_str()) != Some("CheckAuthorization") {
                continue;
            }
            let ((kind, details), ..): Question = message.body().deserialize().unwrap();
            let name = details.get("name").and_then(|name| String::try_from(name.try_clone().unwrap()).ok());
            let uid = uid_of(&replies, &name.unwrap_or_default()).await.unwrap_or(u32::MAX);
            tell.send((kind, details.into_keys().collect(), uid)).unwrap();
            replies.reply(&header, &((uid == MAY, false, HashMap::<String, String>::new()),)).await.unwrap();
        }
    });
    connection
}

#[test]
fn polkit_is_asked_about_the_caller_by_its_name_on_the_bus_and_never_about_a_process() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    let (tell, told) = mpsc::channel();
    let passed = block_on(async {
        let _polkit = one_user_may(&bus, tell).await;
        let address = bus.address.clone();
        let calls = move || {
            [NOBODY, MAY].map(|uid| {
                let call = [&["--address", &address][..], &RESCAN, &["0"]].concat();
                Command::new("busctl").uid(uid).args(call).output().unwrap().status.success()
            })
        };
        tokio::task::spawn_blocking(calls).await.unwrap()
    });
    assert_eq!(passed, [false, true], "the daemon's own rights are not the caller's");
    let by_name = |uid| ("system-bus-name".to_owned(), vec!["name".to_owned()], uid);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [by_name(NOBODY), by_name(MAY)]);
    assert_eq!(served.core.got.borrow().len(), 1);
}

/// Sends a rescan as root and is gone before the daemon has seen it.
async fn hit_and_run(bus: &PrivateBus) {
    let caller = client(bus).await;
    let [_, name, path, interface, member, _] = RESCAN;
    let message = zbus::Message::method_call(path, member).destination(name);
    let message = message.interface(interface).with_flags(Flags::NO_REPLY_EXPECTED);
    caller.send(&message.build(&HashMap::<String, OwnedVariant>::new()).unwrap()).await.unwrap();
    let was = caller.unique_name().unwrap().to_string();
    caller.close().await.unwrap();
    let other = client(bus).await;
    while is_there(&other, &was).await {}
}

#[test]
fn a_caller_that_has_gone_before_the_daemon_looks_is_nobody() {
    let bus = PrivateBus::start();
    let daemon = start_daemon(&bus, 0);
    let pid = Pid::from_raw(i32::try_from(daemon.id()).unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    // The signal goes to one thread; until that thread has a processor, the others go on.
    let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
    assert_eq!(stopped, WaitStatus::Stopped(pid, Signal::SIGSTOP));
    block_on(async {
        for _ in 0..10 {
            hit_and_run(&bus).await;
        }
    });
    kill(pid, Signal::SIGCONT).unwrap();
    let said = busctl(&bus, &[&RESCAN[..], &["0"]].concat());
    assert_eq!(said.trim(), r#"o "/org/gpuhost/Agent1/job/1""#, "root's own call is the first that got through");
}

#[test]
fn a_caller_that_leaves_while_polkit_thinks_is_refused() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    block_on(async {
        let polkit = client(&bus).await;
        let mut stream = MessageStream::from(&polkit);
        polkit.request_name(POLKIT).await.unwrap();
        for late in [Late::Error, Late::Yes] {
            hit_and_stay(&bus, &mut stream, &polkit, late).await;
        }
    });
    // Whatever was decided, the daemon is there and root is served by it once polkit has left the bus.
    assert!(busctl_as(&bus, 0, &[&RESCAN[..], &["0"]].concat()).status.success());
    assert_eq!(served.core.got.borrow().len(), 1, "the caller that left got nothing");
}

/// What polkit says of a subject that has gone.
#[derive(Clone, Copy)]
enum Late {
    /// As polkitd does where it looks for the subject after it left.
    Error,
    /// As where it had decided before.
    Yes,
}

/// Calls, waits until polkit is asked, leaves, and lets polkit answer then.
async fn hit_and_stay(bus: &PrivateBus, stream: &mut MessageStream, polkit: &Connection, late: Late) {
    let mut command = Command::new("busctl");
    command.arg(format!("--address={}", bus.address)).args(RESCAN).arg("0").uid(NOBODY);
    let mut caller = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let question = loop {
        let message = stream.next().await.unwrap().unwrap();
        if message.header().member().map(|member| member.as_str()) == Some("CheckAuthorization") {
            break message;
        }
    };
    let ((_, details), ..): Question = question.body().deserialize().unwrap();
    let was = String::try_from(details["name"].try_clone().unwrap()).unwrap();
    caller.kill().unwrap();
    caller.wait().unwrap();
    while is_there(polkit, &was).await {}
    if matches!(late, Late::Yes) {
        polkit.reply(&question.header(), &((true, false, HashMap::<String, String>::new()),)).await.unwrap();
        return;
    }
    let said = format!("Error getting information about {was}: {BUS}.Error.NameHasNoOwner: no such name");
    let error = "org.freedesktop.PolicyKit1.Error.Failed";
    polkit.reply_error(&question.header(), error, &said.as_str()).await.unwrap();
}

#[test]
fn a_password_is_kept_for_nothing_but_a_rescan() {
    let text = std::fs::read_to_string(top().join("packaging/polkit-1/actions/org.gpuhost.agent1.policy")).unwrap();
    let parsing = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(&text, parsing).unwrap();
    let kept = document
        .descendants()
        .filter(|node| node.is_element() && node.text().is_some_and(|text| text.ends_with("_keep")));
    let actions = kept.map(|node| node.ancestors().find_map(|above| above.attribute("id")).unwrap());
    assert_eq!(actions.collect::<Vec<_>>(), ["org.gpuhost.agent1.rescan"]);
}
