//! A Docker that says what the test wants, over a real Unix socket.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// What is answered to requests whose line contains the text; the first match counts.
pub(crate) type Answers = Vec<(&'static str, Reply)>;

#[derive(Clone)]
pub(crate) enum Reply {
    /// A status and a body of known length.
    Json(u16, String),
    /// These bytes, then the end of the connection.
    Raw(Vec<u8>),
    /// The same, and the connection stays open.
    Open(Vec<u8>),
}

pub(crate) struct Server {
    folder: TempDir,
    requests: Arc<Mutex<Vec<String>>>,
    answered: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) fn start(answers: Answers) -> Self {
        let folder = TempDir::new().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answers) = (Arc::clone(&requests), Arc::new(answers));
        let answered = Arc::new(AtomicUsize::new(0));
        let bytes = Arc::clone(&answered);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answers), Arc::clone(&seen), Arc::clone(&bytes)));
            }
        });
        Self { folder, requests, answered }
    }

    pub(crate) fn socket(&self) -> String {
        let path: PathBuf = self.folder.path().join("docker.sock");
        path.display().to_string()
    }

    /// Bytes that were answered.
    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Each request with its headers and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: UnixStream,
    answers: Arc<Answers>,
    seen: Arc<Mutex<Vec<String>>>,
    answered: Arc<AtomicUsize>,
) {
    let Some(request) = request(&mut stream).await else { return };
    let line = request.lines().next().unwrap_or_default().to_owned();
    seen.lock().unwrap().push(request);
    let reply = answers.iter().find(|(path, _)| line.contains(path)).map(|(_, reply)| reply.clone());
    let reply = reply.unwrap_or_else(|| Reply::Json(404, r#"{"message":"page not found"}"#.to_owned()));
    let bytes = match &reply {
        Reply::Json(status, body) => {
            let length = body.len();
            format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
                .into_bytes()
        }
        Reply::Raw(bytes) | Reply::Open(bytes) => bytes.clone(),
    };
    answered.fetch_add(bytes.len(), Ordering::Relaxed);
    if stream.write_all(&bytes).await.is_ok() && matches!(reply, Reply::Open(_)) {
        // Until the client goes.
        let mut rest = [0; 64];
        while stream.read(&mut rest).await.is_ok_and(|length| length > 0) {}
    }
}

async fn request(stream: &mut UnixStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0_usize) {
                return Some(text);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
