//! From the errors of the HTTP and TLS libraries to what went wrong, by their types and never by their words; and a sentence about
//! it that a person can act on.

use crate::checkin::tls::OtherCertificate;
use model::checkin::{CheckinError, FaultKind, OwnCertificate, TlsError};
use rustls::{AlertDescription, CertificateError, OtherError};
use std::error::Error;
use std::io::ErrorKind;

/// A request that was not answered, and whether an answer had begun.
#[derive(Debug)]
pub(super) struct Unanswered {
    /// What went wrong.
    pub(super) fault: CheckinError,
    /// The connection was lost before an answer began: on a connection that was used before, the other side may just have given
    /// it up as idle.
    pub(super) lost_before_answer: bool,
}

/// Something that could not even be sent.
pub(super) fn local(said: impl ToString) -> CheckinError {
    CheckinError { kind: FaultKind::Local, said: said.to_string() }
}

impl From<CheckinError> for Unanswered {
    fn from(fault: CheckinError) -> Self {
        Self { fault, lost_before_answer: false }
    }
}

/// How libraries begin what they wrap: it names a part of theirs and no cause.
const WRAPPERS: [&str; 3] =
    ["client error (", "request or response body error", "error reading a body from connection"];

/// What the causes of an error are, each at most once.
#[derive(Debug, Default)]
struct Causes<'a> {
    tls: Option<&'a rustls::Error>,
    io: Option<&'a std::io::Error>,
    http: Option<&'a hyper::Error>,
    words: Vec<String>,
}

impl<'a> Causes<'a> {
    fn of(fault: &'a reqwest::Error) -> Self {
        let mut causes = Self::default();
        let mut at: Option<&(dyn Error + 'static)> = fault.source();
        while let Some(cause) = at {
            causes.see(cause);
            at = cause.source();
        }
        causes
    }

    fn see(&mut self, cause: &'a (dyn Error + 'static)) {
        let tls = cause.downcast_ref::<rustls::Error>();
        let said = tls.and_then(in_other_words).unwrap_or_else(|| cause.to_string());
        // An io::Error shows what it wraps, which is looked at by itself.
        let is_wrapper = cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.get_ref().is_some())
            || WRAPPERS.iter().any(|wrapper| said.starts_with(wrapper));
        if !is_wrapper && !self.words.iter().any(|word| word.contains(&said)) {
            self.words.push(said);
        }
        if let Some(tls) = tls {
            self.tls = Some(tls);
        }
        if let Some(http) = cause.downcast_ref::<hyper::Error>() {
            self.http = Some(http);
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            self.io = Some(io);
            // An io::Error hides what it wraps from `source`, and may wrap another one.
            if let Some(inner) = io.get_ref() {
                self.see(inner);
            }
        }
    }

    fn is_lost(&self) -> bool {
        let lost = [
            ErrorKind::ConnectionReset,
            ErrorKind::ConnectionAborted,
            ErrorKind::BrokenPipe,
            ErrorKind::UnexpectedEof,
            ErrorKind::NotConnected,
        ];
        self.http.is_some_and(|http| http.is_incomplete_message() || http.is_closed() || http.is_canceled())
            || self.io.is_some_and(|io| lost.contains(&io.kind()))
    }

    fn is_out_of_reach(&self) -> bool {
        let unreachable = [
            ErrorKind::ConnectionRefused,
            ErrorKind::HostUnreachable,
            ErrorKind::NetworkUnreachable,
            ErrorKind::NetworkDown,
            ErrorKind::AddrNotAvailable,
        ];
        self.io.is_some_and(|io| unreachable.contains(&io.kind()))
    }
}

/// A fault that this agent has found in a certificate: TLS would show it as a value of its code.
fn in_other_words(error: &rustls::Error) -> Option<String> {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else { return None };
    Some(other.0.to_string())
}

/// What became of a request; `what` shows what was tried, `certificate` that a client certificate was shown, `sending` that no
/// answer had begun.
pub(super) fn of_reqwest(what: &str, fault: reqwest::Error, certificate: bool, sending: bool) -> Unanswered {
    let fault = fault.without_url();
    let causes = Causes::of(&fault);
    let kind = kind(&fault, &causes, certificate);
    let said = if fault.is_timeout() {
        if fault.is_connect() { "no connection before the deadline" } else { "no answer before the deadline" }
            .to_owned()
    } else if kind == FaultKind::Handshake && causes.is_lost() {
        "the connection was closed before TLS had begun".to_owned()
    } else if kind == FaultKind::Network && causes.is_lost() {
        let when = if sending { "before an answer came" } else { "in the middle of the answer" };
        format!("the connection was closed {when}")
    } else if causes.words.is_empty() {
        plain(&fault.to_string())
    } else {
        plain(&causes.words.join(": "))
    };
    let advice = causes.tls.and_then(about_the_protocol).unwrap_or_else(|| advice(kind));
    let lost_before_answer = sending && !fault.is_timeout() && !fault.is_connect() && causes.is_lost();
    Unanswered { fault: CheckinError { kind, said: format!("{what}: {said}{advice}") }, lost_before_answer }
}

