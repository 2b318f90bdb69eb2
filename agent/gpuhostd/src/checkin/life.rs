//! What the host is to managers now: alone, asking for an identity, or having one.

use crate::checkin::identity::{Credential, Identity, Pending};
use model::checkin::{Key, KeyId, Worth};
use model::enrol::CheckinState;

/// More credentials than this are never kept: the one that works, the newest one, and some between.
const MOST: usize = 4;

/// One of three.
#[derive(Debug)]
pub(super) enum Life {
    /// Nobody is asked.
    Alone(CheckinState),
    /// An identity is asked for.
    Enrolling(Box<Pending>),
    /// There is an identity.
    Enrolled(Box<Enrolled>),
}

/// An identity, and the names by which its credentials are spoken of while the daemon runs.
#[derive(Debug)]
pub(super) struct Enrolled {
    /// The identity as it is to be on disk.
    identity: Identity,
    names: Vec<(KeyId, Worth)>,
    next_name: u64,
}

impl Enrolled {
    /// An identity as it was kept: the first credential is the one that worked last; later ones of this host alone are tried, and
    /// later shared ones wait.
    pub(super) fn new(identity: Identity) -> Self {
        let mut enrolled = Self { identity, names: Vec::new(), next_name: 0 };
        for index in 0..enrolled.identity.credentials.len() {
            let worth = match enrolled.identity.credentials.get(index) {
                _ if index == 0 => Worth::Proven,
                Some(Credential::SharedToken { .. }) => Worth::Next,
                Some(Credential::Certificate { .. } | Credential::Secret { .. }) | None => Worth::Fresh,
            };
            let name = enrolled.name();
            enrolled.names.push((name, worth));
        }
        enrolled
    }

    fn name(&mut self) -> KeyId {
        self.next_name = self.next_name.saturating_add(1);
        KeyId(self.next_name)
    }

    /// The identity.
    pub(super) const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The identity, to change whatever is no credential of it.
    pub(super) const fn identity_mut(&mut self) -> &mut Identity {
        &mut self.identity
    }

    /// The credentials as decisions see them.
    pub(super) fn keys(&self) -> Vec<Key> {
        let key = |((id, worth), credential): (&(KeyId, Worth), &Credential)| Key {
            id: *id,
            until: credential.life().map(|(_, until)| until),
            worth: *worth,
            shared: matches!(credential, Credential::SharedToken { .. }),
        };
        self.names.iter().zip(&self.identity.credentials).map(key).collect()
    }

    /// The credential of that name; the newest one where it is gone.
    pub(super) fn credential(&self, id: KeyId) -> Option<&Credential> {
        let at = self.names.iter().position(|(name, _)| *name == id);
        at.and_then(|at| self.identity.credentials.get(at)).or(self.identity.credentials.last())
    }

    /// The newest credential.
    pub(super) fn newest(&self) -> Option<&Credential> {
        self.identity.credentials.last()
    }

    /// Adds a credential, unless it is there already. True where it is new.
    pub(super) fn add(&mut self, credential: Credential, worth: Worth) -> bool {
        if let Some(at) = self.identity.credentials.iter().position(|known| *known == credential) {
            if let Some((_, known)) =
                self.names.get_mut(at).filter(|(_, known)| *known == Worth::Next && worth == Worth::Fresh)
            {
                *known = worth;
            }
            return false;
        }
        if self.identity.credentials.len() >= MOST {
            // The first one is the one that works: whatever comes after it, it stays.
            self.identity.credentials.remove(1);
            self.names.remove(1);
        }
        self.identity.credentials.push(credential);
        let name = self.name();
        self.names.push((name, worth));
        true
    }

    /// These are of no use any more. True where there were any of them.
    pub(super) fn remove(&mut self, ids: &[KeyId]) -> bool {
        let before = self.names.len();
        let names = &self.names;
        let gone = |at: usize| names.get(at).is_some_and(|(name, _)| ids.contains(name));
        let mut at = 0;
        self.identity.credentials.retain(|_| {
            at += 1;
            !gone(at - 1)
        });
        self.names.retain(|(name, _)| !ids.contains(name));
        self.names.len() != before
    }

    /// The identity rests on a token that all hosts share.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.newest(), Some(Credential::SharedToken { .. }))
    }
}

impl Life {
    /// The identity, if there is one.
    pub(super) fn enrolled(&self) -> Option<&Enrolled> {
        match self {
            Self::Enrolled(enrolled) => Some(enrolled),
            Self::Alone(_) | Self::Enrolling(_) => None,
        }
    }

    /// The identity, to be changed.
    pub(super) fn enrolled_mut(&mut self) -> Option<&mut Enrolled> {
        match self {
            Self::Enrolled(enrolled) => Some(enrolled),
            Self::Alone(_) | Self::Enrolling(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkin::identity::{SCHEMA, Trust};
    use model::enrol::Secret;

    fn token(text: &str) -> Credential {
        Credential::SharedToken { token: Secret::new(text) }
    }

    fn enrolled(tokens: &[&str]) -> Enrolled {
        Enrolled::new(Identity {
            schema: SCHEMA,
            server_id: "id".into(),
            trust: Trust::default(),
            managers: Vec::new(),
            enrolled_with: Vec::new(),
            named: model::settings::HostNaming::default(),
            credentials: tokens.iter().map(|t| token(t)).collect(),
            next_key_pem: None,
            next_request: None,
            key_pem: None,
            token_file_sha256: None,
        })
    }

    #[test]
    fn a_next_token_waits_behind_and_older_ones_go_by_name() {
        let mut one = enrolled(&["a"]);
        assert!(one.add(token("b"), Worth::Next) && !one.add(token("b"), Worth::Next));
        let names: Vec<_> = one.keys().iter().map(|key| key.id).collect();
        assert_eq!(one.credential(names[1]), Some(&token("b")));
        assert!(one.remove(&names[..1]) && !one.remove(&names[..1]));
        assert_eq!(one.identity().credentials, [token("b")]);
        assert_eq!(one.keys().len(), 1);
        assert_eq!(one.credential(names[0]), Some(&token("b")), "one that is gone gives way to the newest");
    }

    #[test]
    fn a_manager_that_sends_tokens_without_end_neither_fills_the_disk_nor_pushes_out_the_one_that_works() {
        let mut one = enrolled(&["works"]);
        for n in 0..100 {
            one.add(token(&n.to_string()), Worth::Next);
        }
        assert_eq!(one.identity().credentials.len(), MOST);
        assert_eq!(one.identity().credentials.first(), Some(&token("works")));
        assert_eq!(one.newest(), Some(&token("99")));
        assert_eq!(one.keys().len(), MOST);
    }
}
