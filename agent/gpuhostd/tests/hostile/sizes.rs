//! Answers that are too large, too deep, too many, or compressed: none of it is kept, and none of it is unpacked.

use crate::attack::{REPLY, body, enrolled, heap_is_bounded, is_refused, is_taken, kept, ok};
use crate::world::{Host, no_violations, with_token};
use flate2::Compression;
use flate2::write::GzEncoder;
use manager::{Endpoint, RawAnswer, Scripted};
use model::enrol::CheckinState;
use std::io::Write;

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn headers_without_end_and_one_of_200_kb_are_no_answer() {
    let begin = "HTTP/1.1 200 OK\r\n";
    is_refused("headers without end", &RawAnswer::new(begin).often("x-header: value\r\n", 10 * MIB), &[]).await;
    is_refused("a header without end", &RawAnswer::new(begin).then("x: ").often("y", 100 * MIB), &[]).await;
    is_refused("a reason without end", &RawAnswer::new("HTTP/1.1 200 ").often("y", 100 * MIB), &[]).await;
    let many = RawAnswer::new(begin).often("x-header: value\r\n", 2000);
    is_refused("2,000 headers", &many.then("\r\n").then(REPLY), &[]).await;
}

/// One header of 200 kB is within what the client reads at once: it is taken or not, and costs nothing.
#[tokio::test]
async fn a_header_of_200_kb_costs_nothing() {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nx: ", REPLY.len());
    let large = RawAnswer::new(head).often("y", 200_000).then("\r\n\r\n").then(REPLY);
    is_taken("a header of 200 kB", &large).await;
}

#[tokio::test]
async fn a_body_of_more_than_2_mib_is_no_answer_whether_its_length_is_named_or_not() {
    let words = ["larger than 2 MiB"];
    let named = RawAnswer::new(ok(4 * 1024 * 1024 + 1)).often(" ", 4 * MIB + 1);
    is_refused("4 MiB and a byte", &named, &words).await;
    let unnamed = RawAnswer::new("HTTP/1.1 200 OK\r\n\r\n").often(" ", 200 * MIB);
    is_refused("200 MiB without a length", &unnamed, &words).await;
    let chunked = RawAnswer::new("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunked = chunked.often(format!("400\r\n{}\r\n", " ".repeat(1024)), 200 * 1024);
    is_refused("200 MiB in chunks", &chunked, &words).await;
    let tiny = RawAnswer::new("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").often("1\r\n \r\n", 50_000);
    is_refused("50,000 chunks of a byte", &tiny.then("0\r\n\r\n"), &["without a JSON object"]).await;
}

fn packed(bytes: &[u8], times: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..times {
        encoder.write_all(bytes).unwrap();
    }
    encoder.finish().unwrap()
}

#[tokio::test]
async fn what_is_compressed_is_not_unpacked_and_the_message_names_it() {
    let kinds = [("a good reply", packed(REPLY.as_bytes(), 1)), ("a bomb", packed(&vec![b' '; 1 << 20], 64))];
    for encoding in ["gzip", "br", "gzip, gzip"] {
        for (what, bytes) in &kinds {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n", bytes.len());
            is_refused(&format!("{what} in {encoding}"), &RawAnswer::new(head).then(bytes), &["compressed"]).await;
        }
    }
}

#[tokio::test]
async fn what_is_too_deep_or_no_text_is_no_reply() {
    let words = ["without a JSON object"];
    for (what, text) in [
        ("depth 100,000", "[".repeat(100_000)),
        ("objects in objects", "{\"a\":".repeat(100_000)),
        ("a text without end", format!("{{\"server_time\":\"{}", "x".repeat(1_000_000))),
    ] {
        is_refused(what, &body(text), &words).await;
    }
    is_refused("no UTF-8", &body(b"{\"server_time\":\"\xff\xfe\xc0\x80\"}"), &words).await;
    let fields = |count: u32| (0..count).map(|n| format!("\"{n}\":0,")).collect::<String>();
    is_refused("130,000 fields", &body(format!("{{{}\"x\":0}}", fields(130_000))), &words).await;
    let beside = format!("{{{}\"desired_state\":{{}}}}", fields(100_000));
    is_refused("100,000 fields beside a document", &body(beside), &words).await;
    is_refused("2 MB of lists", &body(format!("[{}0]", "[],".repeat(600_000))), &words).await;
}

/// Small as text, large as a tree, or no value at all: such a field costs itself, and what is built of it stays small.
#[tokio::test]
async fn a_field_that_cannot_be_read_or_grows_as_a_tree_costs_itself() {
    is_taken("depth 100,000", &body(format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000)))).await;
    is_taken("a number of 1 MB", &body(format!("{{\"next_heartbeat_s\":1{}}}", "0".repeat(1_000_000)))).await;
    is_taken("half a pair", &body(r#"{"server_time":"\ud800"}"#)).await;
    for piece in ["[],", "{},", "0,", "[[[[]]]],", "{\"\":0},", "\"\\u0000\","] {
        let text = format!("{{\"managers\":[{}0]}}", piece.repeat(2_000_000 / piece.len()));
        is_taken(&format!("{piece} without end"), &body(text)).await;
    }
}

/// A reply that names so many managers, all of this machine.
fn list(count: u32, port: u16) -> String {
    let place =
        |n: u32| format!("{{\"hostname\":\"127.{}.{}.{}\",\"port\":{port}}}", 1 + n / 65_536, n / 256 % 256, n % 256);
    format!("{{\"managers\":[{}]}}", (0..count).map(place).collect::<Vec<_>>().join(","))
}

#[tokio::test]
async fn a_hundred_thousand_managers_are_no_list() {
    is_refused("100,000 managers", &body(list(100_000, 1)), &["larger than 2 MiB"]).await;
    is_taken("40,000 managers", &body(list(40_000, 1))).await;
}

/// As many as fit into a reply: the list is cut, the manager that works stays, and what is kept stays small.
#[tokio::test]
async fn a_thousand_managers_that_are_not_there_lose_no_host() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host, with_token()).await;
    host.clock.advance(31_000).await;
    let list = list(1000, 9);
    manager.script(Endpoint::Heartbeat, vec![Scripted::raw(200, "application/json", list.as_bytes())]);
    let accepted = running.now().accepted;
    host.clock.advance(300_000).await;
    assert_eq!(running.state(), CheckinState::Ok);
    assert!(running.now().accepted >= accepted + 9, "heartbeats were lost");
    let (_, identity) = kept(&host);
    assert!(identity.to_string().len() < 16 * 1024, "{} bytes are kept", identity.to_string().len());
    heap_is_bounded("1,000 managers");
    running.stop().await;
    no_violations(&manager);
}