fn kind(fault: &reqwest::Error, causes: &Causes<'_>, certificate: bool) -> FaultKind {
    if let Some(tls) = causes.tls {
        return of_tls(tls, certificate);
    }
    if fault.is_timeout() {
        return if fault.is_connect() { FaultKind::Connect } else { FaultKind::Timeout };
    }
    if fault.is_dns() {
        return FaultKind::Dns;
    }
    if causes.is_out_of_reach() {
        return FaultKind::Connect;
    }
    if fault.is_connect() {
        return FaultKind::Handshake;
    }
    if causes.is_lost() {
        return FaultKind::Network;
    }
    if causes.http.is_some_and(hyper::Error::is_parse) || fault.is_decode() {
        return FaultKind::Garbled;
    }
    FaultKind::Network
}

/// What a fault of TLS is: the manager's certificate, or this host's own.
fn of_tls(error: &rustls::Error, certificate: bool) -> FaultKind {
    use AlertDescription as Alert;
    if let rustls::Error::InvalidCertificate(why) = error {
        return FaultKind::Tls(certificate_fault(why));
    }
    if matches!(error, rustls::Error::InconsistentKeys(_) | rustls::Error::NoCertificatesPresented) {
        return FaultKind::Credential(OwnCertificate::Unusable);
    }
    let rustls::Error::AlertReceived(alert) = error else { return FaultKind::Tls(TlsError::Other) };
    let wanted = matches!(alert, Alert::CertificateRequired | Alert::NoCertificate);
    // Without a certificate of ours no other alert can be about it.
    let own = ALERTS.iter().find(|(about, _)| about == alert).filter(|_| certificate || wanted);
    own.map_or(FaultKind::Tls(TlsError::Other), |(_, own)| FaultKind::Credential(*own))
}

/// What a person can do where the other side speaks no TLS, or none that is taken.
fn about_the_protocol(error: &rustls::Error) -> Option<&'static str> {
    let is_old = matches!(
        error,
        rustls::Error::PeerIncompatible(_)
            | rustls::Error::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure)
    );
    let is_none = matches!(error, rustls::Error::InvalidMessage(_) | rustls::Error::PeerMisbehaved(_));
    (is_old.then_some("; the manager's TLS endpoint must offer TLS 1.2 or 1.3"))
        .or_else(|| is_none.then_some("; check the port: what answers there may not be a TLS endpoint"))
}

/// The alerts that are about the certificate of anyone who receives them.
const ALERTS: [(AlertDescription, OwnCertificate); 11] = [
    (AlertDescription::CertificateRequired, OwnCertificate::Wanted),
    (AlertDescription::NoCertificate, OwnCertificate::Wanted),
    (AlertDescription::CertificateExpired, OwnCertificate::Ended),
    (AlertDescription::CertificateRevoked, OwnCertificate::Revoked),
    (AlertDescription::UnknownCA, OwnCertificate::UnknownIssuer),
    (AlertDescription::BadCertificate, OwnCertificate::Refused),
    (AlertDescription::UnsupportedCertificate, OwnCertificate::Refused),
    (AlertDescription::CertificateUnknown, OwnCertificate::Refused),
    (AlertDescription::CertificateUnobtainable, OwnCertificate::Refused),
    (AlertDescription::AccessDenied, OwnCertificate::Refused),
    (AlertDescription::DecryptError, OwnCertificate::Refused),
];

/// Why a manager's certificate is refused.
fn certificate_fault(why: &CertificateError) -> TlsError {
    use CertificateError as Bad;
    // An authority that was made again under its old name has signed with another key.
    if matches!(why, Bad::UnknownIssuer | Bad::BadSignature) {
        return TlsError::UnknownIssuer;
    }
    if matches!(why, Bad::Expired | Bad::ExpiredContext { .. }) {
        return TlsError::Expired;
    }
    if matches!(why, Bad::NotValidYet | Bad::NotValidYetContext { .. }) {
        return TlsError::NotYetValid;
    }
    if matches!(why, Bad::NotValidForName | Bad::NotValidForNameContext { .. }) {
        return TlsError::WrongName;
    }
    if let Bad::Other(other) = why { other_fault(other) } else { TlsError::Other }
}

fn other_fault(other: &OtherError) -> TlsError {
    if other.0.is::<OtherCertificate>() {
        return TlsError::Pin;
    }
    // A self-signed certificate is its own authority, which rustls takes for none.
    match other.0.downcast_ref::<webpki::Error>() {
        Some(webpki::Error::CaUsedAsEndEntity) => TlsError::UnknownIssuer,
        Some(_) | None => TlsError::Other,
    }
}

/// Why TLS failed, and what the library reported about it; `None` where the fault is another one.
pub(super) fn tls_fault(fault: &reqwest::Error) -> Option<(TlsError, String)> {
    let causes = Causes::of(fault);
    let error = causes.tls?;
    let kind = match of_tls(error, true) {
        FaultKind::Tls(kind) => kind,
        FaultKind::Credential(_)
        | FaultKind::Dns
        | FaultKind::Connect
        | FaultKind::Handshake
        | FaultKind::Network
        | FaultKind::Timeout
        | FaultKind::Garbled
        | FaultKind::Local => TlsError::Other,
    };
    Some((kind, plain(&error.to_string())))
}

