//! Tokens and agents: who may enrol, under which id, and whether a credential is theirs. Pure; no clock, no files.

use crate::answer::{Code, Refused};
use crate::authority::sha256_hex;
use crate::options::EnrolToken;
use crate::record::Auth;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Certificates and secrets of an agent that are good at the same time: the present one and the one before.
const CREDENTIALS_KEPT: usize = 2;

/// Where an agent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Waits for an administrator.
    Pending,
    /// Let in.
    Approved,
    /// Deleted for good; its requests are answered 410.
    Deleted,
}

/// An agent, as the manager knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Its id.
    pub server_id: String,
    /// The name of its host, as it said itself.
    pub hostname: String,
    /// Where it stands.
    pub standing: Standing,
    /// SHA-256 of its public key; none where it has none (shared token).
    pub key_sha256: Option<String>,
    /// SHA-256 of its client certificates that are good, oldest first.
    pub certificates: Vec<String>,
    /// SHA-256 of its secrets that are good, oldest first.
    pub secrets: Vec<String>,
    /// The state of its inventory that the manager has seen; forgotten with the process, so that it is asked for again.
    #[serde(skip)]
    pub inventory_rev: Option<String>,
    /// The boot that it last reported from, and the `seq` of that report.
    #[serde(skip)]
    pub last_seen: Option<(String, u64)>,
    /// Boots that it reported from before: none of them may come back.
    #[serde(skip)]
    pub earlier_boots: Vec<String>,
    /// It asked for a new credential without a token, and waits for an administrator or was approved since.
    #[serde(default)]
    pub comes_back: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Token {
    expired: bool,
    pending_rounds: u32,
    /// SHA-256 of the public key that used it.
    used_by: Option<String>,
}

/// What an enrolment asks for.
pub(crate) struct Ask<'a> {
    /// The one-use token; none where a host comes back whose credential has ended.
    pub(crate) token: Option<&'a str>,
    /// Such a host is let in by its key alone.
    pub(crate) recovers_by_key: bool,
    /// SHA-256 of the public key.
    pub(crate) key_sha256: String,
    /// The id that an autoscaler gave the host.
    pub(crate) server_id: Option<String>,
    /// The name of the host.
    pub(crate) hostname: &'a str,
}

/// What becomes of an enrolment that is not refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Enrolled {
    /// In, under this id.
    As(String),
    /// Waits for an administrator, under this id.
    Pending(String),
}

/// What a heartbeat says of itself.
pub(crate) struct Beat<'a> {
    /// The boot that it comes from.
    pub(crate) boot_id: &'a str,
    /// Its number in that boot.
    pub(crate) seq: u64,
    /// The state of the inventory.
    pub(crate) inventory_rev: &'a str,
    /// The inventory is in it.
    pub(crate) has_inventory: bool,
}

/// Tokens and agents.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Agents {
    /// By the SHA-256 of the token: tokens and secrets themselves are not kept.
    tokens: BTreeMap<String, Token>,
    agents: BTreeMap<String, Agent>,
    /// SHA-256 of the shared tokens that are good.
    #[serde(default)]
    shared_tokens: Vec<String>,
}

impl Agents {
    /// Adds a one-use token; one that is already there is left as it is.
    pub(crate) fn add_token(&mut self, token: &EnrolToken) {
        let (expired, pending_rounds) = (token.expired, token.pending_rounds);
        self.tokens.entry(sha256_hex(token.token.as_bytes())).or_insert(Token {
            expired,
            pending_rounds,
            used_by: None,
        });
    }

    /// These are the shared tokens from now on.
    pub(crate) fn set_shared_tokens(&mut self, tokens: &[String]) {
        self.shared_tokens = tokens.iter().map(|token| sha256_hex(token.as_bytes())).collect();
    }

    /// All agents.
    pub(crate) fn list(&self) -> Vec<Agent> {
        self.agents.values().cloned().collect()
    }

    /// One agent.
    pub(crate) fn get_mut(&mut self, server_id: &str) -> Option<&mut Agent> {
        self.agents.get_mut(server_id)
    }

    /// Removes every trace of an agent; false where there was none.
    pub(crate) fn remove(&mut self, server_id: &str) -> bool {
        self.agents.remove(server_id).is_some()
    }

