//! Says of an operation whether the policy allows it, and which key says so.

use super::Policy;
use crate::blocker::Blocker;
use crate::ids::PciAddress;
use serde::{Deserialize, Serialize};

/// Operations that the policy bounds.
#[derive(Debug, Clone, Hash, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Give a GPU to a virtual machine.
    PassthroughBind,
    /// Take a GPU back from a virtual machine.
    PassthroughRelease,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::PassthroughBind, Self::PassthroughRelease];

    /// As it stands in jobs, on the command line and in records.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::PassthroughBind => "passthrough-bind",
            Self::PassthroughRelease => "passthrough-release",
        }
    }

    /// The operation of that name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.code() == code)
    }
}

/// Who asks, as far as the policy tells them apart. Local users have passed polkit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requester {
    /// Somebody on this host.
    Local,
    /// A manager, from remote.
    Manager,
}

/// What the policy says of one operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// It may be done, as far as the policy goes.
    pub allowed: bool,
    /// The key that decided.
    pub rule: String,
    /// What it says, in words.
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
    /// What it says of an operation on a GPU (`None` = on any).
    ///
    /// Taking back is bounded less than giving away: the ceiling never keeps a GPU with a guest.
    #[must_use]
    pub fn explain(&self, operation: Operation, requester: Requester, gpu: Option<PciAddress>) -> Explanation {
        self.host_denies(operation, gpu).or_else(|| self.manager_denies(requester, gpu)).unwrap_or_else(|| {
            Explanation {
                allowed: true,
                rule: match requester {
                    Requester::Local => "host.passthrough.allowed".to_owned(),
                    Requester::Manager => "manager.passthrough".to_owned(),
                },
                why: "it is allowed".to_owned(),
            }
        })
    }

    fn host_denies(&self, operation: Operation, gpu: Option<PciAddress>) -> Option<Explanation> {
        match operation {
            Operation::PassthroughRelease => return None,
            Operation::PassthroughBind => {}
        }
        let host = &self.host.passthrough;
        if !host.allowed {
            return Some(no("host.passthrough.allowed", "no GPU of this host may be given to a virtual machine"));
        }
        if gpu.is_some_and(|address| host.never.contains(&address)) {
            return Some(no("host.passthrough.never", "this GPU is never given to a virtual machine"));
        }
        (host.changes_per_minute == 0).then(|| no("host.passthrough.changes_per_minute", "no change is allowed"))
    }

    fn manager_denies(&self, requester: Requester, gpu: Option<PciAddress>) -> Option<Explanation> {
        match requester {
            Requester::Local => return None,
            Requester::Manager => {}
        }
        let manager = &self.manager;
        if !manager.passthrough {
            return Some(no("manager.passthrough", "a manager may not give GPUs to virtual machines"));
        }
        let listed = |address| manager.passthrough_gpus.is_empty() || manager.passthrough_gpus.contains(&address);
        if !gpu.is_none_or(listed) {
            return Some(no(
                "manager.passthrough_gpus",
                "this GPU is not among those that a manager may give to virtual machines",
            ));
        }
        (self.changes_per_minute(requester) == 0).then(|| no("manager.changes_per_minute", "no change is allowed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GPU: &str = "0000:41:00.0";

    fn policy(text: &str) -> Policy {
        super::super::read("policy.toml", text).unwrap()
    }

    fn rule(text: &str, operation: Operation, requester: Requester) -> (bool, String) {
        let said = policy(text).explain(operation, requester, Some(GPU.parse().unwrap()));
        (said.allowed, said.rule)
    }

    #[test]
    fn each_key_decides() {
        let (bind, release) = (Operation::PassthroughBind, Operation::PassthroughRelease);
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
            assert!(!strictest.explain(Operation::PassthroughBind, requester, None).allowed);
        }
        assert!(strictest.explain(Operation::PassthroughRelease, Requester::Local, None).allowed);
        assert!(!strictest.explain(Operation::PassthroughRelease, Requester::Manager, None).allowed);
    }

    #[test]
    fn a_manager_never_has_more_changes_than_the_host_allows() {
        let both = policy("[host.passthrough]\nchanges_per_minute = 2\n[manager]\nchanges_per_minute = 5");
        assert_eq!(both.changes_per_minute(Requester::Manager), 2);
        assert_eq!(both.changes_per_minute(Requester::Local), 2);
    }
}
