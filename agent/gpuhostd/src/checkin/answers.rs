//! From what came back over the wire to an answer, and an answer in words.

use crate::checkin::http::Exchange;
use model::checkin::{Answer, CheckinError, FaultKind, ManagerAddress};
use model::time::UnixMillis;
use serde_json::Value;
use wire::manager::reply::{ComeBack, refusal};

/// The body of an exchange, where it is not a refusal.
///
/// # Errors
/// The manager refuses, or what came is no answer of a manager.
pub(super) fn accepted(manager: &ManagerAddress, exchange: Exchange, received: UnixMillis) -> Result<Value, Answer> {
    let Exchange { status, retry_after, date, body, .. } = exchange;
    let come_back = ComeBack { retry_after: retry_after.as_deref(), date: date.as_deref(), received };
    if let Some(refused) = refusal(status, come_back, body.as_ref()) {
        return Err(Answer::Refused(refused));
    }
    let said = || format!("{manager} answered HTTP {status} without a JSON object; is it a manager?");
    body.filter(Value::is_object).ok_or_else(|| Answer::Failed(garbled(said())))
}

/// An answer that is not what the contract states.
pub(super) fn garbled(said: String) -> CheckinError {
    CheckinError { kind: FaultKind::Garbled, said }
}

/// The answer in words, for the status and the log.
pub(super) fn words(answer: &Answer) -> String {
    match answer {
        Answer::Accepted(_) => String::new(),
        Answer::Refused(refused) => refused.words(),
        Answer::Failed(fault) => fault.said.clone(),
    }
}
