//! Fair queueing of what the bus brings: a queue for each sender, of which the one that was served least comes first, so that a
//! sender that floods us waits behind itself and nobody else does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::OwnedFd;

/// All queues together hold so many bytes.
const ALL_BYTES: usize = 256 * 1024;
/// One sender's queue holds so many bytes: half of them, so that one sender alone cannot take the place of all others,
const SENDER_BYTES: usize = ALL_BYTES / 2;
/// and so many messages.
const SENDER_MESSAGES: usize = 256;
/// A message of this size is always taken from a sender that has nothing in its queue, whatever the others have in theirs. A call
/// of ours without a certificate in it is shorter.
const ALWAYS_BYTES: usize = 2048;
/// All queues together hold so many file descriptors. One method of ours takes one (`Enroll`).
const ALL_DESCRIPTORS: usize = 64;

/// A message as it came from the bus.
#[derive(Debug)]
pub(super) struct Unread {
    /// The whole message.
    pub(super) bytes: Vec<u8>,
    /// The descriptors that came with it.
    pub(super) descriptors: Vec<OwnedFd>,
}

#[derive(Debug, Default)]
struct SenderQueue {
    messages: VecDeque<Unread>,
    bytes: usize,
    turn: Turn,
}

/// When a sender is served: the smallest first.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    /// So many messages were served since its queue was last empty: none of a caller that waits for its answers.
    served: u64,
    /// Of equals, the one that has waited longest.
    since: u64,
}

/// The queues.
#[derive(Debug, Default)]
pub(super) struct FairQueue {
    /// No queue is empty.
    by_sender: BTreeMap<String, SenderQueue>,
    /// Each sender that has a queue, once.
    turns: BTreeSet<(Turn, String)>,
    /// Turns that were given out.
    count: u64,
    bytes: usize,
    descriptors: usize,
}

impl FairQueue {
    /// Puts a message at the end of its sender's queue, or gives it back where there is no room.
    pub(super) fn push(&mut self, sender: &str, message: Unread) -> Result<(), Unread> {
        if !self.has_room(sender, &message) {
            return Err(message);
        }
        self.push_trusted(sender, message);
        Ok(())
    }

    /// The same for the bus itself, which does not flood and whose word must not be lost.
    pub(super) fn push_trusted(&mut self, sender: &str, message: Unread) {
        self.bytes += message.bytes.len();
        self.descriptors += message.descriptors.len();
        self.count += 1;
        let count = self.count;
        let queue = self.by_sender.entry(sender.to_owned()).or_insert_with(|| {
            let turn = Turn { served: 0, since: count };
            self.turns.insert((turn, sender.to_owned()));
            SenderQueue { turn, ..SenderQueue::default() }
        });
        queue.bytes += message.bytes.len();
        queue.messages.push_back(message);
    }

    fn has_room(&self, sender: &str, message: &Unread) -> bool {
        if self.descriptors + message.descriptors.len() > ALL_DESCRIPTORS {
            return false;
        }
        let size = message.bytes.len();
        let Some(own) = self.by_sender.get(sender) else {
            return size <= ALWAYS_BYTES || self.bytes + size <= ALL_BYTES;
        };
        own.messages.len() < SENDER_MESSAGES && own.bytes + size <= SENDER_BYTES && self.bytes + size <= ALL_BYTES
    }

    /// The next message: the oldest of the sender whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Unread> {
        let (turn, sender) = self.turns.pop_first()?;
        let queue = self.by_sender.get_mut(&sender)?;
        let message = queue.messages.pop_front()?;
        queue.bytes -= message.bytes.len();
        if queue.messages.is_empty() {
            self.by_sender.remove(&sender);
        } else {
            self.count += 1;
            queue.turn = Turn { served: turn.served + 1, since: self.count };
            self.turns.insert((queue.turn, sender));
        }
        self.bytes -= message.bytes.len();
        self.descriptors -= message.descriptors.len();
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(size: usize) -> Unread {
        Unread { bytes: vec![0; size], descriptors: Vec::new() }
    }

    fn fill(queue: &mut FairQueue, sender: &str, size: usize) -> usize {
        (0..10_000).take_while(|_| queue.push(sender, message(size)).is_ok()).count()
    }

    #[test]
    fn who_floods_waits_behind_itself_and_nobody_else_does() {
        let mut queue = FairQueue::default();
        assert_eq!(fill(&mut queue, ":1.1", 200), SENDER_MESSAGES);
        assert_eq!(fill(&mut queue, ":1.2", 200), SENDER_MESSAGES);
        let next = |queue: &mut FairQueue| queue.pop().unwrap().bytes.len();
        assert!((0..4).all(|_| next(&mut queue) == 200));
        queue.push(":1.3", message(7)).unwrap();
        queue.push(":1.3", message(8)).unwrap();
        assert_eq!(next(&mut queue), 7, "it was not served yet");
        assert_eq!(next(&mut queue), 8, "the others were served more");
        let rest = std::iter::from_fn(|| queue.pop()).count();
        assert_eq!(rest, 2 * SENDER_MESSAGES - 4);
    }

    #[test]
    fn a_first_short_message_always_has_room_and_all_together_are_bounded() {
        let mut queue = FairQueue::default();
        for sender in 0..250 {
            fill(&mut queue, &format!(":1.{sender}"), 4096);
        }
        assert!(queue.bytes <= ALL_BYTES);
        assert!(queue.push(":2.0", message(4096)).is_err());
        queue.push(":2.0", message(ALWAYS_BYTES)).unwrap();
        assert!(queue.push(":2.0", message(1)).is_err());
    }

    #[test]
    fn what_was_taken_out_leaves_nothing_behind() {
        let mut queue = FairQueue::default();
        let device = std::fs::File::open("/dev/null").unwrap();
        let with = |count| Unread {
            bytes: vec![0; 100],
            descriptors: (0..count).map(|_| OwnedFd::from(device.try_clone().unwrap())).collect(),
        };
        queue.push(":1.1", with(ALL_DESCRIPTORS)).unwrap();
        assert!(queue.push(":1.2", with(1)).is_err(), "no more descriptors");
        queue.push(":1.2", with(0)).unwrap();
        while queue.pop().is_some() {}
        assert!(queue.by_sender.is_empty() && queue.turns.is_empty());
        assert_eq!((queue.bytes, queue.descriptors), (0, 0));
        queue.push(":1.1", with(1)).unwrap();
    }
}
