//! Cases of the way to the manager.

use super::{Case, case, known};
use crate::world::NOW;
use model::absence::{Absence, Reading};
use model::doctor::doctor_facts::{DoctorFacts, ManagerSeen, Reach, TlsError};
use model::time::UnixMillis;

const DAY: i64 = 86_400_000;

/// The manager of a host whose daemon does not reach it either.
fn manager(facts: &mut DoctorFacts) -> &mut ManagerSeen {
    stands(facts, "unreachable");
    facts.managers.first_mut().unwrap()
}

fn refused(facts: &mut DoctorFacts, fault: TlsError) {
    manager(facts).reach = Reach::Tls { fault, said: "invalid peer certificate".to_owned() };
}

fn stands(facts: &mut DoctorFacts, state: &str) {
    known(&mut facts.service.daemon).manager_state = state.to_owned();
}

pub(super) fn cases() -> Vec<Case> {
    [way(), certificate(), clock(), standing()].into_iter().flatten().collect()
}

fn way() -> Vec<Case> {
    vec![
        case(
            "manager_name_unknown",
            |f| manager(f).reach = Reach::NoName { said: "Name or service not known".to_owned() },
            |f| f.managers.clear(),
        ),
        case(
            "manager_no_connection",
            |f| {
                let (address, said) = ("192.0.2.1:443".to_owned(), "Connection refused (os error 111)".to_owned());
                manager(f).reach = Reach::NoConnection { address, said };
            },
            |f| manager(f).reach = Reach::Answered { status: 401 },
        ),
        case(
            "manager_does_not_answer",
            |f| manager(f).reach = Reach::Answered { status: 502 },
            |f| manager(f).reach = Reach::Answered { status: 403 },
        ),
        case("manager_tls_fails", |f| refused(f, TlsError::Other), |f| refused(f, TlsError::Expired)),
    ]
}

fn certificate() -> Vec<Case> {
    vec![
        case("manager_certificate_expired", |f| refused(f, TlsError::Expired), |f| refused(f, TlsError::NotYetValid)),
        case(
            "manager_certificate_not_yet_valid",
            |f| refused(f, TlsError::NotYetValid),
            |f| refused(f, TlsError::Expired),
        ),
        case(
            "manager_certificate_untrusted",
            |f| refused(f, TlsError::UnknownIssuer),
            |f| refused(f, TlsError::WrongName),
        ),
        case("manager_certificate_wrong_name", |f| refused(f, TlsError::WrongName), |f| refused(f, TlsError::Pin)),
        case("manager_certificate_not_the_pinned", |f| refused(f, TlsError::Pin), |f| refused(f, TlsError::Other)),
        case(
            "manager_certificate_ends_soon",
            |f| manager(f).certificate_until = Reading::Known(UnixMillis(NOW + 13 * DAY)),
            |f| manager(f).certificate_until = Reading::Known(UnixMillis(NOW + 15 * DAY)),
        ),
        case(
            "manager_not_verified",
            |f| f.service.insecure = Reading::Known(true),
            |f| f.service.insecure = Reading::Absent(Absence::NotReported),
        ),
    ]
}

fn clock() -> Vec<Case> {
    vec![
        case(
            "clock_differs_from_manager",
            |f| manager(f).skew_ms = Reading::Known(-61_000),
            |f| manager(f).skew_ms = Reading::Known(59_000),
        ),
        case(
            "clock_not_synchronised",
            |f| f.service.clock_synchronised = Reading::Known(false),
            |f| f.service.clock_synchronised = Reading::Absent(Absence::None),
        ),
    ]
}

fn standing() -> Vec<Case> {
    vec![
        case("credential_refused", |f| stands(f, "unauthenticated"), |f| stands(f, "unreachable")),
        case("host_deleted_at_manager", |f| stands(f, "forgotten"), |f| stands(f, "not_enrolled")),
        case("identity_used_twice", |f| stands(f, "duplicate_identity"), |f| stands(f, "connecting")),
        case("daemon_too_old_for_manager", |f| stands(f, "upgrade_required"), |f| stands(f, "ok")),
        case("approval_pending", |f| stands(f, "pending_approval"), |f| stands(f, "not_enrolled")),
        case(
            "credential_ends",
            |f| f.service.credential_until = Reading::Known(UnixMillis(NOW + 2 * DAY)),
            |f| f.service.credential_until = Reading::Known(UnixMillis(NOW + 4 * DAY)),
        ),
    ]
}
