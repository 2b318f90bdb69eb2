//! Answers for an act whether the policy allows it and on what terms, and which key shows it.

use super::Policy;
use crate::blocker::Blocker;
use crate::ids::PciAddress;
use serde::{Deserialize, Serialize};

/// What the policy bounds. A kind of change that is added gets its acts here, and their sections in [`Policy`].
#[derive(Debug, Clone, Hash, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Give a GPU to a virtual machine.
    PassthroughBind,
    /// Take a GPU back from a virtual machine.
    PassthroughRelease,
    /// Change how a GPU is cut into MIG devices.
    MigLayout,
    /// Switch MIG mode of a GPU.
    MigMode,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::PassthroughBind, Self::PassthroughRelease, Self::MigLayout, Self::MigMode];

    /// As it is in jobs, on the command line and in records.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::PassthroughBind => "passthrough-bind",
            Self::PassthroughRelease => "passthrough-release",
            Self::MigLayout => "mig-layout",
            Self::MigMode => "mig-mode",
        }
    }

    /// The act of that name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.code() == code)
    }
}

/// On what terms an act may be done: the part that all acts have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Whether it may be done, and which key shows it.
    pub allow: Explanation,
    /// How often in a minute, for each thing that is changed.
    pub changes_per_minute: u32,
    /// The longest time for which it can be made on trial, undone unless it is confirmed; `None` = it cannot.
    pub confirm_most_ms: Option<u64>,
}

/// The longest time for which a change can be made on trial: a day.
const CONFIRM_MOST_MS: u64 = 86_400_000;

/// What `[host]` reports about an act: the ceiling for everybody.
struct Ceiling<'a> {
    section: &'static str,
    allowed: bool,
    off: &'static str,
    never: &'a [PciAddress],
    never_why: &'static str,
    changes_per_minute: u32,
}

/// What `[manager]` reports about an act, under that ceiling.
struct Grant<'a> {
    key: &'static str,
    allowed: bool,
    off: &'static str,
    only_key: &'static str,
    only: &'a [PciAddress],
    only_why: &'static str,
}

/// Who asks, as far as the policy distinguishes them. Local users have passed polkit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requester {
    /// Somebody on this host.
    Local,
    /// A manager, from remote.
    Manager,
}

/// What the policy reports about one act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// It may be done, as far as the policy goes.
    pub allowed: bool,
    /// The key that decided.
    pub rule: String,
    /// What it states, in words.
    pub why: String,
}

impl Explanation {
    /// The blocker for what is not allowed.
    #[must_use]
    pub fn blocker(self) -> Option<Blocker> {
        (!self.allowed).then_some(Blocker::DeniedByPolicy { rule: self.rule, why: self.why })
    }
}

fn no(rule: &str, why: &str) -> Explanation {
    Explanation { allowed: false, rule: rule.to_owned(), why: why.to_owned() }
}

impl Policy {
    /// Whether an act on a GPU (`None` = on any) may be done, how often, and for how long on trial.
    #[must_use]
    pub fn terms(&self, act: Act, requester: Requester, gpu: Option<PciAddress>) -> Terms {
        Terms {
            allow: self.explain(act, requester, gpu),
            changes_per_minute: self.changes_per_minute(act, requester),
            confirm_most_ms: match act {
                Act::PassthroughBind | Act::MigLayout | Act::MigMode => Some(CONFIRM_MOST_MS),
                Act::PassthroughRelease => None,
            },
        }
    }

    /// What it reports about an act on a GPU (`None` = on any).
    ///
    /// Taking back is bounded less than giving away: the ceiling never keeps a GPU with a guest.
    #[must_use]
    pub fn explain(&self, act: Act, requester: Requester, gpu: Option<PciAddress>) -> Explanation {
        let is_bounded = match act {
            Act::PassthroughBind | Act::MigLayout | Act::MigMode => true,
            Act::PassthroughRelease => false,
        };
        let host = is_bounded.then(|| self.host_denies(act, gpu)).flatten();
        host.or_else(|| self.manager_denies(act, requester, gpu)).unwrap_or_else(|| Explanation {
            allowed: true,
            rule: match requester {
                Requester::Local => format!("{}.allowed", self.ceiling(act).section),
                Requester::Manager => self.grant(act).key.to_owned(),
            },
            why: "it is allowed".to_owned(),
        })
    }

    /// Changes of one thing in a minute for anyone who asks.
    #[must_use]
    pub fn changes_per_minute(&self, act: Act, requester: Requester) -> u32 {
        let ceiling = self.ceiling(act).changes_per_minute;
        match requester {
            Requester::Local => ceiling,
            Requester::Manager => ceiling.min(self.manager.changes_per_minute),
        }
    }

