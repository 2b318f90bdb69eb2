//! The state of each source: asked or to be asked, for whom, and until when it is waited for. It asks nobody itself.

use super::source::{ALL, Input, ObserverSource};
use model::time::BootMillis;
use std::collections::BTreeMap;
use tokio::sync::oneshot;
use tokio::task;

/// One source: the round under way, and whether another one is due.
#[derive(Debug, Default)]
struct Turn {
    running: Option<task::Id>,
    /// A further round is to begin, when the source that goes first has ended this round of its own.
    due: Option<u64>,
    /// Counts the rounds that have begun and that have ended.
    started: u64,
    ended: u64,
    /// When and with what the round under way, or the last one, was begun.
    begun: BootMillis,
    input: Input,
    /// When the round under way is waited for no longer, and whether that time is over.
    deadline: BootMillis,
    late: bool,
    /// When the round began whose answer is known.
    answered: Option<BootMillis>,
}

/// Somebody who waits for rounds to end.
struct Waiter {
    until: Vec<(ObserverSource, u64)>,
    done: oneshot::Sender<()>,
}

/// All sources.
#[derive(Default)]
pub(super) struct Rounds {
    turns: BTreeMap<ObserverSource, Turn>,
    waiters: Vec<Waiter>,
}

impl Rounds {
    fn turn(&mut self, source: ObserverSource) -> &mut Turn {
        self.turns.entry(source).or_default()
    }

    /// The round after which everything that was wanted so far has been asked.
    fn newest(&self, source: ObserverSource) -> u64 {
        self.turns.get(&source).map_or(0, |turn| turn.started + u64::from(turn.due.is_some()))
    }

    fn has_ended(&self, source: ObserverSource, round: u64) -> bool {
        round == 0 || self.turns.get(&source).is_some_and(|turn| turn.late || turn.ended >= round)
    }

    /// A round of each of these is to begin. All who want one before it has begun share it.
    pub(super) fn want(&mut self, sources: impl IntoIterator<Item = ObserverSource>) {
        let wanted: Vec<ObserverSource> = sources.into_iter().collect();
        // In the order of the table: a source that goes first is due before the one that waits for it.
        for source in ALL.iter().copied().filter(|source| wanted.contains(source)) {
            let first = source.row().after.map_or(0, |first| self.newest(first));
            self.turn(source).due.get_or_insert(first);
        }
    }

    /// The sources whose round can begin now.
    pub(super) fn ready(&self) -> Vec<ObserverSource> {
        let can_begin = |source: &ObserverSource| {
            let turn = self.turns.get(source).filter(|turn| turn.running.is_none());
            let round = turn.and_then(|turn| turn.due);
            round.is_some_and(|round| source.row().after.is_none_or(|first| self.has_ended(first, round)))
        };
        ALL.iter().copied().filter(can_begin).collect()
    }

    /// A round has begun, in this task; it is waited for until `deadline`.
    pub(super) fn begin(
        &mut self,
        source: ObserverSource,
        task: task::Id,
        input: Input,
        (now, deadline): (BootMillis, BootMillis),
    ) {
        let turn = self.turn(source);
        turn.started += 1;
        (turn.running, turn.due, turn.late) = (Some(task), None, false);
        (turn.begun, turn.deadline, turn.input) = (now, deadline, input);
    }

    /// The round of this task has ended, with an answer or without one.
    pub(super) fn end(&mut self, task: task::Id, with_answer: bool) -> Option<ObserverSource> {
        let (source, turn) = self.turns.iter_mut().find(|(_, turn)| turn.running == Some(task))?;
        (turn.running, turn.late) = (None, false);
        turn.ended += 1;
        if with_answer {
            turn.answered = Some(turn.begun);
        }
        Some(*source)
    }

    /// The rounds that have missed their deadline just now, with its length in milliseconds. Each goes on, is not doubled, and
    /// keeps nobody any more.
    pub(super) fn overdue(&mut self, now: BootMillis) -> Vec<(ObserverSource, u64)> {
        let is_over = |turn: &Turn| turn.running.is_some() && !turn.late && now >= turn.deadline;
        let over = self.turns.iter_mut().filter(|(_, turn)| is_over(turn));
        over.map(|(source, turn)| {
            turn.late = true;
            (*source, turn.deadline.since(turn.begun))
        })
        .collect()
    }

    /// When the next round will miss its deadline.
    pub(super) fn next_deadline(&self) -> Option<BootMillis> {
        self.turns.values().filter(|turn| turn.running.is_some() && !turn.late).map(|turn| turn.deadline).min()
    }

    /// A round is under way.
    pub(super) fn is_running(&self, source: ObserverSource) -> bool {
        self.turns.get(&source).is_some_and(|turn| turn.running.is_some())
    }

    /// A round has begun at some time.
    pub(super) fn was_asked(&self, source: ObserverSource) -> bool {
        self.turns.get(&source).is_some_and(|turn| turn.started > 0)
    }

    /// When the round began whose answer is known; `None` before the first answer.
    pub(super) fn answered(&self, source: ObserverSource) -> Option<BootMillis> {
        self.turns.get(&source)?.answered
    }

    /// The source was last asked with this.
    pub(super) fn was_asked_with(&self, source: ObserverSource, input: &Input) -> bool {
        self.turns.get(&source).map_or(*input == Input::Nothing, |turn| turn.input == *input)
    }

    /// Answers when the rounds of these that are under way or due have ended, or have missed their deadline.
    pub(super) fn wait(&mut self, sources: impl IntoIterator<Item = ObserverSource>, done: oneshot::Sender<()>) {
        let until = sources.into_iter().map(|source| (source, self.newest(source))).collect();
        self.waiters.push(Waiter { until, done });
    }

    /// How many wait and still listen.
    pub(super) fn waiting(&mut self) -> usize {
        self.waiters.retain(|waiter| !waiter.done.is_closed());
        self.waiters.len()
    }

    /// Answers all for whom there is nothing left to wait for.
    pub(super) fn release(&mut self) {
        let waiters = std::mem::take(&mut self.waiters);
        let reached = |waiter: &Waiter| waiter.until.iter().all(|(source, round)| self.has_ended(*source, *round));
        let (ready, waiting): (Vec<Waiter>, Vec<Waiter>) = waiters.into_iter().partition(reached);
        self.waiters = waiting;
        ready.into_iter().for_each(|waiter| {
            let _gone = waiter.done.send(());
        });
    }
}
