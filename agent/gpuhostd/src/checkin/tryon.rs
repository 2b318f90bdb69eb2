//! A credential is tried on before it is adopted: a manager, or whatever is before it, may answer anything.

use crate::checkin::identity::Credential;
use crate::checkin::pem::certificates_of;
use model::doctor::validity;
use model::enrol::Secret;
use model::time::UnixMillis;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use wire::manager::enroll::{EnrollResponse, Given};

/// No chain of certificates is longer, in bytes: what is kept must be readable after a restart.
const CHAIN_MAX_BYTES: usize = 64 * 1024;

/// A credential that does not fit this host.
#[derive(Debug, thiserror::Error)]
pub(super) enum Misfit {
    /// The chain is no PEM, or none of it is a certificate.
    #[error("cert_chain_pem has no readable certificate")]
    NoChain,
    /// The chain is larger than anything sensible.
    #[error("cert_chain_pem is larger than {} KiB", CHAIN_MAX_BYTES / 1024)]
    TooLong,
    /// The certificate is for another key.
    #[error("the certificate does not match the key of its request")]
    OtherKey,
    /// It has ended, by the clock of this host.
    #[error("the credential expired {seconds} s ago by this host's clock; if the clock is wrong, set it")]
    Ended {
        /// How long ago.
        seconds: i64,
    },
    /// The answer is about another host.
    #[error("the answer is for server_id {theirs}, but this host is {ours}")]
    OtherHost {
        /// The id of the answer.
        theirs: String,
        /// Our id.
        ours: String,
    },
}

/// The credential of an answer, where it fits: `key_pem` is the key that was asked for, `ours` the id of this host where it has one
/// already, `wall` the clock of this host as well as it is known.
///
/// # Errors
/// It does not fit: the answer is to be treated as garbled, and nothing of it is kept.
pub(super) fn try_on(
    answer: &EnrollResponse,
    key_pem: &Secret,
    ours: Option<&str>,
    wall: UnixMillis,
) -> Result<Credential, Misfit> {
    if let Some(ours) = ours.filter(|ours| !ours.eq_ignore_ascii_case(&answer.server_id)) {
        return Err(Misfit::OtherHost { theirs: answer.server_id.clone(), ours: ours.to_owned() });
    }
    let until = answer.not_after;
    let credential = match &answer.given {
        Given::Secret(secret) => Credential::Secret { secret: secret.clone(), from: wall, until: Some(until) },
        Given::Certificate(chain) => certificate(chain, key_pem, wall, until)?,
    };
    let ends = credential.life().map_or(until, |(_, until)| until);
    if ends <= wall {
        return Err(Misfit::Ended { seconds: wall.0.saturating_sub(ends.0) / 1000 });
    }
    Ok(credential)
}

