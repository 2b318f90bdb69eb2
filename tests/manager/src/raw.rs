//! Answers byte by byte: what no library of HTTP would send. The connection is taken from the server, and nothing of HTTP is left.

use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// One step of such an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The same bytes so many times, without the memory for all of them.
    Often(Vec<u8>, u64),
    /// The same bytes, one repetition after each pause, until the other side hangs up.
    Drip(Vec<u8>, Duration),
}

/// What becomes of the connection behind the last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum End {
    /// TLS ends as it should, and then the connection.
    #[default]
    CloseNotify,
    /// The connection ends, and TLS does not.
    Cut,
    /// The connection is reset.
    Reset,
    /// It stays open until the other side hangs up.
    Open,
}

/// An answer as it goes over TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawAnswer {
    /// What is sent.
    pub pieces: Vec<Piece>,
    /// And then.
    pub end: End,
}

impl RawAnswer {
    /// These bytes.
    #[must_use]
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self::default().then(bytes)
    }

    /// A JSON body behind these lines of a head, each without its line end; the body's length is not named.
    #[must_use]
    pub fn head(lines: &[&str], body: &str) -> Self {
        Self::new(format!("{}\r\n\r\n{body}", lines.join("\r\n")))
    }

    /// And then these bytes.
    #[must_use]
    pub fn then(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.pieces.push(Piece::Bytes(bytes.as_ref().to_vec()));
        self
    }

    /// And then these bytes so many times.
    #[must_use]
    pub fn often(mut self, bytes: impl AsRef<[u8]>, times: u64) -> Self {
        self.pieces.push(Piece::Often(bytes.as_ref().to_vec(), times));
        self
    }

    /// And then these bytes again and again, each after a pause, until the other side hangs up.
    #[must_use]
    pub fn drip(mut self, bytes: impl AsRef<[u8]>, pause: Duration) -> Self {
        self.pieces.push(Piece::Drip(bytes.as_ref().to_vec(), pause));
        self
    }

    /// What becomes of the connection.
    #[must_use]
    pub const fn end(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    /// Sends it. Where the other side hangs up, the rest is not sent: no test is at that end any more.
    pub(crate) async fn send(&self, mut stream: TlsStream<TcpStream>) {
        if self.write(&mut stream).await.is_err() {
            return;
        }
        match self.end {
            End::CloseNotify => {
                if stream.shutdown().await.is_ok() {
                    until_closed(&mut stream).await;
                }
            }
            End::Cut => {}
            // Without a linger time the connection ends by a reset as soon as it is dropped.
            End::Reset => drop(stream.get_ref().0.set_zero_linger()),
            End::Open => until_closed(&mut stream).await,
        }
    }

    async fn write(&self, stream: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(bytes) => stream.write_all(bytes).await?,
                Piece::Often(bytes, times) => often(stream, bytes, *times).await?,
                Piece::Drip(bytes, pause) => loop {
                    stream.write_all(bytes).await?;
                    stream.flush().await?;
                    tokio::time::sleep(*pause).await;
                },
            }
        }
        stream.flush().await
    }
}

/// Many repetitions at a time: a record of TLS for each would be slow.
async fn often(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8], times: u64) -> std::io::Result<()> {
    let each = u64::try_from(16 * 1024 / bytes.len().max(1)).unwrap_or(1).max(1);
    let many = bytes.repeat(usize::try_from(each).unwrap_or(1));
    for _ in 0..times / each {
        stream.write_all(&many).await?;
    }
    for _ in 0..times % each {
        stream.write_all(bytes).await?;
    }
    Ok(())
}

/// Reads until the other side hangs up: bytes that nobody has read would turn the end of the connection into a reset.
async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut bytes = [0; 4096];
    while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
}
