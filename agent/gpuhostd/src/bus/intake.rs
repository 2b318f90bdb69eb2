//! Reads the bus as fast as it writes, in a thread of its own, into a fair queue ([`FairQueue`]).
//!
//! What is not read stays in the one queue that the bus has for us, in which the call of an administrator comes after all that a
//! flood has left there, and which refuses everybody when it is full. So messages are taken in whatever else the daemon is doing,
//! and the queueing is ours. A message that is too long for anything that is reported here is ignored.

use super::failure::refusal;
use super::header::{FIXED_BYTES, Field, rest_bytes, text_field, wants_reply};
use super::limits::locked;
use super::queue::{FairQueue, Unread};
use futures_util::FutureExt;
use model::refusal::Refusal;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, Shutdown};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc};
use zbus::Message;
use zbus::connection::socket::ReadHalf;
use zbus::export::async_trait::async_trait;
use zbus::message::Type;

/// The longest message that is read. What we are sent are names, addresses, a certificate; zbus would take 128 MiB, of which
/// each byte can become thirty in memory.
const MESSAGE_MAX_BYTES: usize = 128 * 1024;
/// Descriptors in one message at most (the kernel's `SCM_MAX_FD`).
const DESCRIPTORS: usize = 253;
/// The sender of what the bus itself reports.
const THE_BUS: &str = "org.freedesktop.DBus";
/// So many answers to calls that had no room wait to be written; then nothing is read until there are fewer.
const REFUSALS: usize = 64;

/// What was read and is not served yet.
#[derive(Debug, Default)]
struct Inbox {
    held: Mutex<Held>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    queue: FairQueue,
    /// Why nothing comes any more.
    ended: Option<io::ErrorKind>,
}

impl Inbox {
    /// The next message.
    ///
    /// # Errors
    /// There will be none: the connection has ended.
    async fn next(&self) -> io::Result<Unread> {
        loop {
            let changed = self.changed.notified();
            {
                let mut held = locked(&self.held);
                if let Some(message) = held.queue.pop() {
                    return Ok(message);
                }
                if let Some(kind) = held.ended {
                    return Err(kind.into());
                }
            }
            changed.await;
        }
    }

    fn push(&self, sender: &str, message: Unread) -> Result<(), Unread> {
        let pushed = if sender == THE_BUS {
            locked(&self.held).queue.push_trusted(sender, message);
            Ok(())
        } else {
            locked(&self.held).queue.push(sender, message)
        };
        self.changed.notify_one();
        pushed
    }

    fn end(&self, kind: io::ErrorKind) {
        locked(&self.held).ended = Some(kind);
        self.changed.notify_one();
    }
}

/// The thread that reads; it ends, and with it the connection, when this is dropped.
#[derive(Debug)]
pub(super) struct Intake {
    stream: Arc<UnixStream>,
    inbox: Arc<Inbox>,
}

impl Intake {
    /// Starts to read. `begun` is what the handshake has read of the first message. The second value brings the answers to calls
    /// for which there was no room.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(stream: Arc<UnixStream>, begun: Unread) -> io::Result<(Self, mpsc::Receiver<Message>)> {
        let (refusals, refused) = mpsc::channel(REFUSALS);
        let intake = Self { stream: Arc::clone(&stream), inbox: Arc::default() };
        let reading = Reading { stream, inbox: Arc::clone(&intake.inbox), refusals };
        std::thread::Builder::new().name("bus-intake".to_owned()).spawn(move || reading.run(begun))?;
        Ok((intake, refused))
    }

    /// The next message to be served.
    ///
    /// # Errors
    /// The connection has ended.
    pub(super) async fn next(&self) -> io::Result<Unread> {
        self.inbox.next().await
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        // An error means that the connection has ended before.
        let _ended = rustix::net::shutdown(&*self.stream, Shutdown::Both);
    }
}

/// What the thread has.
struct Reading {
    stream: Arc<UnixStream>,
    inbox: Arc<Inbox>,
    refusals: mpsc::Sender<Message>,
}

impl Drop for Reading {
    /// Also where the thread panics: who waits for a message must not wait without end.
    fn drop(&mut self) {
        self.inbox.end(io::ErrorKind::UnexpectedEof);
    }
}

impl Reading {
    fn run(self, begun: Unread) {
        let mut begun = begun;
        loop {
            match self.one(begun) {
                Ok(()) => begun = Unread { bytes: Vec::new(), descriptors: Vec::new() },
                Err(fault) => {
                    tracing::debug!(error = %fault, "the bus closed its input");
                    return self.inbox.end(fault.kind());
                }
            }
        }
    }

