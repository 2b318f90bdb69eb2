//! Answers whose frame is wrong, or right in a way that is seldom seen: lengths, chunks, versions, ends of connections.

use crate::attack::{REPLY, body, enrolled, is_refused, is_taken, kept, ok, one_slot};
use crate::world::{Host, no_violations, with_token};
use manager::{End, Endpoint, RawAnswer, Scripted};
use model::enrol::CheckinState;

#[tokio::test]
async fn an_answer_of_http_1_0_counts_where_its_end_is_known() {
    let length = format!("Content-Length: {}", REPLY.len());
    let named = RawAnswer::head(&["HTTP/1.0 200 OK", &length], REPLY);
    is_taken("HTTP/1.0 with a length", &named).await;
    is_taken("HTTP/1.0 with a length, cut behind it", &named.end(End::Cut)).await;
    let unnamed = RawAnswer::head(&["HTTP/1.0 200 OK"], REPLY);
    is_taken("HTTP/1.0 that ends with its connection", &unnamed).await;
    // Without close_notify it may have been cut by anyone on the way.
    is_refused("HTTP/1.0 without an end", &unnamed.end(End::Cut), &["closed in the middle of the answer"]).await;
}

#[tokio::test]
async fn chunks_with_extensions_and_trailers_are_one_body() {
    let (first, rest) = REPLY.split_at(5);
    let chunked = |trailers: &str| {
        RawAnswer::new(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;ext=\"a;b\";more\r\n{first}\r\n{:x} ; x=y\r\n{rest}\r\n0;last\r\n{trailers}\r\n",
            rest.len()
        ))
    };
    is_taken("chunks with extensions and trailers", &chunked("X-Sum: 1\r\nX-More: 2\r\n")).await;
    is_taken("chunks without trailers", &chunked("")).await;
}

#[tokio::test]
async fn chunks_that_are_wrong_or_never_end_are_no_answer() {
    let begin = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (what, rest) in [
        ("a chunk that is no number", format!("zz\r\n{REPLY}\r\n0\r\n\r\n")),
        ("a negative chunk", format!("-5\r\n{REPLY}\r\n0\r\n\r\n")),
        ("a chunk of 2^64 and more", format!("10000000000000000\r\n{REPLY}\r\n0\r\n\r\n")),
        ("a chunk that is longer than it states", format!("2\r\n{REPLY}\r\n0\r\n\r\n")),
        ("no last chunk", format!("{:x}\r\n{REPLY}\r\n", REPLY.len())),
    ] {
        is_refused(what, &RawAnswer::new(begin).then(rest), &[]).await;
    }
    let endless_extension = RawAnswer::new(begin).then("5;").often("x", 1 << 20);
    is_refused("an extension of 1 MiB", &endless_extension, &[]).await;
    let endless_trailers = RawAnswer::new(begin).then("0\r\n").often("x-y: z\r\n", 200_000);
    is_refused("200,000 trailers", &endless_trailers, &[]).await;
}

#[tokio::test]
async fn a_length_that_is_wrong_double_or_negative_is_no_answer() {
    let with = |lines: &[&str]| RawAnswer::head(&[&["HTTP/1.1 200 OK"], lines].concat(), REPLY);
    let right = format!("Content-Length: {}", REPLY.len());
    for (what, lines) in [
        ("a negative length", vec!["Content-Length: -1"]),
        ("a length that is no number", vec!["Content-Length: many"]),
        ("a length of 2^64", vec!["Content-Length: 18446744073709551616"]),
        ("two lengths", vec![&*right, "Content-Length: 5"]),
        ("a longer length", vec!["Content-Length: 5000"]),
        ("a shorter length", vec!["Content-Length: 5"]),
        ("a list of lengths", vec!["Content-Length: 23, 24"]),
    ] {
        is_refused(what, &with(&lines), &[]).await;
    }
    is_taken("the same length twice", &with(&[&right, &right])).await;
}

#[tokio::test]
async fn ten_thousand_times_100_continue_are_skipped_and_101_is_no_acceptance() {
    let patient = RawAnswer::default().often("HTTP/1.1 100 Continue\r\n\r\n", 10_000).then(ok(REPLY.len())).then(REPLY);
    is_taken("10,000 times 100 Continue", &patient).await;
    let hints = RawAnswer::default().often("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", 100);
    is_taken("103 Early Hints", &hints.then(ok(REPLY.len())).then(REPLY)).await;
    let switching = ["HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: websocket"];
    is_refused("101", &RawAnswer::head(&switching, "").end(End::Open), &["101"]).await;
}