fn certificate(chain: &str, key_pem: &Secret, from: UnixMillis, until: UnixMillis) -> Result<Credential, Misfit> {
    if chain.len() > CHAIN_MAX_BYTES {
        return Err(Misfit::TooLong);
    }
    let chain_pem = certificates_of(chain);
    let ders = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let ders = ders.ok().filter(|ders| !ders.is_empty()).ok_or(Misfit::NoChain)?;
    if ders.iter().any(|one| validity::ends_at(one).is_none()) {
        return Err(Misfit::NoChain);
    }
    let own_end = ders.first().and_then(|leaf| validity::ends_at(leaf)).ok_or(Misfit::NoChain)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.expose().as_bytes()).map_err(|_| Misfit::OtherKey)?;
    let provider = rustls::crypto::ring::default_provider();
    let key = provider.key_provider.load_private_key(key).map_err(|_| Misfit::OtherKey)?;
    CertifiedKey::new(ders, key).keys_match().map_err(|fault| {
        let other = matches!(fault, rustls::Error::InconsistentKeys(_));
        if other { Misfit::OtherKey } else { Misfit::NoChain }
    })?;
    Ok(Credential::Certificate { chain_pem, key_pem: key_pem.clone(), from, until: Some(until.min(own_end)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkin::key::new_key;
    use crate::checkin::pem::{BEGIN, END};
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    const ID: &str = "5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7";
    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);
    const LATER: UnixMillis = UnixMillis(1_790_000_000_000 + 86_400_000);

    fn signed(key_pem: &Secret, years: std::ops::Range<i32>) -> String {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        params.self_signed(&KeyPair::from_pem(key_pem.expose()).unwrap()).unwrap().pem()
    }

    fn answer(given: Given, not_after: UnixMillis) -> EnrollResponse {
        EnrollResponse {
            server_id: ID.to_owned(),
            given,
            ca_bundle_pem: None,
            not_after,
            managers: Vec::new(),
            enabled: None,
        }
    }

    #[test]
    fn t32_what_fits_is_taken_with_the_earlier_of_its_two_ends() {
        let key = new_key().unwrap();
        let chain = format!("junk\n{}junk{}", signed(&key, 2020..2090), signed(&key, 2020..2091));
        for id in [None, Some(ID), Some(&*ID.to_uppercase())] {
            let taken = try_on(&answer(Given::Certificate(chain.clone()), LATER), &key, id, NOW).unwrap();
            let Credential::Certificate { chain_pem, until, .. } = taken else { panic!("{taken:?}") };
            assert_eq!((until, chain_pem.matches(BEGIN).count()), (Some(LATER), 2));
            assert!(!chain_pem.contains("junk"));
        }
        let far = UnixMillis(i64::MAX);
        let taken = try_on(&answer(Given::Certificate(chain), far), &key, None, NOW).unwrap();
        assert!(taken.life().unwrap().1 < far, "the certificate's own end does not count");
        assert!(try_on(&answer(Given::Secret(Secret::new("x")), LATER), &key, None, NOW).is_ok());
    }

    #[test]
    fn t32_what_does_not_fit_is_refused() {
        let (key, other) = (new_key().unwrap(), new_key().unwrap());
        let good = signed(&key, 2020..2090);
        let no = |given: Given, not_after| try_on(&answer(given, not_after), &key, None, NOW).unwrap_err();
        let chain = |text: &str| Given::Certificate(text.to_owned());
        assert!(matches!(no(chain(&signed(&other, 2020..2090)), LATER), Misfit::OtherKey));
        assert!(matches!(no(chain(&signed(&key, 2020..2021)), LATER), Misfit::Ended { .. }));
        assert!(matches!(no(chain(&good), NOW), Misfit::Ended { .. }));
        assert!(matches!(no(Given::Secret(Secret::new("x")), NOW), Misfit::Ended { .. }));
        assert!(matches!(no(chain(&good.repeat(1000)), LATER), Misfit::TooLong));
        let cut = good.split_at(good.len() / 2).0;
        let garbled = good.replace('M', "-");
        for text in [
            "",
            "CHAIN",
            "<html>login</html>",
            cut,
            &garbled,
            &format!("{BEGIN}\nAAAA\n{END}"),
            &good.replace(BEGIN, ""),
            &format!("{good}{BEGIN}\nAAAA\n{END}\n"),
        ] {
            assert!(matches!(no(chain(text), LATER), Misfit::NoChain), "{text}");
        }
        let theirs = try_on(&answer(chain(&good), LATER), &key, Some("6f2ae64e-fdb7-40c7-a94e-2da71ae54dc7"), NOW);
        assert!(matches!(theirs, Err(Misfit::OtherHost { .. })));
    }

    #[test]
    fn a_key_in_the_chain_is_not_taken_for_ours() {
        let (key, other) = (new_key().unwrap(), new_key().unwrap());
        let chain = format!("{}\n{}", other.expose(), signed(&key, 2020..2090));
        let taken = try_on(&answer(Given::Certificate(chain), LATER), &key, None, NOW).unwrap();
        let Credential::Certificate { chain_pem, .. } = taken else { panic!("{taken:?}") };
        assert!(!chain_pem.contains("PRIVATE KEY"));
    }
}
