//! Trust in managers as it is shown, and as an administrator changes it: it is never left empty, and never falls open.

use crate::checkin::digest::sha256_hex;
use crate::checkin::identity::Trust;
use crate::checkin::pem::{BUNDLE_MAX_BYTES, authorities_of, each};
use model::checkin::Pins;
use model::checkin::pins::PINS_MAX;
use model::doctor::validity;
use model::manager_trust::{TrustChange, TrustKind, TrustSource, TrustedBy};
use model::refusal::Refusal;
use model::settings::ManagerSettings;

fn conflict(why: &str) -> Refusal {
    Refusal::Conflict { why: why.to_owned() }
}

/// The trust after a change.
///
/// # Errors
/// It would leave nothing to trust, it is no certificate, or the configuration decides.
pub(super) fn changed(trust: &Trust, settings: &ManagerSettings, change: &TrustChange) -> Result<Trust, Refusal> {
    let own = !trust.pins.is_empty() || trust.ca_pem.is_some();
    let configured = !settings.pin_sha256.is_empty() || settings.ca_file.is_some();
    match change {
        TrustChange::Remove(sha256) => removed(trust, sha256),
        TrustChange::AddAuthorities(_) | TrustChange::AddPin(_) if !own && configured => Err(conflict(
            "manager.ca_file or manager.pin_sha256 of the configuration decides which managers this host trusts; change it there",
        )),
        TrustChange::AddAuthorities(pem) => with_authorities(trust, pem),
        TrustChange::AddPin(pin) => with_pin(trust, pin),
    }
}

fn with_authorities(trust: &Trust, pem: &str) -> Result<Trust, Refusal> {
    if !trust.pins.is_empty() {
        return Err(conflict(
            "this host trusts the pinned certificate only, and an authority beside it would not count; add the new \
             certificate's SHA-256",
        ));
    }
    let why = "it has no CERTIFICATE block that can be read, or one that cannot be: expected the content of a PEM file";
    let no_authority = || Refusal::InvalidArgument { argument: "trust".to_owned(), why: why.to_owned() };
    let added = authorities_of(pem).ok_or_else(no_authority)?;
    let before = trust.ca_pem.as_deref().unwrap_or_default();
    let known: Vec<_> = each(before).into_iter().map(|(_, der)| der).collect();
    // One that was given at enrolment and is repeated here is no addition: a bundle without it retires it as before.
    let new: Vec<_> = each(&added).into_iter().filter(|(_, der)| !known.contains(der)).collect();
    let mut by_hand = trust.by_hand.clone();
    for sha256 in new.iter().map(|(_, der)| sha256_hex(der)) {
        if !by_hand.contains(&sha256) {
            by_hand.push(sha256);
        }
    }
    let blocks = new.into_iter().map(|(block, _)| block);
    let ca_pem = std::iter::once(before.to_owned()).chain(blocks).filter(|part| !part.is_empty());
    let ca_pem = ca_pem.collect::<Vec<_>>().join("\n");
    if ca_pem.len() > BUNDLE_MAX_BYTES {
        let why = format!(
            "the authorities that this host trusts would be larger than {} KiB together; remove those that are not \
             needed first: gpuhostctl trust show, then gpuhostctl trust remove",
            BUNDLE_MAX_BYTES / 1024
        );
        return Err(conflict(&why));
    }
    Ok(Trust { ca_pem: Some(ca_pem), by_hand, ..trust.clone() })
}

fn with_pin(trust: &Trust, pin: &str) -> Result<Trust, Refusal> {
    if trust.ca_pem.is_some() {
        return Err(conflict(
            "this host trusts authorities, and a pin would replace them; to pin a certificate: gpuhostctl leave, then \
             gpuhostctl enroll with --pin-sha256",
        ));
    }
    let mut pins = trust.pins.all().to_vec();
    if pins.iter().any(|known| known == pin) {
        return Ok(trust.clone());
    }
    if pins.len() >= PINS_MAX {
        return Err(conflict("two certificates are pinned already; remove one first: gpuhostctl trust show"));
    }
    pins.push(pin.to_owned());
    Ok(Trust { pins: Pins::given(pins), ..trust.clone() })
}

fn removed(trust: &Trust, sha256: &str) -> Result<Trust, Refusal> {
    let pins: Vec<_> = trust.pins.all().iter().filter(|pin| *pin != sha256).cloned().collect();
    let (given, added) = (without(trust.ca_pem.as_deref(), sha256), without(trust.added_ca_pem.as_deref(), sha256));
    let after = Trust {
        // Once none of the given ones is left, those that the manager added are what this host trusts.
        ca_pem: given.clone().or_else(|| added.clone().filter(|_| trust.ca_pem.is_some())),
        added_ca_pem: added.filter(|_| given.is_some() || trust.ca_pem.is_none()),
        pins: Pins::given(pins),
        by_hand: trust.by_hand.iter().filter(|known| *known != sha256).cloned().collect(),
        ..trust.clone()
    };
    if after == *trust {
        let what = "authority or pin of this host's enrolment with the SHA-256".to_owned();
        return Err(Refusal::NotFound { what, name: sha256.to_owned() });
    }
    let was_own = !trust.pins.is_empty() || trust.ca_pem.is_some();
    if was_own && after.pins.is_empty() && after.ca_pem.is_none() {
        return Err(conflict(
            "it is all that this host trusts; add another one first, or to begin again: gpuhostctl leave, then gpuhostctl enroll",
        ));
    }
    Ok(after)
}

