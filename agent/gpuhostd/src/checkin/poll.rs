//! One request for desired state on its way: held by the manager until there is another document, and what it brings offered to the
//! keeper of the documents.

use crate::checkin::answers::garbled;
use crate::checkin::http::{Inquiry, RawExchange};
use crate::checkin::session::ManagerClock;
use crate::checkin::transport::Way;
use crate::desired::{DesiredPort, Offer};
use model::checkin::{Code, Poll, PollAnswer};
use model::ports::Clock;
use model::time::UnixMillis;
use serde_json::Value;
use std::sync::Arc;
use wire::manager::reply::{ComeBack, refusal};

/// An answer that is not a document is not read beyond this.
const REFUSAL_MAX_BYTES: usize = 64 * 1024;

/// A request that is to be sent.
#[derive(Debug)]
pub(super) struct PollOut {
    /// The way to the manager.
    pub(super) way: Way,
    /// To whom, with what.
    pub(super) poll: Poll,
    /// This host's id.
    pub(super) server_id: String,
    /// The manager's clock.
    pub(super) manager_clock: ManagerClock,
    /// Where a document goes.
    pub(super) port: DesiredPort,
}

/// A request that is back.
#[derive(Debug)]
pub(super) struct PollBack {
    /// The way.
    pub(super) way: Way,
    /// The request.
    pub(super) poll: Poll,
    /// What came of it.
    pub(super) answer: PollAnswer,
    /// Why it was of no use.
    pub(super) why: Option<String>,
}

/// What an answer is.
enum Came {
    Document(Vec<u8>),
    Other(PollAnswer, Option<String>),
}

/// Sends it, and has a document that it brings judged and saved.
pub(super) async fn send<C: Clock>(out: PollOut, clock: Arc<C>) -> PollBack {
    let PollOut { mut way, poll, server_id, manager_clock, port } = out;
    let path = way.settings().paths.desired_state.clone();
    let (server, held) = (server_id.as_str(), poll.held.as_ref());
    let inquiry = Inquiry { path: &path, server_id: server, wait_s: poll.wait_s, held, bearer: None };
    let exchange = way.inquire(&poll.manager, inquiry).await;
    let came = match exchange {
        Ok(exchange) => read(&format!("GET {}{path}", poll.manager.base_url()), exchange, clock.wall_now()),
        Err(lost) => Came::Other(PollAnswer::Broken, Some(lost.fault.said)),
    };
    let (answer, why) = match came {
        Came::Document(body) => {
            let manager_now = manager_clock.now(clock.boot_now());
            let taken = port.offer(Offer { body, server_id, manager_now }).await;
            let why = taken.refused.map(|code| format!("{}: its document was refused: {code}", poll.manager));
            (if taken.is_news { PollAnswer::Accepted } else { PollAnswer::Known }, why)
        }
        Came::Other(answer, why) => (answer, why),
    };
    PollBack { way, poll, answer, why }
}

/// What an answer is. That it is not what is held already, whatever its ETag, is the keeper's to find out.
fn read(what: &str, exchange: RawExchange, received: UnixMillis) -> Came {
    let RawExchange { status, retry_after, date, is_packed, body } = exchange;
    if status == 304 {
        return Came::Other(PollAnswer::Unchanged, None);
    }
    let small = Some(&body).filter(|body| body.len() <= REFUSAL_MAX_BYTES);
    let json: Option<Value> = small.and_then(|body| serde_json::from_slice(body).ok());
    let come_back = ComeBack { retry_after: retry_after.as_deref(), date: date.as_deref(), received };
    if let Some(refused) = refusal(status, come_back, json.as_ref()) {
        let why = Some(format!("{what}: the manager {}", refused.words()));
        // Only an unknown agent is about this host; any other 404 is about the path.
        if refused.has_no_path() && refused.code != Some(Code::UnknownAgent) {
            return Came::Other(PollAnswer::NoPath, why);
        }
        return Came::Other(PollAnswer::Refused { retry_after_ms: refused.retry_after_ms() }, why);
    }
    let is_page = body.iter().find(|byte| !byte.is_ascii_whitespace()).is_none_or(|byte| *byte == b'<');
    if status != 200 || is_packed || is_page {
        let form = if is_packed { "compressed, which was not asked for" } else { "without a document" };
        let why = garbled(format!("{what}: the manager answered HTTP {status} {form}; is it a manager?")).said;
        return Came::Other(PollAnswer::Broken, Some(why));
    }
    Came::Document(body.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::zeroize::Zeroizing;

    fn came(status: u16, body: &[u8]) -> Result<usize, PollAnswer> {
        packed(status, body, false)
    }

    fn packed(status: u16, body: &[u8], is_packed: bool) -> Result<usize, PollAnswer> {
        let body = Zeroizing::new(body.to_vec());
        match read(
            "GET x",
            RawExchange { status, retry_after: Some("7".to_owned()), date: None, is_packed, body },
            UnixMillis(0),
        ) {
            Came::Document(body) => Ok(body.len()),
            Came::Other(answer, _) => Err(answer),
        }
    }

    #[test]
    fn a_document_is_offered_whatever_is_wrong_with_it_and_a_page_of_a_front_is_none() {
        assert_eq!(came(200, b"{}"), Ok(2));
        assert_eq!(came(200, b"[1]"), Ok(3));
        assert_eq!(came(200, b" {\"cut"), Ok(6));
        for front in [&b" <html>"[..], b"", b" \n"] {
            assert_eq!(came(200, front), Err(PollAnswer::Broken), "{front:?}");
        }
        assert_eq!(packed(200, b"\x1f\x8b", true), Err(PollAnswer::Broken));
        assert_eq!(came(204, b""), Err(PollAnswer::Broken));
        assert_eq!(came(304, b"{}"), Err(PollAnswer::Unchanged));
    }

    #[test]
    fn only_a_404_of_the_path_is_one() {
        let refused = Err(PollAnswer::Refused { retry_after_ms: Some(7000) });
        assert_eq!(came(404, b"<html>"), Err(PollAnswer::NoPath));
        assert_eq!(came(404, br#"{"error_message": "x", "code": "not_primary"}"#), Err(PollAnswer::NoPath));
        assert_eq!(came(404, br#"{"error_message": "x", "code": "unknown_agent"}"#), refused);
        for status in [202, 302, 400, 401, 403, 409, 410, 426, 429, 500, 502, 503, 504] {
            assert_eq!(came(status, b"{}"), refused, "{status}");
        }
        assert_eq!(came(200, br#"{"error_message": "no", "code": "internal"}"#), refused);
    }
}
