//! What one hand serves: a closed list of verbs with a handler each. Whatever is not on it is refused by name.

use protocol::hand::{
    HELLO, Hand, HandRole, Hello, Introduction, NoReply, Verb, VerbDeadline, VerbKind, VerbOutcome, VerbReply,
};
use serde_json::value::{RawValue, to_raw_value};
use std::any::type_name;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::timeout;

/// Most characters of what a peer wrote that a refusal repeats.
const REPEATED_MAX_CHARS: usize = 200;

/// A handler at work; it resolves to the reply as JSON. Dropping it ends what it started.
type Work = Pin<Box<dyn Future<Output = Result<Box<RawValue>, serde_json::Error>> + Send>>;

/// Reads the arguments and starts the handler with its deadline.
type Start = Box<dyn Fn(&RawValue, Duration) -> Result<Work, serde_json::Error> + Send + Sync>;

/// The verbs of one hand, and what the hand reports about itself.
pub struct Registry {
    hand: HandRole,
    handlers: BTreeMap<&'static str, (VerbEntry, Start)>,
    degraded: Box<dyn Fn() -> Option<String> + Send + Sync>,
    child_hangs: Box<dyn Fn() -> bool + Send + Sync>,
}

/// One row of a registry, for people and for the test that compares it with the list in the documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerbEntry {
    /// [`Verb::NAME`].
    pub name: &'static str,
    /// The hand that serves it.
    pub hand: HandRole,
    /// [`Verb::KIND`].
    pub kind: VerbKind,
    /// The type of the request.
    pub request: String,
    /// The type of the reply.
    pub reply: String,
    /// [`Verb::DEADLINE`].
    pub deadline: VerbDeadline,
}

impl VerbEntry {
    fn of<V: Verb>() -> Self {
        Self {
            name: V::NAME,
            hand: V::Hand::ROLE,
            kind: V::KIND,
            request: without_modules(type_name::<V>()),
            reply: without_modules(type_name::<V::Reply>()),
            deadline: V::DEADLINE,
        }
    }
}

/// A type's name without the modules that lead to it: `Result<Holders, ActError>`.
fn without_modules(name: &str) -> String {
    let words = name.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
    words.map(|word| word.rsplit_once("::").map_or(word, |(_, last)| last)).collect()
}

/// Collects the handlers of the hand `H`. A verb of another hand does not compile.
pub struct RegistryBuilder<H> {
    registry: Registry,
    hand: PhantomData<H>,
}

impl<H: Hand> RegistryBuilder<H> {
    /// A registry without verbs. `degraded` shows why this process cannot do all of its work, where it cannot.
    #[must_use]
    pub fn new(degraded: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        let registry = Registry {
            hand: H::ROLE,
            handlers: BTreeMap::new(),
            degraded: Box::new(degraded),
            child_hangs: Box::new(|| false),
        };
        Self { registry, hand: PhantomData }
    }

    /// Serves a verb. The handler has its own deadline inside; the request's deadline ends it all the same. A second handler
    /// of the same verb replaces the first.
    #[must_use]
    pub fn serve<V, W>(mut self, handler: impl Fn(V) -> W + Send + Sync + 'static) -> Self
    where
        V: Verb<Hand = H>,
        W: Future<Output = V::Reply> + Send + 'static,
    {
        let start: Start = Box::new(move |args, within| {
            let verb: V = serde_json::from_str(args.get())?;
            let attempted = verb.attempted();
            let work = timeout(within, handler(verb));
            Ok(Box::pin(async move {
                let reply = work.await.unwrap_or_else(|_| {
                    let after_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
                    V::Reply::missing(attempted, H::ROLE, NoReply::HandlerGivenUp { after_ms })
                });
                to_raw_value(&reply)
            }))
        });
        self.registry.handlers.insert(V::NAME, (VerbEntry::of::<V>(), start));
        self
    }

    /// `child_hangs` is true while a child hangs in the kernel: the hand then stays, because no other process knows of that
    /// child.
    #[must_use]
    pub fn stays_while(mut self, child_hangs: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.registry.child_hangs = Box::new(child_hangs);
        self
    }

    /// The registry, closed.
    #[must_use]
    pub fn build(self) -> Registry {
        self.registry
    }
}

impl Registry {
    /// Which hand it is.
    #[must_use]
    pub const fn hand(&self) -> HandRole {
        self.hand
    }

    /// Every verb that the hand serves, by name.
    pub fn verbs(&self) -> impl Iterator<Item = &VerbEntry> {
        self.handlers.values().map(|(entry, _)| entry)
    }

    /// Why this process cannot do all of its work, where it cannot.
    #[must_use]
    pub fn degraded(&self) -> Option<String> {
        (self.degraded)()
    }

    /// True while a child hangs in the kernel.
    #[must_use]
    pub fn child_hangs(&self) -> bool {
        (self.child_hangs)()
    }

    /// Does what is asked, where this hand serves it, within the time.
    ///
    /// # Errors
    /// The reply has no form in JSON.
    pub async fn answer(
        &self,
        verb: &str,
        args: &RawValue,
        within: Duration,
    ) -> Result<VerbOutcome, serde_json::Error> {
        let hand = self.hand.name();
        let work = if verb == HELLO {
            serde_json::from_str(args.get()).map(|Hello {}| self.introduction())
        } else if let Some((_, start)) = self.handlers.get(verb) {
            start(args, within)
        } else {
            let served: Vec<&str> = self.handlers.keys().copied().collect();
            let (verb, served) = (bounded(verb), served.join(", "));
            let why = format!("the verb {verb:?} is not served by the {hand} hand (it serves {HELLO}, {served})");
            return Ok(VerbOutcome::Refused { why });
        };
        match work {
            Ok(work) => work.await.map(VerbOutcome::Reply),
            Err(fault) => {
                let why = format!("the {hand} hand cannot read the arguments of {verb}: {}", bounded(fault));
                Ok(VerbOutcome::Refused { why })
            }
        }
    }

    fn introduction(&self) -> Work {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let introduction = Introduction { hand: self.hand, version, degraded: self.degraded() };
        Box::pin(async move { to_raw_value(&introduction) })
    }
}

/// What a peer wrote, as much of it as a refusal repeats.
pub(crate) fn bounded(text: impl fmt::Display) -> String {
    text.to_string().chars().filter(|c| !c.is_control()).take(REPEATED_MAX_CHARS).collect()
}