/// The authorities but that one; `None` where none is left.
fn without(pem: Option<&str>, sha256: &str) -> Option<String> {
    let kept = each(pem?).into_iter().filter(|(_, der)| sha256_hex(der) != sha256).map(|(block, _)| block);
    Some(kept.collect::<Vec<_>>().join("\n")).filter(|kept| !kept.is_empty())
}

/// After this change a manager that was trusted may be so no more.
pub(super) fn may_lose(trust: &Trust, change: &TrustChange) -> bool {
    match change {
        TrustChange::Remove(_) => true,
        // The first one takes the place of the system's authorities.
        TrustChange::AddAuthorities(_) | TrustChange::AddPin(_) => trust.pins.is_empty() && trust.ca_pem.is_none(),
    }
}

/// The trust as it is shown.
pub(super) fn shown(trust: &Trust, settings: &ManagerSettings) -> Vec<TrustedBy> {
    let by = |kind, source| TrustedBy { kind, source, sha256: None, until: None, file: None };
    let pins = |pins: &Pins, source| -> Vec<TrustedBy> {
        let pin = |pin: &String| TrustedBy { sha256: Some(pin.clone()), ..by(TrustKind::Pin, source) };
        pins.all().iter().map(pin).collect()
    };
    let authorities = |pem: Option<&str>, source| -> Vec<TrustedBy> {
        let one = |(_, der): (String, Vec<u8>)| TrustedBy {
            sha256: Some(sha256_hex(&der)),
            until: validity::ends_at(&der),
            ..by(TrustKind::Authority, source)
        };
        each(pem.unwrap_or_default()).into_iter().map(one).collect()
    };
    let added = || authorities(trust.added_ca_pem.as_deref(), TrustSource::Manager);
    if !trust.pins.is_empty() {
        return pins(&trust.pins, TrustSource::Administrator);
    }
    if settings.insecure_skip_verify {
        return vec![by(TrustKind::Any, TrustSource::Configuration)];
    }
    if trust.ca_pem.is_some() {
        let given = authorities(trust.ca_pem.as_deref(), TrustSource::Administrator);
        let is_given = |one: &TrustedBy| given.iter().any(|other| other.sha256 == one.sha256);
        let more: Vec<_> = added().into_iter().filter(|one| !is_given(one)).collect();
        return given.into_iter().chain(more).collect();
    }
    if let Ok(configured) = settings.pin_sha256.normal()
        && !configured.is_empty()
    {
        return pins(&configured, TrustSource::Configuration);
    }
    match &settings.ca_file {
        Some(file) => {
            let file = TrustedBy { file: Some(file.clone()), ..by(TrustKind::Authority, TrustSource::Configuration) };
            std::iter::once(file).chain(added()).collect()
        }
        None => vec![by(TrustKind::System, TrustSource::Default)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    fn authority() -> (String, String) {
        let params = CertificateParams::new(Vec::new()).unwrap();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        (certificate.pem(), sha256_hex(certificate.der()))
    }

    fn digests(trust: &Trust) -> Vec<(TrustSource, String)> {
        let all = shown(trust, &ManagerSettings::default());
        all.into_iter().map(|one| (one.source, one.sha256.unwrap_or_default())).collect()
    }

    fn apply(trust: &Trust, change: TrustChange) -> Result<Trust, &'static str> {
        changed(trust, &ManagerSettings::default(), &change).map_err(|refusal| refusal.code())
    }

    #[test]
    fn authorities_are_added_and_removed_by_their_digest_and_the_last_one_stays() {
        let ((one, first), (two, second), (three, third)) = (authority(), authority(), authority());
        let trust = Trust { ca_pem: Some(one.clone()), added_ca_pem: Some(three), ..Trust::default() };
        let both = apply(&trust, TrustChange::AddAuthorities(format!("{two}{one}"))).unwrap();
        let by = |source, digest: &String| (source, digest.clone());
        let person = TrustSource::Administrator;
        let expected = [by(person, &first), by(person, &second), by(TrustSource::Manager, &third)];
        assert_eq!(digests(&both), expected);
        let without_given = apply(&both, TrustChange::Remove(first.clone())).unwrap();
        let without_given = apply(&without_given, TrustChange::Remove(second)).unwrap();
        assert_eq!(digests(&without_given), [by(person, &third)], "what the manager added is what is left");
        assert_eq!(apply(&without_given, TrustChange::Remove(third)), Err("conflict"));
        assert_eq!(apply(&without_given, TrustChange::Remove(first)), Err("not_found"));
        assert_eq!(apply(&trust, TrustChange::AddPin("ab".repeat(32))), Err("conflict"));
        assert_eq!(
            apply(&trust, TrustChange::AddAuthorities("-----BEGIN CERTIFICATE-----".to_owned())),
            Err("invalid_argument")
        );
    }

    #[test]
    fn what_an_administrator_added_stays_when_a_bundle_comes_without_it_until_it_is_removed() {
        let ((one, first), (two, second), (three, third)) = (authority(), authority(), authority());
        let trust = Trust { ca_pem: Some(one.clone()), ..Trust::default() };
        let both = apply(&trust, TrustChange::AddAuthorities(two.clone())).unwrap();
        assert!(!both.lacks_given_of(&one), "what was added by hand need not be in a bundle");
        assert!(both.lacks_given_of(&two) && both.lacks_given_of(&three));
        let person = TrustSource::Administrator;
        let moved = both.clone().by_bundle_alone(&three);
        assert_eq!(digests(&moved), [(person, third.clone()), (person, second.clone())]);
        assert_eq!(digests(&both.by_bundle_alone(&two)), [(person, second.clone())]);
        let moved = apply(&moved, TrustChange::Remove(second)).unwrap();
        assert!(moved.by_hand.is_empty());
        assert_eq!(digests(&moved.by_bundle_alone(&one)), [(person, first)]);
        assert_eq!(digests(&trust.by_bundle_alone(&three)), [(person, third)], "what was given at enrolment goes");
    }

    #[test]
    fn what_was_given_and_is_repeated_beside_an_addition_goes_when_a_bundle_comes_without_it() {
        let ((one, first), (two, second), (three, third)) = (authority(), authority(), authority());
        let trust = Trust { ca_pem: Some(one.clone()), ..Trust::default() };
        let both = apply(&trust, TrustChange::AddAuthorities(format!("{one}{two}"))).unwrap();
        assert_eq!(both.by_hand, std::slice::from_ref(&second));
        assert!(both.lacks_given_of(&two) && !both.lacks_given_of(&one));
        let person = TrustSource::Administrator;
        assert_eq!(digests(&both), [(person, first), (person, second.clone())]);
        assert_eq!(digests(&both.clone().by_bundle_alone(&two)), [(person, second.clone())]);
        assert_eq!(digests(&both.clone().by_bundle_alone(&three)), [(person, third), (person, second)]);
        let again = apply(&both, TrustChange::AddAuthorities(two)).unwrap();
        assert_eq!(again, both, "what was added by hand stays so when it is repeated");
    }

    #[test]
    fn the_authorities_together_stay_smaller_than_what_is_read_back() {
        let trust = |bytes| Trust { ca_pem: Some("#".repeat(bytes)), ..Trust::default() };
        let (one, _) = authority();
        let add =
            |bytes| changed(&trust(bytes), &ManagerSettings::default(), &TrustChange::AddAuthorities(one.clone()));
        assert!(add(200 * 1024).is_ok());
        let refused = add(256 * 1024).unwrap_err();
        assert!(refused.code() == "conflict" && refused.to_string().contains("larger than 256 KiB"), "{refused}");
    }

    #[test]
    fn two_pins_at_most_and_never_none() {
        let pin = |hex: &str| hex.repeat(32);
        let one = Trust { pins: Pins::given(vec![pin("ab")]), ..Trust::default() };
        let two = apply(&one, TrustChange::AddPin(pin("cd"))).unwrap();
        assert_eq!(apply(&two, TrustChange::AddPin(pin("cd"))).unwrap(), two);
        assert_eq!(apply(&two, TrustChange::AddPin(pin("ef"))), Err("conflict"));
        assert_eq!(apply(&two, TrustChange::AddAuthorities(authority().0)), Err("conflict"));
        let second = apply(&two, TrustChange::Remove(pin("ab"))).unwrap();
        assert_eq!(digests(&second), [(TrustSource::Administrator, pin("cd"))]);
        assert_eq!(apply(&second, TrustChange::Remove(pin("cd"))), Err("conflict"));
    }

    #[test]
    fn the_configuration_is_changed_in_its_file_and_the_systems_authorities_are_shown_as_that() {
        let settings = ManagerSettings { ca_file: Some("/etc/ca.pem".to_owned()), ..ManagerSettings::default() };
        let none = Trust::default();
        let refused = changed(&none, &settings, &TrustChange::AddAuthorities(authority().0)).unwrap_err();
        assert!(refused.to_string().contains("manager.ca_file"), "{refused}");
        assert_eq!(shown(&none, &settings)[0].file.as_deref(), Some("/etc/ca.pem"));
        let (added, digest) = authority();
        let beside = Trust { added_ca_pem: Some(added), ..Trust::default() };
        assert_eq!(shown(&beside, &settings).len(), 2);
        let alone = changed(&beside, &settings, &TrustChange::Remove(digest)).unwrap();
        assert_eq!(alone, none, "what the manager added can be removed");
        assert_eq!(shown(&none, &ManagerSettings::default())[0].kind, TrustKind::System);
        assert!(may_lose(&none, &TrustChange::AddPin("ab".repeat(32))));
    }
}
