//! Faults on the way to the manager: name, connection, certificate, clock, credential.

use super::doctor_facts::{DoctorFacts, ManagerSeen, Reach, TlsError};
use super::rule::{Check, Hit, Ruled, Severity, Skipped, hit_if, known, only_if};
use crate::checkin::skew;

pub(super) const CHECKS: [Check; 19] = [
    Check {
        code: "manager_name_unknown",
        severity: Severity::Error,
        why: "without the manager's address the host receives no commands and is considered dead",
        cure: "`getent hosts` with the name, `resolvectl status`; correct the name in /etc/gpuhostd/config.toml or the resolver",
        rule: |facts| {
            each(facts, |reach| match reach {
                Reach::NoName { said } => Some(said.clone()),
                Reach::Answered { .. } | Reach::NoConnection { .. } | Reach::Tls { .. } | Reach::NoAnswer { .. } => {
                    None
                }
            })
        },
    },
    Check {
        code: "manager_no_connection",
        severity: Severity::Error,
        why: "the manager cannot be reached over the network",
        cure: "`curl -v {}` from this host; look at routes, firewall and proxy (`systemctl edit gpuhostd`: HTTPS_PROXY)",
        rule: |facts| {
            each(facts, |reach| match reach {
                Reach::NoConnection { address, said } => Some(format!("{address}: {said}")),
                Reach::Answered { .. } | Reach::NoName { .. } | Reach::Tls { .. } | Reach::NoAnswer { .. } => None,
            })
        },
    },
    Check {
        code: "manager_certificate_expired",
        severity: Severity::Error,
        why: "the manager's certificate has expired: nothing is sent to it",
        cure: "renew it at the manager; `openssl s_client -connect HOST:PORT </dev/null | openssl x509 -noout -dates` shows it",
        rule: |facts| tls(facts, TlsError::Expired),
    },
    Check {
        code: "manager_certificate_not_yet_valid",
        severity: Severity::Error,
        why: "the manager's certificate is not valid yet: this host's clock is probably slow",
        cure: "`timedatectl`; set the clock: `systemctl enable --now systemd-timesyncd` or chrony",
        rule: |facts| tls(facts, TlsError::NotYetValid),
    },
    Check {
        code: "manager_certificate_untrusted",
        severity: Severity::Error,
        why: "the manager's certificate is not signed by an authority that this host trusts, or a proxy presents its own",
        cure: "set `manager.ca_file` to the manager's authority (or `manager.pin_sha256`), then `systemctl reload gpuhostd`",
        rule: |facts| tls(facts, TlsError::UnknownIssuer),
    },
    Check {
        code: "manager_certificate_wrong_name",
        severity: Severity::Error,
        why: "the certificate is for another name: it may be another machine",
        cure: "use the certificate's name in `manager.urls`, or give the manager a certificate with this one",
        rule: |facts| tls(facts, TlsError::WrongName),
    },
    Check {
        code: "manager_certificate_not_the_pinned",
        severity: Severity::Error,
        why: "the manager presents a certificate other than the pinned one: it was renewed, or the connection is intercepted",
        cure: "compare with the manager's own, then set the new `manager.pin_sha256` and `systemctl reload gpuhostd`",
        rule: |facts| tls(facts, TlsError::Pin),
    },
    Check {
        code: "manager_tls_fails",
        severity: Severity::Error,
        why: "no TLS connection to the manager can be made",
        cure: "`openssl s_client -connect HOST:PORT` shows what the manager offers; TLS 1.2 or 1.3 is needed",
        rule: |facts| tls(facts, TlsError::Other),
    },
    Check {
        code: "manager_does_not_answer",
        severity: Severity::Error,
        why: "something accepts the connection but does not answer like a manager",
        cure: "`curl -v {}`; check the port, and whether there is a proxy in between",
        rule: |facts| {
            each(facts, |reach| match reach {
                Reach::NoAnswer { said } => Some(said.clone()),
                Reach::Answered { status } if *status == 404 || *status >= 500 => Some(format!("HTTP status {status}")),
                Reach::Answered { .. } | Reach::NoName { .. } | Reach::NoConnection { .. } | Reach::Tls { .. } => None,
            })
        },
    },
    Check {
        code: "manager_certificate_ends_soon",
        severity: Severity::Warning,
        why: "the manager's certificate expires within two weeks; after that nothing is sent to it",
        cure: "renew it at the manager; where it is pinned, set the new pin before",
        rule: ends_soon,
    },
    Check {
        code: "clock_differs_from_manager",
        severity: Severity::Warning,
        why: "certificates, tokens and deadlines are evaluated wrongly if the clocks differ",
        cure: "`timedatectl`; `systemctl enable --now systemd-timesyncd` or chrony, here and at the manager",
        rule: clock_differs,
    },
    Check {
        code: "clock_not_synchronised",
        severity: Severity::Warning,
        why: "the clock drifts: sooner or later certificates and tokens are refused",
        cure: "`timedatectl set-ntp true`, or install chrony; `timedatectl timesync-status` shows the server",
        rule: not_synchronised,
    },
    Check {
        code: "credential_refused",
        severity: Severity::Error,
        why: "the manager refuses this host's credential: the host receives no commands",
        cure: "enrol again with a new token: `gpuhostctl enroll URL --token-file FILE`",
        rule: |facts| state(facts, "unauthenticated"),
    },
    Check {
        code: "host_deleted_at_manager",
        severity: Severity::Error,
        why: "the manager has removed this host",
        cure: "to bring it back: `gpuhostctl leave`, then `gpuhostctl enroll URL --token-file FILE`",
        rule: |facts| state(facts, "forgotten"),
    },
    Check {
        code: "identity_used_twice",
        severity: Severity::Error,
        why: "another host has this host's identity (a cloned disk?): both receive the commands of one",
        cure: "on the clone: `gpuhostctl leave`, then `gpuhostctl enroll URL --token-file FILE`",
        rule: |facts| state(facts, "duplicate_identity"),
    },
    Check {
        code: "daemon_too_old_for_manager",
        severity: Severity::Error,
        why: "the manager requires a newer gpuhostd",
        cure: "upgrade the package: `apt install --only-upgrade gpuhostd` or `dnf upgrade gpuhostd`",
        rule: |facts| state(facts, "upgrade_required"),
    },
    Check {
        code: "approval_pending",
        severity: Severity::Hint,
        why: "this host receives no work until it is approved at the manager",
        cure: "approve it at the manager",
        rule: |facts| state(facts, "pending_approval"),
    },
    Check {
        code: "credential_ends",
        severity: Severity::Warning,
        why: "the credential for the manager has expired or expires within three days, and was not renewed",
        cure: "`journalctl -u gpuhostd | grep -i renew` shows why; else enrol again: `gpuhostctl enroll URL --token-file FILE`",
        rule: credential_ends,
    },
    Check {
        code: "manager_not_verified",
        severity: Severity::Warning,
        why: "any certificate is trusted: anyone who can intercept the connection controls this host",
        cure: "remove `manager.insecure_skip_verify` from /etc/gpuhostd; set `ca_file` or `pin_sha256`; `systemctl reload \
               gpuhostd`",
        rule: insecure,
    },
];