/// The innermost cause in words.
pub(super) fn innermost(fault: &reqwest::Error) -> String {
    plain(&Causes::of(fault).words.pop().unwrap_or_else(|| fault.to_string()))
}

/// Words of a library without the addresses of its manual.
fn plain(said: &str) -> String {
    let word = |word: &str| !word.contains("http://") && !word.contains("https://");
    let words: Vec<_> = said.split_whitespace().filter(|one| word(one)).collect();
    words.join(" ").trim_end_matches([':', ' ', ',', ';']).to_owned()
}

/// What a person can do about it.
const fn advice(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Tls(TlsError::UnknownIssuer) => {
            "; give the manager's authority (manager.ca_file, or --ca-file at enrolment), or for a self-signed manager pin its \
             certificate (manager.pin_sha256, or --pin-sha256 at enrolment)"
        }
        FaultKind::Tls(TlsError::Expired | TlsError::NotYetValid) => {
            "; renew the manager's certificate, or set this host's clock if it is wrong"
        }
        FaultKind::Tls(TlsError::WrongName) => "; use the name in the manager's certificate",
        FaultKind::Tls(TlsError::Pin) => {
            "; compare it with the manager's certificate: it was renewed, or the connection is intercepted"
        }
        FaultKind::Credential(OwnCertificate::Ended) => {
            "; the certificate of this host has expired; it requests a new one automatically"
        }
        FaultKind::Credential(OwnCertificate::Revoked) => "; the certificate of this host was revoked at the manager",
        FaultKind::Credential(OwnCertificate::UnknownIssuer) => {
            "; the manager's TLS endpoint does not trust the authority that signed this host's certificate"
        }
        FaultKind::Credential(OwnCertificate::Wanted) => "; the manager's TLS endpoint requires a client certificate",
        FaultKind::Credential(OwnCertificate::Refused) => {
            "; the manager's TLS endpoint refuses this host's certificate"
        }
        FaultKind::Credential(OwnCertificate::Unusable)
        | FaultKind::Tls(TlsError::Other)
        | FaultKind::Dns
        | FaultKind::Connect
        | FaultKind::Handshake
        | FaultKind::Network
        | FaultKind::Timeout
        | FaultKind::Garbled
        | FaultKind::Local => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn t33_an_alert_about_our_certificate_never_speaks_of_the_managers() {
        for alert in [
            AlertDescription::CertificateExpired,
            AlertDescription::CertificateRevoked,
            AlertDescription::CertificateUnknown,
            AlertDescription::UnknownCA,
            AlertDescription::BadCertificate,
            AlertDescription::CertificateRequired,
            AlertDescription::AccessDenied,
        ] {
            let kind = of_tls(&rustls::Error::AlertReceived(alert), true);
            assert!(matches!(kind, FaultKind::Credential(_)), "{alert:?} {kind:?}");
            assert!(!advice(kind).contains("renew the manager's certificate"), "{alert:?}: {}", advice(kind));
        }
        let expired = of_tls(&rustls::Error::InvalidCertificate(CertificateError::Expired), true);
        assert!(advice(expired).contains("renew the manager's certificate"));
        // Without a certificate of ours it cannot be about it.
        let none = of_tls(&rustls::Error::AlertReceived(AlertDescription::UnknownCA), false);
        assert_eq!(none, FaultKind::Tls(TlsError::Other));
    }

    #[test]
    fn faults_are_told_apart_by_their_type() {
        let other = |error: Arc<dyn Error + Send + Sync>| CertificateError::Other(OtherError(error));
        let rows = [
            (CertificateError::UnknownIssuer, TlsError::UnknownIssuer),
            (CertificateError::BadSignature, TlsError::UnknownIssuer),
            (CertificateError::NotValidYet, TlsError::NotYetValid),
            (CertificateError::NotValidForName, TlsError::WrongName),
            (other(Arc::new(webpki::Error::CaUsedAsEndEntity)), TlsError::UnknownIssuer),
            (other(Arc::new(webpki::Error::BadDer)), TlsError::Other),
            (other(Arc::new(OtherCertificate::new("ab", "cd"))), TlsError::Pin),
            (other(Arc::new(std::io::Error::other("CaUsedAsEndEntity is pinned"))), TlsError::Other),
            (CertificateError::Revoked, TlsError::Other),
        ];
        for (why, fault) in rows {
            assert_eq!(certificate_fault(&why), fault, "{why:?}");
        }
    }

    #[test]
    fn no_address_of_a_librarys_manual_is_repeated() {
        let said = "peer closed connection without sending TLS close_notify: \
                    https://docs.rs/rustls/latest/rustls/manual/_03_howto/index.html#unexpected-eof";
        assert_eq!(plain(said), "peer closed connection without sending TLS close_notify");
        assert_eq!(plain("see (http://x) for more"), "see for more");
    }
}
