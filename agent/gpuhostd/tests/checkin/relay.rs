//! A relay before a manager that sees bytes only: it can reset a connection, or let what returns through a byte at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to the last connection that there is when it is set, and to those after it. The ones before are left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Later {
    /// They are as those before.
    Pass,
    /// They are reset (RST) as soon as this is set.
    Reset,
    /// Of what returns a byte is passed on each so often.
    Trickle,
}

pub(crate) struct Relay {
    pub(crate) addr: SocketAddr,
    later: watch::Sender<Order>,
    count: Arc<AtomicU32>,
}

/// What happens, from which connection on.
#[derive(Debug, Clone, Copy)]
struct Order {
    later: Later,
    from: u32,
}

/// The orders as one connection has them.
#[derive(Clone)]
struct Orders {
    number: u32,
    seen: watch::Receiver<Order>,
}

impl Orders {
    fn now(&self) -> Later {
        let order = *self.seen.borrow();
        if self.number >= order.from { order.later } else { Later::Pass }
    }

    async fn wait_for_reset(mut self) {
        let number = self.number;
        let is_mine = |order: &Order| number >= order.from && order.later == Later::Reset;
        if self.seen.wait_for(is_mine).await.is_err() {
            std::future::pending().await
        }
    }
}

impl Relay {
    pub(crate) async fn before(manager: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (later, seen) = watch::channel(Order { later: Later::Pass, from: 0 });
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                let upstream = TcpStream::connect(manager).await.unwrap();
                tokio::spawn(relay(client, upstream, Orders { number, seen: seen.clone() }));
            }
        });
        Self { addr, later, count }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.addr)
    }

    /// Once the request that it is about has reached the manager: its connection is the last one.
    pub(crate) fn set(&self, later: Later) {
        self.later.send_replace(Order { later, from: self.count.load(Ordering::SeqCst) });
    }
}

async fn relay(client: TcpStream, upstream: TcpStream, orders: Orders) {
    let client = Arc::new(client);
    let (mut up_read, mut up_write) = upstream.into_split();
    let raw = Arc::clone(&client);
    let reset = orders.clone().wait_for_reset();
    let both = async {
        let down = async {
            let mut buffer = [0_u8; 4096];
            while let Ok(got @ 1..) = up_read.read(&mut buffer).await {
                for byte in buffer[..got].chunks(1) {
                    if orders.now() == Later::Trickle {
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
    tokio::select! {
        () = both => {}
        () = reset => raw.set_zero_linger().unwrap(),
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