const DAY_MS: i64 = 86_400_000;

/// The daemon itself is heard: what this process cannot do, it can, by another user, proxy or authority.
fn is_heard(facts: &DoctorFacts) -> bool {
    facts.service.daemon.known().is_some_and(|daemon| daemon.manager_state == "ok")
}

fn each(facts: &DoctorFacts, rule: impl Fn(&Reach) -> Option<String>) -> Ruled {
    if is_heard(facts) {
        return Ok(Vec::new());
    }
    let hit = |manager: &ManagerSeen| rule(&manager.reach).map(|found| Hit::of(&manager.url, found));
    Ok(facts.managers.iter().filter_map(hit).collect())
}

/// A certificate that was given at enrolment is judged by what only root may read.
fn tls(facts: &DoctorFacts, wanted: TlsError) -> Ruled {
    if is_heard(facts) {
        return Ok(Vec::new());
    }
    let refused = |manager: &&ManagerSeen| matches!(manager.reach, Reach::Tls { .. });
    if facts.managers.iter().filter(refused).any(|manager| !manager.trust_known) {
        return Err(Skipped::Unknown("how the manager's certificate is judged: no_permission".to_owned()));
    }
    each(facts, |reach| match reach {
        Reach::Tls { fault, said } if *fault == wanted => Some(said.clone()),
        Reach::Tls { .. }
        | Reach::Answered { .. }
        | Reach::NoName { .. }
        | Reach::NoConnection { .. }
        | Reach::NoAnswer { .. } => None,
    })
}

fn ends_soon(facts: &DoctorFacts) -> Ruled {
    let soon = facts.managers.iter().filter_map(|manager| {
        let left = manager.certificate_until.get()?.0.saturating_sub(facts.taken_at.0);
        let found = || format!("its certificate expires in {} days", left / DAY_MS);
        (0..14 * DAY_MS).contains(&left).then(|| Hit::of(&manager.url, found()))
    });
    Ok(soon.collect())
}

fn clock_differs(facts: &DoctorFacts) -> Ruled {
    let wrong = facts.managers.iter().filter_map(|manager| {
        let skew = manager.skew_ms.get().filter(|skew| skew::matters(*skew))?;
        Some(Hit::of(&manager.url, format!("its clock minus ours is {} s", skew / 1000)))
    });
    Ok(wrong.collect())
}

fn not_synchronised(facts: &DoctorFacts) -> Ruled {
    let synchronised = *known(&facts.service.clock_synchronised, "timedatectl")?;
    hit_if(!synchronised, || Hit::of("the system clock", "timedatectl reports NTPSynchronized=no"))
}

fn state(facts: &DoctorFacts, state: &str) -> Ruled {
    let daemon = known(&facts.service.daemon, "the daemon on the bus")?;
    let found = || daemon.manager_error.clone().unwrap_or_else(|| format!("the check-in is {}", daemon.manager_state));
    hit_if(daemon.manager_state == state, || Hit::of("the manager", found()))
}

fn credential_ends(facts: &DoctorFacts) -> Ruled {
    let left = known(&facts.service.credential_until, "the credential")?.0.saturating_sub(facts.taken_at.0);
    only_if(left < 3 * DAY_MS)?;
    let found = if left < 0 { "it has expired".to_owned() } else { format!("it expires in {} h", left / 3_600_000) };
    Ok(vec![Hit::of("the credential", found)])
}

fn insecure(facts: &DoctorFacts) -> Ruled {
    let insecure = *known(&facts.service.insecure, "the configuration")?;
    hit_if(insecure, || Hit::of("manager.insecure_skip_verify", "true"))
}
