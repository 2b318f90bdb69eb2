//! The socket to the bus. A message that is too long for anything that is said here is passed over unread, and none is read
//! while more calls are served than is good: a caller costs us a bounded memory and a bounded number of descriptors.

use super::executor::Executor;
use super::load::Load;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;
use zbus::Message;
use zbus::address::Transport;
use zbus::address::transport::UnixSocket;
use zbus::connection::Builder;
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;

/// The longest message that is read. What we are sent are names, addresses, a certificate; zbus would take 128 MiB, of which
/// each byte can become thirty in memory.
const MESSAGE_MAX_BYTES: usize = 256 * 1024;
/// The fixed part of a message, to the length of its header fields (D-Bus specification, "Message Format").
const FIXED_BYTES: usize = 16;
/// The bus takes a message in this time, or the connection is given up and made anew: a dbus-daemon takes none from us while others
/// do not read what it holds of us for them (`max_incoming_bytes`).
const TAKEN_WITHIN: Duration = Duration::from_secs(10);
/// Descriptors in one message at most (the kernel's `SCM_MAX_FD`).
const DESCRIPTORS: usize = 253;

/// A builder of a connection over such a socket.
///
/// # Errors
/// There is no bus at the address, or the address is not that of a socket of this machine.
pub(super) async fn connect(address: &zbus::Address) -> io::Result<Builder<'static>> {
    let Transport::Unix(unix) = address.transport() else {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "it is no unix: address"));
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
    let load = Load::new();
    let executor = Executor::current(Arc::clone(&load));
    Ok(Builder::socket(BusSocket { stream: Arc::new(stream), load }).runtime(executor))
}

/// The socket before zbus splits it.
struct BusSocket {
    stream: Arc<UnixStream>,
    load: Arc<Load>,
}

impl Socket for BusSocket {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let (stream, load) = (Arc::clone(&self.stream), Arc::clone(&self.load));
        let reader = Reader { stream, load, place: Place::Line { begins: true } };
        Split::new(reader, Writer { stream: self.stream, load: self.load })
    }
}

/// Where in the stream the next byte stands.
#[derive(Debug)]
enum Place {
    /// In the handshake: lines of text, of which none begins with the letter of a message (`l`, `B`).
    Line {
        /// At its beginning.
        begins: bool,
    },
    /// In a message: what is read and not handed out, and how much is to come.
    Message {
        /// Bytes of the fixed part.
        ahead: Vec<u8>,
        /// Descriptors that came with them.
        descriptors: Vec<OwnedFd>,
        /// Bytes of the rest.
        left: usize,
    },
}

/// What zbus reads.
#[derive(Debug)]
pub(super) struct Reader {
    stream: Arc<UnixStream>,
    load: Arc<Load>,
    place: Place,
}

impl Reader {
    async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        self.stream.async_io(Interest::READABLE, || receive(&self.stream, buffer)).await
    }

    /// One byte of the handshake; `None` where the first message begins, which is kept.
    async fn line(&mut self, begins: bool) -> io::Result<Option<u8>> {
        let mut byte = [0; 1];
        let (count, descriptors) = self.receive(&mut byte).await?;
        let [byte] = byte;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if begins && matches!(byte, b'l' | b'B') {
            let (ahead, left) = self.next(vec![byte], descriptors).await?;
            self.place = Place::Message { ahead: ahead.0, descriptors: ahead.1, left };
            return Ok(None);
        }
        self.place = Place::Line { begins: byte == b'\n' };
        Ok(Some(byte))
    }

    /// The fixed part of the next message that is short enough, with what came with it, and the length of its rest.
    async fn next(
        &self,
        mut ahead: Vec<u8>,
        mut descriptors: Vec<OwnedFd>,
    ) -> io::Result<((Vec<u8>, Vec<OwnedFd>), usize)> {
        loop {
            while ahead.len() < FIXED_BYTES {
                let mut part = [0; FIXED_BYTES];
                let wanted = FIXED_BYTES - ahead.len();
                let (count, more) = self.receive(part.get_mut(..wanted).unwrap_or_default()).await?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                ahead.extend_from_slice(part.get(..count).unwrap_or_default());
                descriptors.extend(more);
            }
            let rest = rest_bytes(&ahead)?;
            if rest + FIXED_BYTES <= MESSAGE_MAX_BYTES {
                return Ok(((ahead, descriptors), rest));
            }
            tracing::debug!(bytes = rest, "a message that is too long was passed over");
            ahead.clear();
            descriptors.clear();
            self.pass_over(rest).await?;
            self.load.room().await;
        }
    }

    async fn pass_over(&self, mut left: usize) -> io::Result<()> {
        let mut scratch = [0; 8192];
        while left > 0 {
            let wanted = left.min(scratch.len());
            let (count, _) = self.receive(scratch.get_mut(..wanted).unwrap_or_default()).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= count;
        }
        Ok(())
    }
}

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        if let Place::Line { begins } = self.place
            && let Some(byte) = self.line(begins).await?
        {
            let first = buffer.iter_mut().take(1).map(|to| *to = byte);
            return Ok((first.count(), Vec::new()));
        }
        if matches!(&self.place, Place::Message { ahead, left: 0, .. } if ahead.is_empty()) {
            self.load.room().await;
            let ((ahead, descriptors), left) = self.next(Vec::new(), Vec::new()).await?;
            self.place = Place::Message { ahead, descriptors, left };
        }
        let stream = Arc::clone(&self.stream);
        let Place::Message { ahead, descriptors, left } = &mut self.place else { return Ok((0, Vec::new())) };
        if !ahead.is_empty() {
            let count = ahead.len().min(buffer.len());
            for (to, from) in buffer.iter_mut().zip(ahead.drain(..count)) {
                *to = from;
            }
            return Ok((count, std::mem::take(descriptors)));
        }
        let wanted = buffer.len().min(*left);
        let part = buffer.get_mut(..wanted).unwrap_or_default();
        let (count, descriptors) = stream.async_io(Interest::READABLE, || receive(&stream, part)).await?;
        *left -= count;
        Ok((count, descriptors))
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}

