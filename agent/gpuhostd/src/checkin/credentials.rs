//! The credentials of an identity: the oldest first; one that has worked makes the older ones go.

use crate::checkin::identity::{Credential, Identity};

/// More than this many are never kept: the one in use, the next one, and one from the file.
const MOST: usize = 4;

/// Adds a credential, unless it is there already; says where it stands.
pub(super) fn add(identity: &mut Identity, credential: Credential) -> usize {
    if let Some(at) = identity.credentials.iter().position(|c| *c == credential) {
        return at;
    }
    if identity.credentials.len() >= MOST {
        identity.credentials.remove(0);
    }
    identity.credentials.push(credential);
    identity.credentials.len() - 1
}

/// The credential at `index` has worked: the older ones go. True where there were any.
pub(super) fn settle(identity: &mut Identity, index: usize) -> bool {
    let older = index.min(identity.credentials.len().saturating_sub(1));
    identity.credentials.drain(..older);
    older > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkin::identity::{SCHEMA, Trust};
    use model::enrol::Secret;

    fn token(text: &str) -> Credential {
        Credential::SharedToken { token: Secret::new(text) }
    }

    fn identity(tokens: &[&str]) -> Identity {
        Identity {
            schema: SCHEMA,
            server_id: "id".into(),
            trust: Trust::default(),
            managers: Vec::new(),
            credentials: tokens.iter().map(|t| token(t)).collect(),
            next_key_pem: None,
        }
    }

    #[test]
    fn a_next_token_waits_behind_and_the_one_that_works_makes_the_older_go() {
        let mut one = identity(&["a"]);
        assert_eq!(add(&mut one, token("b")), 1);
        assert_eq!(add(&mut one, token("b")), 1);
        assert!(!settle(&mut one, 0));
        assert_eq!(one.credentials.len(), 2);
        assert!(settle(&mut one, 1));
        assert_eq!(one.credentials, [token("b")]);
    }

    #[test]
    fn a_manager_that_sends_tokens_without_end_does_not_fill_the_disk() {
        let mut one = identity(&["a"]);
        for n in 0..100 {
            add(&mut one, token(&n.to_string()));
        }
        assert_eq!(one.credentials.len(), MOST);
        assert_eq!(one.credentials.last(), Some(&token("99")));
    }
}