#[tokio::test]
async fn what_is_no_http_is_no_answer() {
    for (what, bytes) in [
        ("HTTP/0.9", REPLY.to_owned()),
        ("HTTP/2 without asking", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("HTTP/3.7", format!("HTTP/3.7 200 OK\r\n\r\n{REPLY}")),
        ("a banner", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n".to_owned()),
        ("zeros", "\0".repeat(4096)),
        ("a status of four digits", format!("HTTP/1.1 2000 OK\r\n\r\n{REPLY}")),
        ("a status of zero", format!("HTTP/1.1 000 OK\r\n\r\n{REPLY}")),
        ("a header with a zero", format!("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n{REPLY}")),
        ("a header without a name", format!("HTTP/1.1 200 OK\r\n: b\r\n\r\n{REPLY}")),
    ] {
        is_refused(what, &RawAnswer::new(bytes), &[]).await;
    }
}

#[tokio::test]
async fn a_connection_that_is_reset_or_cut_anywhere_is_no_answer() {
    let whole = format!("{}{REPLY}", ok(REPLY.len()));
    for end in [End::Reset, End::Cut, End::CloseNotify] {
        for bytes in [0, 1, 20, whole.len() - REPLY.len(), whole.len() - 1] {
            let what = format!("{end:?} behind {bytes} bytes");
            is_refused(&what, &RawAnswer::new(&whole[..bytes]).end(end), &[]).await;
        }
    }
}

/// A front that gives up each connection behind its answer, in every way, costs a handshake and no heartbeat.
#[tokio::test]
async fn a_connection_that_ends_behind_each_answer_costs_no_heartbeat() {
    // A reset may take the answer with it, so that it is a lost one.
    for end in [End::CloseNotify, End::Cut] {
        let mut host = Host::new();
        let (manager, running) = enrolled(&mut host, with_token()).await;
        host.clock.advance(31_000).await;
        let (before, accepted) = (kept(&host), running.now().accepted);
        manager.script(Endpoint::Heartbeat, vec![Scripted::bytes(body(REPLY).end(end)); 20]);
        for _ in 0..20 {
            one_slot(&host).await;
        }
        assert_eq!(manager.scripted_left(Endpoint::Heartbeat), 0, "{end:?}");
        assert_eq!((running.state(), running.now().failed), (CheckinState::Ok, 0), "{end:?}");
        assert_eq!(running.now().accepted, accepted + 20, "{end:?}");
        assert_eq!(kept(&host), before, "{end:?}");
        running.stop().await;
        no_violations(&manager);
    }
}

/// A second answer that nobody has asked for is never taken for the answer to the next request.
#[tokio::test]
async fn an_answer_that_is_pushed_ahead_answers_nothing() {
    let evil = r#"{"next_heartbeat_s":300,"enabled":false,"rotate_credential":"now"}"#;
    let pushed = body(REPLY).then(ok(evil.len())).then(evil).end(End::Open);
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host, with_token()).await;
    host.clock.advance(31_000).await;
    let (before, accepted) = (kept(&host), running.now().accepted);
    manager.script(Endpoint::Heartbeat, vec![Scripted::bytes(pushed); 3]);
    for more in 1..=6 {
        one_slot(&host).await;
        assert_eq!((running.now().interval_s, running.state()), (30, CheckinState::Ok), "it was taken");
        assert_eq!((running.now().accepted, running.now().failed), (accepted + more, 0));
    }
    let asked: Vec<_> = manager.requests().into_iter().map(|request| request.path).collect();
    assert!(!asked.contains(&Endpoint::Credentials.path().to_owned()), "it was taken: {asked:?}");
    assert_eq!(kept(&host), before);
    let beats = manager.heartbeats();
    let [.., one, other, _, _, _] = &beats[..] else { panic!("{}", beats.len()) };
    assert_ne!(one.connection_id, other.connection_id, "the connection was used again");
    running.stop().await;
    no_violations(&manager);
}
