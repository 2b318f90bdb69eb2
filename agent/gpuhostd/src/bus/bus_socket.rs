//! The socket to the bus. While the handshake lasts, zbus reads it itself, through [`Reader`]. With the first byte of a message the
//! [`Intake`] takes over, and [`Reader`] hands to zbus what is to be served next, no more at once than is good: a caller costs us a
//! bounded memory and a bounded number of descriptors, and has others wait no longer than its turn takes.

use super::executor::Executor;
use super::get_all::Gallery;
use super::intake::{Intake, receive};
use super::limits::Limits;
use super::queue::Unread;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use zbus::Message;
use zbus::address::Transport;
use zbus::address::transport::UnixSocket;
use zbus::connection::Builder;
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;

/// The bus takes a message in this time, or the connection is given up and made again: a dbus-daemon takes none from us while
/// others do not read what it holds of us for them (`max_incoming_bytes`).
const TAKEN_WITHIN: Duration = Duration::from_secs(10);

/// A builder of a connection over such a socket. `GetAll` of what is in the gallery does not reach zbus.
///
/// # Errors
/// There is no bus at the address, or the address is not that of a socket of this machine.
pub(super) async fn connect(address: &zbus::Address, gallery: Arc<Gallery>) -> io::Result<Builder<'static>> {
    let Transport::Unix(unix) = address.transport() else {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "it is not a unix: address"));
    };
    let stream = match unix.path() {
        UnixSocket::File(path) => UnixStream::connect(path).await?,
        UnixSocket::Abstract(name) => {
            let name = std::os::unix::net::SocketAddr::from_abstract_name(name.as_encoded_bytes())?;
            UnixStream::connect_addr(&name.into()).await?
        }
        UnixSocket::Dir(_) | UnixSocket::TmpDir(_) | _ => {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "it is an address to listen at"));
        }
    };
    let limits = Limits::new();
    let executor = Executor::current(Arc::clone(&limits));
    Ok(Builder::socket(BusSocket { stream: Arc::new(stream), limits, gallery }).runtime(executor))
}

/// The socket before zbus splits it.
struct BusSocket {
    stream: Arc<UnixStream>,
    limits: Arc<Limits>,
    gallery: Arc<Gallery>,
}

impl Socket for BusSocket {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let writer = Writer { stream: self.stream, limits: self.limits };
        let phase = Phase::Handshake { line_begins: true };
        Split::new(Reader { writer: writer.clone(), gallery: self.gallery, phase, handed: None }, writer)
    }
}

/// Where the connection is.
#[derive(Debug)]
enum Phase {
    /// In the handshake: lines of text, of which none begins with the letter of a message (`l`, `B`).
    Handshake {
        /// The next byte is the first of its line.
        line_begins: bool,
    },
    /// Past it.
    Messages {
        /// Where messages come from.
        intake: Intake,
        /// Writes the answers to calls for which there was no room.
        _refusing: AbortOnDropHandle<()>,
    },
}

/// What zbus reads.
#[derive(Debug)]
pub(super) struct Reader {
    writer: Writer,
    gallery: Arc<Gallery>,
    phase: Phase,
    /// The message that zbus is reading, and how much of it it has.
    handed: Option<(Unread, usize)>,
}

impl Reader {
    /// One byte of the handshake; `None` where the first message begins, which is left to the intake.
    async fn handshake(&mut self, line_begins: bool) -> io::Result<Option<u8>> {
        let mut byte = [0; 1];
        let stream = &self.writer.stream;
        let (count, descriptors) = stream.async_io(Interest::READABLE, || receive(stream, &mut byte)).await?;
        let [byte] = byte;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line_begins && matches!(byte, b'l' | b'B') {
            let (intake, refused) = Intake::start(Arc::clone(stream), Unread { bytes: vec![byte], descriptors })?;
            let refusing = AbortOnDropHandle::new(tokio::spawn(refuse(refused, self.writer.clone())));
            self.phase = Phase::Messages { intake, _refusing: refusing };
            return Ok(None);
        }
        self.phase = Phase::Handshake { line_begins: byte == b'\n' };
        Ok(Some(byte))
    }