    /// Decides on an enrolment and remembers it.
    pub(crate) fn enrol(&mut self, ask: &Ask<'_>) -> Result<Enrolled, Refused> {
        let of_key = self.agents.values().find(|agent| agent.key_sha256.as_deref() == Some(&ask.key_sha256));
        let of_key = of_key.filter(|agent| agent.standing != Standing::Deleted).map(|agent| agent.server_id.clone());
        let Some(token) = ask.token else { return self.come_back(ask, of_key) };
        let token = self
            .tokens
            .get_mut(&sha256_hex(token.as_bytes()))
            .ok_or_else(|| Refused::new(Code::InvalidToken, "the enrolment token is not one of this manager's"))?;
        if token.expired {
            return Err(Refused::new(Code::TokenExpired, "the enrolment token has expired; ask for a new one"));
        }
        match &token.used_by {
            Some(key) if *key != ask.key_sha256 => {
                return Err(Refused::new(Code::EnrolUsed, "the enrolment token was already used with another key"));
            }
            Some(_) if of_key.is_none() => {
                return Err(Refused::new(Code::EnrolUsed, "the enrolment token was used by an agent that is gone"));
            }
            Some(_) | None => {}
        }
        let server_id = match (of_key, &ask.server_id) {
            (Some(known), Some(asked)) if known != *asked => {
                return Err(Refused::new(Code::Conflict, format!("this key is already enrolled as {known}")));
            }
            (Some(known), _) => known,
            (None, Some(asked)) => asked.clone(),
            (None, None) => Uuid::new_v4().to_string(),
        };
        let agent = self.agents.entry(server_id.clone()).or_insert_with(|| Agent::new(&server_id));
        if agent.key_sha256.as_ref().is_some_and(|key| *key != ask.key_sha256) && agent.standing != Standing::Deleted {
            let message = format!("server_id {server_id} is already enrolled with another key");
            return Err(Refused::new(Code::Conflict, message));
        }
        if agent.standing == Standing::Deleted {
            *agent = Agent::new(&server_id);
        }
        agent.hostname = ask.hostname.to_owned();
        agent.key_sha256 = Some(ask.key_sha256.clone());
        token.used_by = Some(ask.key_sha256.clone());
        if agent.standing == Standing::Pending && token.pending_rounds > 0 {
            token.pending_rounds = token.pending_rounds.saturating_sub(u32::from(token.pending_rounds != u32::MAX));
            return Ok(Enrolled::Pending(server_id));
        }
        agent.standing = Standing::Approved;
        Ok(Enrolled::As(server_id))
    }

    /// A host that was here before and has no token: known by its key, or by an administrator.
    fn come_back(&mut self, ask: &Ask<'_>, of_key: Option<String>) -> Result<Enrolled, Refused> {
        let asked = ask.server_id.clone().unwrap_or_default();
        let agent = self.agents.get_mut(&asked).ok_or_else(|| {
            Refused::new(
                Code::InvalidToken,
                "no enrolment token in the header Authorization, and no agent is known by this id",
            )
        })?;
        match agent.standing {
            Standing::Deleted => return Err(Refused::new(Code::AgentDeleted, format!("{asked} was deleted"))),
            Standing::Pending | Standing::Approved if of_key.as_ref() != Some(&asked) => {
                return Err(Refused::new(Code::Conflict, format!("{asked} is enrolled with another key")));
            }
            Standing::Approved if ask.recovers_by_key || agent.comes_back => {
                agent.comes_back = false;
                return Ok(Enrolled::As(asked));
            }
            Standing::Pending | Standing::Approved => {}
        }
        agent.standing = Standing::Pending;
        agent.comes_back = true;
        Ok(Enrolled::Pending(asked))
    }

    /// A credential was issued to an agent: the one before stays good, older ones do not.
    pub(crate) fn issued(&mut self, server_id: &str, key_sha256: &str, credential: &Credential) {
        if let Some(agent) = self.agents.get_mut(server_id) {
            agent.key_sha256 = Some(key_sha256.to_owned());
            let (list, hash) = match credential {
                Credential::Certificate { fingerprint } => (&mut agent.certificates, fingerprint.clone()),
                Credential::Secret(secret) => (&mut agent.secrets, sha256_hex(secret.as_bytes())),
            };
            list.push(hash);
            list.drain(..list.len().saturating_sub(CREDENTIALS_KEPT));
        }
    }

