//! What the host is to managers now: alone, asking for an identity, or having one.

use crate::checkin::identity::{Credential, Identity, Pending};
use model::enrol::CheckinState;

/// One of three.
#[derive(Debug)]
pub(super) enum Life {
    /// Nobody is asked.
    Alone(CheckinState),
    /// An identity is asked for.
    Enrolling(Box<Pending>),
    /// There is an identity.
    Enrolled(Box<Identity>),
}

impl Life {
    /// The identity, if there is one.
    pub(super) const fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Enrolled(identity) => Some(identity),
            Self::Alone(_) | Self::Enrolling(_) => None,
        }
    }

    /// The identity, to be changed.
    pub(super) const fn identity_mut(&mut self) -> Option<&mut Identity> {
        match self {
            Self::Enrolled(identity) => Some(identity),
            Self::Alone(_) | Self::Enrolling(_) => None,
        }
    }

    /// The identity rests on a token that all hosts share.
    pub(super) fn is_shared(&self) -> bool {
        let last = self.identity().and_then(|i| i.credentials.last());
        matches!(last, Some(Credential::SharedToken { .. }))
    }
}
