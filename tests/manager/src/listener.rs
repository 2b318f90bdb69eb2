//! The listener: takes connections, brings TLS about, and hands each request to the desk.

use crate::authority::sha256_hex;
use crate::call::Peer;
use crate::desk::Desk;
use crate::endpoint::Endpoint;
use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// A client that has not spoken TLS by then is dropped.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Serves until cancelled. While `down` is true, every connection, old or new, is cut.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    desk: Arc<Desk>,
    mut down: watch::Receiver<bool>,
    cancel: CancellationToken,
) {
    let mut connections = JoinSet::new();
    let mut connection_id = 0_u64;
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            changed = down.changed() => match changed {
                Ok(()) if *down.borrow() => connections.abort_all(),
                Ok(()) => {}
                Err(_) => break,
            },
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if !*down.borrow() => {
                    connection_id = connection_id.saturating_add(1);
                    connections.spawn(connection(stream, tls.clone(), Arc::clone(&desk), connection_id));
                }
                Ok(_) => {}
                // Too many open files, or a client that was gone before: the next one may fare better.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, desk: Arc<Desk>, connection_id: u64) {
    let stream = match tokio::time::timeout(HANDSHAKE_DEADLINE, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return desk.records.failed_handshake(error.to_string()),
        Err(_) => return desk.records.failed_handshake(format!("nothing within {HANDSHAKE_DEADLINE:?}")),
    };
    let certificates = stream.get_ref().1.peer_certificates();
    let certificate = certificates.and_then(|chain| chain.first()).map(|leaf| sha256_hex(leaf));
    let cut = CancellationToken::new();
    let (take_over, mut taken) = mpsc::unbounded_channel();
    let routes = router(&desk, &Peer { connection_id, certificate, cut: cut.clone(), take_over });
    // An agent keeps its connection from beat to beat: hyper's own 30 s for the next request would cut it just then.
    // An error here is a client that hung up: nobody is left to tell.
    let mut builder = http1::Builder::new();
    let mut serving =
        builder.header_read_timeout(None).serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let taken = tokio::select! {
        _ = &mut serving => None,
        () = cut.cancelled() => None,
        taken = taken.recv() => taken,
    };
    if let Some(raw) = taken {
        raw.send(serving.into_parts().io.into_inner()).await;
    }
}

/// Every path goes to the desk; it knows what belongs there, and what is to be written down of the rest.
fn router(desk: &Arc<Desk>, peer: &Peer) -> Router {
    let to_desk = |endpoint: Option<Endpoint>| {
        let (desk, peer) = (Arc::clone(desk), peer.clone());
        move |request: Request| {
            let (parts, body) = request.into_parts();
            desk.answer(endpoint, peer, parts, body)
        }
    };
    Endpoint::ALL
        .iter()
        .fold(Router::new(), |router, endpoint| router.route(endpoint.path(), any(to_desk(Some(*endpoint)))))
        .fallback(to_desk(None))
}
