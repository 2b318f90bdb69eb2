//! A relay before a manager that sees bytes only: it can reset a connection, or let what returns through a byte at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The connections of an enrolment and of heartbeats: they are left alone.
const SPARED: u32 = 2;

/// What happens to the connections after those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Later {
    /// They are as those.
    Pass,
    /// They are reset (RST) as soon as this is set.
    Reset,
    /// Of what returns a byte is passed on each so often.
    Trickle,
}

pub(crate) struct Relay {
    pub(crate) addr: SocketAddr,
    later: watch::Sender<Later>,
}

impl Relay {
    pub(crate) async fn before(manager: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (later, seen) = watch::channel(Later::Pass);
        tokio::spawn(async move {
            let mut count = 0;
            while let Ok((client, _)) = listener.accept().await {
                count += 1;
                let upstream = TcpStream::connect(manager).await.unwrap();
                tokio::spawn(relay(client, upstream, (count > SPARED).then(|| seen.clone())));
            }
        });
        Self { addr, later }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.addr)
    }

    pub(crate) fn set(&self, later: Later) {
        self.later.send_replace(later);
    }
}

async fn relay(client: TcpStream, upstream: TcpStream, later: Option<watch::Receiver<Later>>) {
    let client = Arc::new(client);
    let (mut up_read, mut up_write) = upstream.into_split();
    let raw = Arc::clone(&client);
    let reset = later.clone();
    let both = async {
        let down = async {
            let mut buffer = [0_u8; 4096];
            while let Ok(got @ 1..) = up_read.read(&mut buffer).await {
                for byte in buffer[..got].chunks(1) {
                    if later.as_ref().is_some_and(|later| *later.borrow() == Later::Trickle) {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                    if write_all(&client, byte).await.is_err() {
                        return;
                    }
                }
            }
        };
        let up = async {
            let mut reader = Reader(&client);
            let _ = copy(&mut reader, &mut up_write).await;
            let _ = up_write.shutdown().await;
        };
        tokio::join!(down, up);
    };
    let when_reset = async {
        match reset {
            Some(mut reset) => {
                let _ = reset.wait_for(|later| *later == Later::Reset).await;
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = both => {}
        () = when_reset => raw.set_zero_linger().unwrap(),
    }
}

async fn write_all(client: &TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        client.writable().await?;
        match client.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(fault) if fault.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

/// Reads of a stream that is shared.
struct Reader<'a>(&'a TcpStream);

impl tokio::io::AsyncRead for Reader<'_> {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        loop {
            std::task::ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buffer.initialize_unfilled()) {
                Ok(got) => {
                    buffer.advance(got);
                    return std::task::Poll::Ready(Ok(()));
                }
                Err(fault) if fault.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(fault) => return std::task::Poll::Ready(Err(fault)),
            }
        }
    }
}