/// Bytes after the fixed part of a message.
fn rest_bytes(fixed: &[u8]) -> io::Result<usize> {
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "the bus sent what is no D-Bus message");
    let word = |at: usize| -> Option<usize> {
        let bytes: [u8; 4] = fixed.get(at..at.checked_add(4)?)?.try_into().ok()?;
        let number = match fixed.first()? {
            b'l' => u32::from_le_bytes(bytes),
            b'B' => u32::from_be_bytes(bytes),
            _ => return None,
        };
        usize::try_from(number).ok()
    };
    let (body, fields) = (word(4).ok_or_else(bad)?, word(12).ok_or_else(bad)?);
    fields.checked_next_multiple_of(8).and_then(|fields| fields.checked_add(body)).ok_or_else(bad)
}

fn receive(stream: &UnixStream, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut into = [io::IoSliceMut::new(buffer)];
    let got = rustix::net::recvmsg(stream, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let rights = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
        RecvAncillaryMessage::ScmCredentials(_) | _ => None,
    });
    Ok((got.bytes, rights.flatten().collect()))
}

/// What zbus writes to.
#[derive(Debug)]
pub(super) struct Writer {
    stream: Arc<UnixStream>,
    load: Arc<Load>,
}

impl Writer {
    async fn write(&mut self, message: &Message) -> io::Result<()> {
        let (mut rest, descriptors) = (message.data().bytes(), message.data().fds());
        let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        while !rest.is_empty() {
            let count = self.sendmsg(rest, &borrowed).await?;
            rest = rest.get(count..).unwrap_or_default();
        }
        Ok(())
    }
}

#[async_trait]
impl WriteHalf for Writer {
    async fn sendmsg(&mut self, buffer: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
        if !descriptors.is_empty() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "no descriptor is given to anybody"));
        }
        loop {
            self.stream.writable().await?;
            match self.stream.try_write(buffer) {
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    async fn send_message(&mut self, message: &Message) -> zbus::Result<()> {
        let load = Arc::clone(&self.load);
        let _out = load.out().await;
        let Ok(written) = tokio::time::timeout(TAKEN_WITHIN, self.write(message)).await else {
            // Half of the message may be out: there is no way on over this connection, but over another one.
            self.close().await?;
            let why = format!("the bus took no message for {} s", TAKEN_WITHIN.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, why).into());
        };
        Ok(written?)
    }

    async fn close(&mut self) -> io::Result<()> {
        rustix::net::shutdown(&*self.stream, rustix::net::Shutdown::Both).map_err(io::Error::from)
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
        let mut writer = Writer { stream: Arc::new(ours), load: Load::new() };
        let signal = Message::signal("/x", "x.y", "Z").build(&vec![0_u8; 100_000]).unwrap();
        let given_up = async {
            loop {
                if let Err(fault) = writer.send_message(&signal).await {
                    break fault;
                }
            }
        };
        let fault = tokio::time::timeout(Duration::from_secs(60), given_up).await.unwrap();
        assert!(fault.to_string().contains("took no message for 10 s"), "{fault}");
        assert!(writer.load.out().await.is_some(), "the way out is free");
        let mut rest = Vec::new();
        bus.read_to_end(&mut rest).await.unwrap();
        assert!(!rest.is_empty(), "and the bus sees the end of the connection");
    }
}