    /// The next message that is for zbus. What the gallery can reply to is replied to.
    async fn next(&self, intake: &Intake) -> io::Result<Unread> {
        loop {
            self.writer.limits.room().await;
            let message = intake.next().await?;
            match self.gallery.reply(&message) {
                Some(reply) => self.writer.send(&reply).await?,
                None => return Ok(message),
            }
        }
    }
}

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        if let Phase::Handshake { line_begins } = &self.phase
            && let Some(byte) = self.handshake(*line_begins).await?
        {
            let first = buffer.iter_mut().take(1).map(|to| *to = byte);
            return Ok((first.count(), Vec::new()));
        }
        let Phase::Messages { intake, .. } = &self.phase else { return Ok((0, Vec::new())) };
        let (mut message, from) = match self.handed.take() {
            Some(handed) => handed,
            None => (self.next(intake).await?, 0),
        };
        let rest = message.bytes.get(from..).unwrap_or_default();
        let count = rest.iter().zip(buffer).map(|(from, to)| *to = *from).count();
        let descriptors = std::mem::take(&mut message.descriptors);
        if from + count < message.bytes.len() {
            self.handed = Some((message, from + count));
        }
        Ok((count, descriptors))
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}

/// Until the intake ends, or the bus takes nothing any more.
async fn refuse(mut refused: mpsc::Receiver<Message>, mut writer: Writer) {
    while let Some(answer) = refused.recv().await {
        if writer.send_message(&answer).await.is_err() {
            return;
        }
    }
}

fn no_descriptors() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "file descriptors are never sent")
}

/// What zbus writes to.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    stream: Arc<UnixStream>,
    limits: Arc<Limits>,
}

impl Writer {
    /// Writes a whole message, or closes the connection.
    async fn send(&self, message: &[u8]) -> io::Result<()> {
        let _out = self.limits.out().await;
        let Ok(written) = tokio::time::timeout(TAKEN_WITHIN, self.write(message)).await else {
            // Half of the message may be out: there is no way on over this connection, but over another one.
            self.shut_down()?;
            let why = format!("the bus accepted no message for {} s", TAKEN_WITHIN.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        };
        written
    }

    async fn write(&self, message: &[u8]) -> io::Result<()> {
        let mut rest = message;
        while !rest.is_empty() {
            let count = self.write_some(rest).await?;
            rest = rest.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    async fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    fn shut_down(&self) -> io::Result<()> {
        rustix::net::shutdown(&*self.stream, rustix::net::Shutdown::Both).map_err(io::Error::from)
    }
}

#[async_trait]
impl WriteHalf for Writer {
    async fn sendmsg(&mut self, buffer: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
        if !descriptors.is_empty() {
            return Err(no_descriptors());
        }
        self.write_some(buffer).await
    }

    async fn send_message(&mut self, message: &Message) -> zbus::Result<()> {
        if !message.data().fds().is_empty() {
            return Err(no_descriptors().into());
        }
        Ok(self.send(message.data().bytes()).await?)
    }

    async fn close(&mut self) -> io::Result<()> {
        self.shut_down()
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test(start_paused = true)]
    async fn a_bus_that_takes_nothing_loses_the_connection_and_keeps_nobody() {
        let (ours, mut bus) = UnixStream::pair().unwrap();
        let mut writer = Writer { stream: Arc::new(ours), limits: Limits::new() };
        let signal = Message::signal("/x", "x.y", "Z").build(&vec![0_u8; 100_000]).unwrap();
        let given_up = async {
            loop {
                if let Err(fault) = writer.send_message(&signal).await {
                    break fault;
                }
            }
        };
        let fault = tokio::time::timeout(Duration::from_secs(60), given_up).await.unwrap();
        assert!(fault.to_string().contains("accepted no message for 10 s"), "{fault}");
        assert!(writer.limits.out().await.is_some(), "the way out is free");
        let mut rest = Vec::new();
        bus.read_to_end(&mut rest).await.unwrap();
        assert!(!rest.is_empty(), "and the bus sees the end of the connection");
    }
}