    fn ceiling(&self, act: Act) -> Ceiling<'_> {
        match act {
            Act::PassthroughBind | Act::PassthroughRelease => Ceiling {
                section: "host.passthrough",
                allowed: self.host.passthrough.allowed,
                off: "no GPU of this host may be given to a virtual machine",
                never: &self.host.passthrough.never,
                never_why: "this GPU is never given to a virtual machine",
                changes_per_minute: self.host.passthrough.changes_per_minute,
            },
            Act::MigLayout | Act::MigMode => Ceiling {
                section: "host.mig",
                allowed: self.host.mig.allowed,
                off: "MIG of no GPU of this host may be changed",
                never: &self.host.mig.never,
                never_why: "MIG of this GPU is never changed",
                changes_per_minute: self.host.mig.changes_per_minute,
            },
        }
    }

    fn grant(&self, act: Act) -> Grant<'_> {
        match act {
            Act::PassthroughBind | Act::PassthroughRelease => Grant {
                key: "manager.passthrough",
                allowed: self.manager.passthrough,
                off: "a manager may not give GPUs to virtual machines",
                only_key: "manager.passthrough_gpus",
                only: &self.manager.passthrough_gpus,
                only_why: "this GPU is not among those that a manager may give to virtual machines",
            },
            Act::MigLayout | Act::MigMode => Grant {
                key: "manager.mig",
                allowed: self.manager.mig,
                off: "a manager may not change MIG of GPUs",
                only_key: "manager.mig_gpus",
                only: &self.manager.mig_gpus,
                only_why: "this GPU is not among those whose MIG a manager may change",
            },
        }
    }

    fn host_denies(&self, act: Act, gpu: Option<PciAddress>) -> Option<Explanation> {
        let ceiling = self.ceiling(act);
        let key = |key: &str| format!("{}.{key}", ceiling.section);
        if !ceiling.allowed {
            return Some(no(&key("allowed"), ceiling.off));
        }
        if gpu.is_some_and(|address| ceiling.never.contains(&address)) {
            return Some(no(&key("never"), ceiling.never_why));
        }
        (ceiling.changes_per_minute == 0).then(|| no(&key("changes_per_minute"), "no change is allowed"))
    }

    fn manager_denies(&self, act: Act, requester: Requester, gpu: Option<PciAddress>) -> Option<Explanation> {
        match requester {
            Requester::Local => return None,
            Requester::Manager => {}
        }
        let grant = self.grant(act);
        if !grant.allowed {
            return Some(no(grant.key, grant.off));
        }
        let listed = |address| grant.only.is_empty() || grant.only.contains(&address);
        if !gpu.is_none_or(listed) {
            return Some(no(grant.only_key, grant.only_why));
        }
        (self.changes_per_minute(act, requester) == 0).then(|| no("manager.changes_per_minute", "no change is allowed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GPU: &str = "0000:41:00.0";

    fn policy(text: &str) -> Policy {
        super::super::read("policy.toml", text).unwrap()
    }

    fn rule(text: &str, act: Act, requester: Requester) -> (bool, String) {
        let said = policy(text).explain(act, requester, Some(GPU.parse().unwrap()));
        (said.allowed, said.rule)
    }

    #[test]
    fn each_key_decides() {
        let (bind, release) = (Act::PassthroughBind, Act::PassthroughRelease);
        let (local, manager) = (Requester::Local, Requester::Manager);
        let no = |key: &str| (false, key.to_owned());
        let yes = |key: &str| (true, key.to_owned());
        assert_eq!(rule("", bind, local), yes("host.passthrough.allowed"));
        assert_eq!(rule("", bind, manager), no("manager.passthrough"));
        assert_eq!(rule("", release, manager), no("manager.passthrough"));
        let off = "[host.passthrough]\nallowed = false\n[manager]\npassthrough = true\nchanges_per_minute = 1";
        assert_eq!(rule(off, bind, local), no("host.passthrough.allowed"));
        assert_eq!(rule(off, bind, manager), no("host.passthrough.allowed"), "the ceiling is for everybody");
        assert_eq!(rule(off, release, local), yes("host.passthrough.allowed"), "what was given can be taken back");
        let never = format!("[host.passthrough]\nnever = ['{GPU}']");
        assert_eq!(rule(&never, bind, local), no("host.passthrough.never"));
        let allowed = "[manager]\npassthrough = true\nchanges_per_minute = 1";
        assert_eq!(rule(allowed, bind, manager), yes("manager.passthrough"));
        assert_eq!(rule("[manager]\npassthrough = true", bind, manager), no("manager.changes_per_minute"));
        let other = "[manager]\npassthrough = true\npassthrough_gpus = ['0000:01:00.0']\nchanges_per_minute = 1";
        assert_eq!(rule(other, bind, manager), no("manager.passthrough_gpus"));
    }

    #[test]
    fn the_strictest_policy_allows_nothing_but_taking_back() {
        let strictest = Policy::strictest();
        for requester in [Requester::Local, Requester::Manager] {
            assert!(!strictest.explain(Act::PassthroughBind, requester, None).allowed);
        }
        assert!(strictest.explain(Act::PassthroughRelease, Requester::Local, None).allowed);
        assert!(!strictest.explain(Act::PassthroughRelease, Requester::Manager, None).allowed);
    }

    #[test]
    fn a_manager_never_has_more_changes_than_the_host_allows() {
        let both = policy("[host.passthrough]\nchanges_per_minute = 2\n[manager]\nchanges_per_minute = 5");
        assert_eq!(both.changes_per_minute(Act::PassthroughBind, Requester::Manager), 2);
        assert_eq!(both.changes_per_minute(Act::PassthroughBind, Requester::Local), 2);
    }
}
