//! One heartbeat on its way: sent, sent once more where the connection was given up under it, and answered.

use crate::checkin::answers::accepted;
use crate::checkin::fault::Unanswered;
use crate::checkin::http::{Exchange, GZIP_ABOVE_BYTES, Post};
use crate::checkin::report::Report;
use crate::checkin::transport::Way;
use model::checkin::{Answer, Beat, Code, ManagerRefusal};
use model::host_facts::CpuTicks;
use model::ports::Clock;
use model::time::BootMillis;
use std::sync::Arc;
use wire::manager::reply::HeartbeatReply;

/// A heartbeat is never larger than this.
const HEARTBEAT_MAX_BYTES: usize = 256 * 1024;

/// A heartbeat that is to be sent.
#[derive(Debug)]
pub(super) struct BeatOut {
    /// The way to the manager.
    pub(super) way: Way,
    /// To whom, with what.
    pub(super) beat: Beat,
    /// This host's id.
    pub(super) server_id: String,
    /// What it answers.
    pub(super) report: Report,
    /// The manager takes gzip; `None` where it has not been asked yet.
    pub(super) gzip: Option<bool>,
}

/// A heartbeat that is back.
#[derive(Debug)]
pub(super) struct BeatBack {
    /// The way.
    pub(super) way: Way,
    /// As it was sent last: its number may have risen.
    pub(super) beat: Beat,
    /// When it was sent last.
    pub(super) sent_at: BootMillis,
    /// CPU time when it was sent.
    pub(super) cpu: Option<CpuTicks>,
    /// It went compressed, and a front may have refused it for that.
    pub(super) packing_refused: bool,
    /// What came of it.
    pub(super) answer: Result<HeartbeatReply, Answer>,
    /// The document of desired state that came with the reply, as it came.
    pub(super) document: Option<Vec<u8>>,
}

/// Sends it.
pub(super) async fn send<C: Clock>(out: BeatOut, clock: Arc<C>) -> BeatBack {
    let BeatOut { mut way, mut beat, server_id, report, gzip } = out;
    let mut sent_at = clock.boot_now();
    let (mut large, mut answer, mut document) = (false, Ok(HeartbeatReply::default()), None);
    for again in [false, true] {
        let body = match report.body(&server_id, &beat, &*clock) {
            Ok(body) => body,
            Err(fault) => {
                answer = Err(Answer::Failed(fault));
                break;
            }
        };
        if let Some(refused) = too_large(&body) {
            answer = Err(Answer::Refused(refused));
            break;
        }
        large = body.len() > GZIP_ABOVE_BYTES;
        match once(&mut way, &beat, &body, large && gzip == Some(true)).await {
            Err(lost) if lost.lost_before_answer && !again => {
                // The other side had given the connection up; whoever read the first one must not take the second for a copy.
                tracing::debug!(manager = %beat.manager, seq = beat.seq, why = lost.fault.said, "the kept-alive connection \
                                                                                                 was closed; retrying on a \
                                                                                                 new one");
                beat.seq = clock.boot_now().0.max(beat.seq.saturating_add(1));
                sent_at = clock.boot_now();
            }
            Err(lost) => {
                answer = Err(Answer::Failed(lost.fault));
                break;
            }
            Ok(mut exchange) => {
                document = exchange.desired_state.take();
                answer = accepted(&beat.manager, exchange, clock.wall_now()).map(HeartbeatReply::read);
                break;
            }
        }
    }
    let packed = large && gzip == Some(true);
    let packing_refused = packed && matches!(&answer, Err(Answer::Refused(refused)) if refused.may_be_the_packing());
    let cpu = report.seen.host.cpu.get();
    BeatBack { way, beat, sent_at, cpu, packing_refused, answer, document }
}

async fn once(way: &mut Way, beat: &Beat, body: &[u8], gzip: bool) -> Result<Exchange, Unanswered> {
    let path = way.settings().paths.heartbeat.clone();
    way.post(&beat.manager, Post { path: &path, body, gzip, bearer: None, idempotency_key: None }).await
}

fn too_large(body: &[u8]) -> Option<ManagerRefusal> {
    let message = format!("the report of {} bytes was not sent", body.len());
    let code = Some(Code::TooLarge);
    (body.len() > HEARTBEAT_MAX_BYTES).then_some(ManagerRefusal { status: 413, code, message, retry_after_s: None })
}
