//! A relay on loopback that counts what goes through it: the bytes of each direction and the connections, as the wire has them.

use anyhow::Context;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const BUFFER: usize = 16 * 1024;

/// What has passed so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Passed {
    /// Bytes from clients to the other side.
    pub up: u64,
    /// Bytes back.
    pub down: u64,
    /// Connections that were made.
    pub connections: u64,
}

#[derive(Default)]
struct Counts {
    up: AtomicU64,
    down: AtomicU64,
    connections: AtomicU64,
}

/// A running relay. It ends when it is dropped, with what it carries.
pub struct Relay {
    address: SocketAddr,
    counts: Arc<Counts>,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// Starts one before `target`.
    pub async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port is free")?;
        let (address, counts) = (listener.local_addr()?, Arc::new(Counts::default()));
        let counted = Arc::clone(&counts);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counted.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(carry(client, target, Arc::clone(&counted)));
            }
        });
        Ok(Self { address, counts, accepting })
    }

    /// `https://127.0.0.1:port` of the relay.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// What has passed so far.
    pub fn passed(&self) -> Passed {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { up, down, connections } = &*self.counts;
        Passed { up: read(up), down: read(down), connections: read(connections) }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Passed {
    /// What has passed since then.
    pub fn since(self, before: Self) -> Self {
        let (up, down) = (self.up - before.up, self.down - before.down);
        Self { up, down, connections: self.connections - before.connections }
    }
}

async fn carry(client: TcpStream, target: SocketAddr, counts: Arc<Counts>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::join!(copy(from_client, to_server, &counts.up), copy(from_server, to_client, &counts.down));
}

/// Copies until either end is gone.
async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, count: &AtomicU64) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        count.fetch_add(bytes as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..bytes]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_byte_counts_in_its_direction() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::start(server.local_addr().unwrap()).await.unwrap();
        let mut client = TcpStream::connect(relay.address).await.unwrap();
        let (mut served, _) = server.accept().await.unwrap();
        client.write_all(&[1; 100_000]).await.unwrap();
        served.read_exact(&mut vec![0; 100_000]).await.unwrap();
        served.write_all(&[2; 7]).await.unwrap();
        client.read_exact(&mut [0; 7]).await.unwrap();
        let Passed { up, down, connections } = relay.passed();
        assert_eq!((up, down, connections), (100_000, 7, 1));
        assert_eq!(relay.passed().since(relay.passed()).up, 0);
    }
}