    /// Reads one message to its end. What is read never goes beyond it, so that the descriptors that come with it are its own.
    fn one(&self, begun: Unread) -> io::Result<()> {
        let Unread { mut bytes, mut descriptors } = begun;
        self.fill(&mut bytes, FIXED_BYTES, &mut descriptors)?;
        let size = FIXED_BYTES + rest_bytes(&bytes).ok_or_else(no_message)?;
        if size > MESSAGE_MAX_BYTES {
            tracing::debug!(bytes = size, "a message that is too long was ignored");
            return self.pass_over(size - FIXED_BYTES);
        }
        bytes.reserve_exact(size - bytes.len());
        self.fill(&mut bytes, size, &mut descriptors)?;
        let sender = text_field(&bytes, Field::Sender).ok_or_else(no_message)?.to_owned();
        match self.inbox.push(&sender, Unread { bytes, descriptors }) {
            Ok(()) => Ok(()),
            Err(no_room) => self.refuse(no_room),
        }
    }

    /// Notifies a caller that waits for an answer that there will be none.
    fn refuse(&self, unread: Unread) -> io::Result<()> {
        if !wants_reply(&unread.bytes) {
            return Ok(());
        }
        let message = parsed(unread)?;
        if message.message_type() != Type::MethodCall {
            return Ok(());
        }
        let why = "too many calls of this caller are waiting; wait for answers before sending more".to_owned();
        let reply = refusal(&message.header(), Refusal::Busy { why }).map_err(io::Error::other)?;
        self.refusals.blocking_send(reply).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn fill(&self, bytes: &mut Vec<u8>, to: usize, descriptors: &mut Vec<OwnedFd>) -> io::Result<()> {
        let mut from = bytes.len();
        bytes.resize(to, 0);
        while from < to {
            let (count, more) = self.receive(bytes.get_mut(from..).unwrap_or_default())?;
            from += count;
            descriptors.extend(more);
        }
        Ok(())
    }

    fn pass_over(&self, mut left: usize) -> io::Result<()> {
        let mut scratch = [0; 64 * 1024];
        while left > 0 {
            let wanted = left.min(scratch.len());
            let (count, _closed) = self.receive(scratch.get_mut(..wanted).unwrap_or_default())?;
            left -= count;
        }
        Ok(())
    }

    /// At least one byte, as soon as there is one.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        loop {
            match receive(&self.stream, buffer) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {
                    let readable = PollFd::new(self.stream.as_fd(), PollFlags::POLLIN);
                    match poll(&mut [readable], PollTimeout::NONE) {
                        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                }
                done => return done,
            }
        }
    }
}

/// A message of which all bytes are here, read by zbus's own parser.
pub(super) fn parsed(unread: Unread) -> io::Result<Message> {
    let mut whole = Whole { unread, from: 0 };
    let parsed = whole.receive_message(0, &mut Vec::new(), &mut Vec::new()).now_or_never();
    parsed.ok_or(io::ErrorKind::WouldBlock)?.map_err(io::Error::other)
}

/// One message as a socket.
#[derive(Debug)]
struct Whole {
    unread: Unread,
    from: usize,
}

#[async_trait]
impl ReadHalf for Whole {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let rest = self.unread.bytes.get(self.from..).unwrap_or_default();
        let count = rest.iter().zip(buffer).map(|(from, to)| *to = *from).count();
        self.from += count;
        Ok((count, std::mem::take(&mut self.unread.descriptors)))
    }
}

fn no_message() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the bus sent bytes that are not a D-Bus message")
}

/// What is there now, with its descriptors.
pub(super) fn receive(stream: &UnixStream, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_caller_without_room_is_answered_and_the_end_is_seen() {
        let (ours, bus) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let stream = Arc::new(UnixStream::from_std(ours).unwrap());
        let nothing = Unread { bytes: Vec::new(), descriptors: Vec::new() };
        let (intake, mut refused) = Intake::start(stream, nothing).unwrap();
        let call = Message::method_call("/x", "X").sender(":1.7").build(&()).unwrap();
        let writing = std::thread::spawn(move || {
            use std::io::Write;
            let mut bus = bus;
            for _ in 0..300 {
                bus.write_all(call.data().bytes()).unwrap();
            }
        });
        // None is taken out of the queue before one did not fit into it.
        let answer = refused.recv().await.unwrap();
        assert_eq!(answer.header().error_name().unwrap().as_str(), "org.gpuhost.Agent1.Error.Busy");
        assert_eq!(answer.header().destination().unwrap().as_str(), ":1.7");
        let refusing = tokio::spawn(async move { while refused.recv().await.is_some() {} });
        writing.join().unwrap();
        while intake.next().await.is_ok() {}
        refusing.await.unwrap();
    }
}
