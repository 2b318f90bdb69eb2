//! Answers that never end because they never hurry: the deadline of the whole request counts, and not the next byte.

use crate::attack::{enrolled, heap_is_bounded, kept, ok, one_slot};
use crate::world::{Host, no_violations, with_token};
use manager::{Endpoint, RawAnswer, Scripted};
use model::enrol::CheckinState;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// It would go on for days: that this ends is the deadline.
async fn is_given_up(what: &str, answer: RawAnswer) {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host, with_token()).await;
    host.clock.advance(31_000).await;
    let before = kept(&host);
    manager.script(Endpoint::Heartbeat, vec![Scripted::bytes(answer)]);
    one_slot(&host).await;
    assert_eq!(running.state(), CheckinState::Unreachable, "{what}");
    let message = running.now().last_error.clone().unwrap_or_default();
    println!("{what}: {message}");
    assert!(message.contains("15 s") || message.contains("deadline"), "{what}: {message}");
    one_slot(&host).await;
    assert_eq!((running.state(), kept(&host)), (CheckinState::Ok, before), "{what}");
    heap_is_bounded(what);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn a_body_of_one_byte_a_second_is_given_up() {
    is_given_up("a body of one byte a second", RawAnswer::new(ok(1_000_000)).drip(" ", SECOND)).await;
}

#[tokio::test]
async fn headers_of_one_line_a_second_are_given_up() {
    is_given_up("a header a second", RawAnswer::new("HTTP/1.1 200 OK\r\n").drip("x: y\r\n", SECOND)).await;
}

#[tokio::test]
async fn a_hundred_continue_a_second_is_given_up() {
    is_given_up("100 Continue a second", RawAnswer::default().drip("HTTP/1.1 100 Continue\r\n\r\n", SECOND)).await;
}

#[tokio::test]
async fn chunks_of_a_byte_a_second_are_given_up() {
    let begin = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    is_given_up("a chunk a second", RawAnswer::new(begin).drip("1\r\n \r\n", SECOND)).await;
}
