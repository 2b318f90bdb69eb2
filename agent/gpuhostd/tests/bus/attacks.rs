//! What an unprivileged or careless caller may try.

use crate::rig::core::core;
use crate::rig::hosts;
use crate::rig::private_bus::PrivateBus;
use crate::rig::{NOBODY, PATIENCE, Served, block_on, busctl_as, busctl_refused, client, error_of};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use wire::dbus::proxy::{HostProxy, Options};
use zbus::Message;

const NAME: &str = "org.gpuhost.Agent1";
const ROOT: &str = "/org/gpuhost/Agent1";

#[test]
fn nobody_can_own_the_name() {
    let bus = PrivateBus::start();
    let args = ["call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName"];
    let request = [&args[..], &["su", NAME, "0"]].concat();
    let said = busctl_refused(&bus, NOBODY, &request);
    assert!(said.contains("Access denied"), "{said}");
    assert!(busctl_as(&bus, 0, &request).status.success(), "root may, so it is the owner that is refused");
}

#[test]
fn nothing_but_our_interfaces_can_be_called_through_the_name() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::two_gpus()));
    for interface in ["org.freedesktop.systemd1.Manager", "org.freedesktop.DBus.Debug.Stats", "com.example.X"] {
        let said = busctl_refused(&bus, NOBODY, &["call", NAME, ROOT, interface, "Reload"]);
        assert!(said.contains("Access denied") || said.contains("Rejected send message"), "{interface}: {said}");
    }
}

#[test]
fn a_property_cannot_be_written_by_anybody() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::two_gpus()));
    for uid in [0, NOBODY] {
        let host = "org.gpuhost.Agent1.Host";
        let output = busctl_as(&bus, uid, &["set-property", NAME, ROOT, host, "Degraded", "b", "true"]);
        assert!(!output.status.success(), "uid {uid} wrote a property");
    }
}

#[test]
fn a_flood_of_calls_is_answered_to_the_last_one() {
    const CALLS: usize = 5_000;
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    block_on(async {
        let client = client(&bus).await;
        let host = HostProxy::new(&client).await.unwrap();
        let refused = Options::from([("no-such-option", true.into())]);
        let mut calls: FuturesUnordered<_> = (0..CALLS)
            .map(|number| {
                let options = if number % 2 == 0 { Options::new() } else { clone(&refused) };
                let host = &host;
                async move { host.get_observation(options).await }
            })
            .collect();
        let mut answered = 0;
        while let Some(answer) = calls.next().await {
            answered += 1;
            drop(answer);
        }
        assert_eq!(answered, CALLS);
        host.get_observation(Options::new()).await.unwrap();
    });
    assert!(served.core.got.borrow().is_empty());
}

fn clone<'a>(options: &Options<'a>) -> Options<'a> {
    options.iter().map(|(key, value)| (*key, value.try_clone().unwrap())).collect()
}

#[test]
fn more_commands_than_the_queue_holds_are_answered_busy_and_none_hangs() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    served.core.hold.send_replace(true);
    block_on(async {
        let client = client(&bus).await;
        let host = HostProxy::new(&client).await.unwrap();
        let mut calls: FuturesUnordered<_> = (0..100).map(|_| host.rescan(Options::new())).collect();
        let mut busy = 0;
        // One is at work, as many as the queue holds wait without an answer, and the rest is refused.
        while busy < 100 - 1 - engine::handle::COMMAND_QUEUE {
            match calls.next().await.unwrap() {
                Ok(path) => assert_eq!(path.as_str(), "/org/gpuhost/Agent1/job/1"),
                refused => {
                    assert_eq!(error_of(refused).0, "org.gpuhost.Agent1.Error.Busy");
                    busy += 1;
                }
            }
        }
        served.core.hold.send_replace(false);
        while let Some(answer) = calls.next().await {
            answer.unwrap();
        }
    });
}

#[test]
fn a_token_that_never_ends_is_refused_and_others_are_served_meanwhile() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    block_on(async {
        let client = client(&bus).await;
        let host = HostProxy::new(&client).await.unwrap();
        let (reader, _never_closed) = std::io::pipe().unwrap();
        let enrolment = host.enroll(reader.as_fd().into(), &["https://manager.example"], Options::new());
        let mut enrolment = std::pin::pin!(enrolment);
        tokio::select! {
            biased;
            early = &mut enrolment => panic!("a reader was kept waiting until the token was given up: {early:?}"),
            answer = host.get_observation(Options::new()) => drop(answer.unwrap()),
        }
        assert_eq!(error_of(enrolment.await).0, "org.gpuhost.Agent1.Error.Timeout");
        let zero = std::fs::File::open("/dev/zero").unwrap();
        let refused = host.enroll(zero.as_fd().into(), &["https://manager.example"], Options::new()).await;
        assert_eq!(error_of(refused).0, "org.gpuhost.Agent1.Error.InvalidArgument");
    });
    assert!(served.core.got.borrow().is_empty());
}

/// Sends bytes to the bus as a client that has said hello, and reads until the bus has had enough.
fn raw(bus: &PrivateBus, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(bus.address.strip_prefix("unix:path=").unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let uid: String = nix::unistd::geteuid().to_string().bytes().map(|digit| format!("{digit:02x}")).collect();
    let dbus = "org.freedesktop.DBus";
    let hello = Message::method_call("/org/freedesktop/DBus", "Hello").destination(dbus).interface(dbus);
    let handshake = format!("\0AUTH EXTERNAL {uid}\r\nBEGIN\r\n");
    for part in [handshake.as_bytes(), hello.build(&()).unwrap().data().bytes(), bytes] {
        stream.write_all(part).unwrap();
    }
    let mut said = Vec::new();
    // It may close with something of ours unread.
    let _reset = stream.read_to_end(&mut said);
    said
}

#[test]
fn bytes_that_are_no_text_end_the_connection_of_who_sends_them_and_never_reach_us() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    for bad in [b"x\0yz", b"x\xff\xfez", b"\xed\xa0\x80z"] {
        let call = Message::method_call(ROOT, "Rescan").destination(NAME).interface("org.gpuhost.Agent1.Host");
        let good = call.build(&HashMap::from([("abcd", zbus::Variant::from(true))])).unwrap();
        let mut bytes = good.data().bytes().to_vec();
        let at = bytes.windows(4).position(|part| part == b"abcd").unwrap();
        bytes[at..at + 4].copy_from_slice(bad);
        let said = raw(&bus, &bytes);
        assert!(said.starts_with(b"OK "), "{}", String::from_utf8_lossy(&said));
        assert!(!String::from_utf8_lossy(&said).contains("gpuhost"), "{}", String::from_utf8_lossy(&said));
    }
    assert!(served.core.got.borrow().is_empty());
    assert!(busctl_as(&bus, NOBODY, &["tree", "--list", NAME]).status.success());
}

#[test]
fn addresses_that_are_none_are_refused_before_anybody_is_asked() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::two_gpus()));
    block_on(async {
        let client = client(&bus).await;
        let host = HostProxy::new(&client).await.unwrap();
        let long = format!("https://{}", "a".repeat(4096));
        for url in ["http://x", "https://x\n[Unit]", "../x", "/abs", "", "%n", "https://a@b", long.as_str()] {
            let (reader, _writer) = std::io::pipe().unwrap();
            let refused = host.enroll(reader.as_fd().into(), &[url], Options::new()).await;
            let (name, message) = error_of(refused);
            assert_eq!(name, "org.gpuhost.Agent1.Error.InvalidArgument", "{url:?}");
            assert!(!message.contains('\n') && message.len() < 200, "{message:?}");
        }
    });
}
