//! Whose wish for the certificate of the workspace proxy counts, and what keeps it from being done.

use super::proxy_state::ProxyPair;
use crate::desired::{Desired, DesiredProxy, DesiredState};
use crate::enrol::{CheckinState, Secret};
use crate::policy::{Policy, Requester, SettingAct};
use crate::reconcile::{Why, WishSource, manager_held};

/// What is wished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyWish {
    /// Nothing: what is there stays.
    Nothing,
    /// This pair, by this source.
    Pair(WishSource, ProxyPair),
    /// It goes on when what holds it is lifted.
    Held(WishSource, Why),
    /// It is not done as long as it is wished so.
    Refused(WishSource, Why),
}

/// The wish that counts: a file of this host before the manager's document.
#[must_use]
pub fn proxy_wish(desired: &DesiredState, policy: &Policy, (checkin, is_locked): (CheckinState, bool)) -> ProxyWish {
    let local = &desired.local.wishes.proxy;
    if local.is_said() {
        return of_source(WishSource::Local, local);
    }
    let Some(document) = desired.manager.document().filter(|document| document.wishes.proxy.is_said()) else {
        return ProxyWish::Nothing;
    };
    if let Some(why) = manager_held(checkin, is_locked) {
        return ProxyWish::Held(WishSource::Manager, why);
    }
    let said = policy.explain_setting(SettingAct::Proxy, Requester::Manager);
    if !said.allowed {
        let message = format!("the local policy does not allow it: {} ({} in policy.toml)", said.why, said.rule);
        return ProxyWish::Refused(WishSource::Manager, Why::new("denied_by_local_policy", message));
    }
    of_source(WishSource::Manager, &document.wishes.proxy)
}

fn of_source(source: WishSource, of: &DesiredProxy) -> ProxyWish {
    let refused = |message: &str| ProxyWish::Refused(source, Why::new("unsupported_value", message));
    match (&of.cert, &of.key, &of.server_name) {
        (Desired::Unsupported(words), ..) | (_, Desired::Unsupported(words), _) | (.., Desired::Unsupported(words)) => {
            refused(words)
        }
        (Desired::Value(cert), Desired::Value(key), name) => {
            let server_name = match name {
                Desired::Value(name) => Some(name.clone()).filter(|name| !name.is_empty() && name != "None"),
                Desired::Absent | Desired::LocalDefault | Desired::Unsupported(_) => None,
            };
            let (cert_pem, key_pem) = (cert.as_str().to_owned(), Secret::new(key.as_str()));
            ProxyWish::Pair(source, ProxyPair { cert_pem, key_pem, server_name })
        }
        (Desired::Value(_), Desired::Absent | Desired::LocalDefault, _) => {
            refused("nginx_cert is there without nginx_key: both belong together")
        }
        (Desired::Absent | Desired::LocalDefault, Desired::Value(_), _) => {
            refused("nginx_key is there without nginx_cert: both belong together")
        }
        (Desired::Absent | Desired::LocalDefault, Desired::Absent | Desired::LocalDefault, _) => ProxyWish::Nothing,
    }
}