    /// Is this credential the one of this agent?
    pub(crate) fn authenticate(&self, auth: &Auth, server_id: &str) -> Result<(), Refused> {
        let agent = match auth {
            Auth::Nothing => return Err(Refused::new(Code::InvalidToken, "no client certificate and no bearer token")),
            Auth::Certificate { fingerprint } => self.agents.values().find(|a| a.certificates.contains(fingerprint)),
            Auth::Bearer(_) => self.agents.get(server_id),
        };
        let Some(agent) = agent else {
            return Err(if self.agents.contains_key(server_id) {
                Refused::new(Code::InvalidToken, format!("the client certificate is not one of {server_id}"))
            } else {
                Refused::new(Code::UnknownAgent, format!("no agent {server_id} is known here"))
            });
        };
        if let Auth::Bearer(secret) = auth
            && !agent.secrets.contains(&sha256_hex(secret.as_bytes()))
        {
            return Err(Refused::new(Code::InvalidToken, format!("the bearer token is not one of {server_id}")));
        }
        if agent.server_id != server_id {
            let message = format!("the client certificate is the one of {}, not of {server_id}", agent.server_id);
            return Err(Refused::new(Code::InvalidToken, message));
        }
        match agent.standing {
            Standing::Approved => Ok(()),
            Standing::Pending => {
                Err(Refused::new(Code::NotApproved, format!("{server_id} waits for an administrator")))
            }
            Standing::Deleted => Err(Refused::new(Code::AgentDeleted, format!("{server_id} was deleted"))),
        }
    }

    /// Is this the shared token? Then the agent is known from now on, whoever it is.
    pub(crate) fn authenticate_shared(&mut self, auth: &Auth, server_id: &str) -> Result<(), Refused> {
        let good = matches!(auth, Auth::Bearer(token) if self.shared_tokens.contains(&sha256_hex(token.as_bytes())));
        if !good {
            return Err(Refused::new(Code::InvalidToken, "agent token is not valid for this deployment"));
        }
        let agent = self.agents.entry(server_id.to_owned()).or_insert_with(|| Agent::new(server_id));
        match agent.standing {
            Standing::Deleted => Err(Refused::new(Code::AgentDeleted, format!("{server_id} was deleted"))),
            Standing::Pending | Standing::Approved => {
                agent.standing = Standing::Approved;
                Ok(())
            }
        }
    }

    /// Takes a heartbeat of an agent that was authenticated; says whether its inventory is wanted.
    ///
    /// `seq` rises within a boot, and a boot that is over does not come back: else two hosts have one identity.
    pub(crate) fn beat(&mut self, server_id: &str, hostname: Option<&str>, beat: &Beat<'_>) -> Result<bool, Refused> {
        let Some(agent) = self.agents.get_mut(server_id) else {
            return Err(Refused::new(Code::UnknownAgent, format!("no agent {server_id} is known here")));
        };
        let duplicate = |what: String| Refused::new(Code::DuplicateAgent, format!("{server_id}: {what}"));
        match &agent.last_seen {
            Some((boot, seq)) if boot == beat.boot_id && beat.seq <= *seq => {
                return Err(duplicate(format!("seq {} came after {seq} in the same boot", beat.seq)));
            }
            Some((boot, _)) if boot != beat.boot_id => {
                if agent.earlier_boots.iter().any(|earlier| earlier == beat.boot_id) {
                    return Err(duplicate(format!("boot {} reports again after {boot} did", beat.boot_id)));
                }
                agent.earlier_boots.push(boot.clone());
            }
            Some(_) | None => {}
        }
        agent.last_seen = Some((beat.boot_id.to_owned(), beat.seq));
        if let Some(hostname) = hostname {
            agent.hostname = hostname.to_owned();
        }
        if beat.has_inventory {
            agent.inventory_rev = Some(beat.inventory_rev.to_owned());
        }
        Ok(agent.inventory_rev.as_deref() != Some(beat.inventory_rev))
    }
}

/// A credential that was just issued.
pub(crate) enum Credential {
    /// A client certificate, by the SHA-256 of its DER form.
    Certificate {
        /// The hash, in hexadecimal digits.
        fingerprint: String,
    },
    /// A secret.
    Secret(String),
}

impl Agent {
    fn new(server_id: &str) -> Self {
        Self {
            server_id: server_id.to_owned(),
            hostname: String::new(),
            standing: Standing::Pending,
            key_sha256: None,
            certificates: Vec::new(),
            secrets: Vec::new(),
            inventory_rev: None,
            last_seen: None,
            earlier_boots: Vec::new(),
            comes_back: false,
        }
    }
}
