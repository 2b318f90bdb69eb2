//! What this host is by its files: read at the start, after a reload, and again while they cannot be used.

use crate::checkin::identity::{Credential, Forgotten, Identity, LastReply, Pending, SCHEMA, Trust};
use crate::checkin::key;
use crate::checkin::machine_id;
use crate::checkin::store::{IdentityError, IdentityStore};
use model::checkin::ManagerAddress;
use model::enrol::Secret;
use model::settings::{HostNaming, ManagerSettings};
use std::sync::Arc;

/// What the files say.
#[derive(Debug)]
pub(super) enum WakeBack {
    /// There is an identity.
    Enrolled(Box<Identity>, Option<Box<LastReply>>),
    /// An enrolment goes on.
    Enrolling(Box<Pending>),
    /// A manager has deleted this host.
    Forgotten(Box<Forgotten>),
    /// Nothing is kept.
    Nothing,
    /// They cannot be used.
    Unusable(IdentityError),
}

/// Reads them.
pub(super) async fn wake(store: IdentityStore) -> WakeBack {
    read(&store).await.unwrap_or_else(WakeBack::Unusable)
}

async fn read(store: &IdentityStore) -> Result<WakeBack, IdentityError> {
    if store.finish_leaving().await? {
        tracing::info!("this host was interrupted while it left its manager; its credential is wiped now");
    }
    if let Some(identity) = store.identity().await? {
        let reply = store.last_reply(&identity.server_id).await;
        return Ok(WakeBack::Enrolled(Box::new(identity), reply.map(Box::new)));
    }
    if let Some(pending) = store.pending().await?.filter(|pending| pending.waiting) {
        return Ok(WakeBack::Enrolling(Box::new(pending)));
    }
    Ok(store.forgotten().await?.map_or(WakeBack::Nothing, |forgotten| WakeBack::Forgotten(Box::new(forgotten))))
}

/// What begins with a token of a file. It is on disk.
#[derive(Debug)]
pub(super) enum Prepared {
    /// An identity that rests on a token that all hosts share.
    Shared(Box<Identity>),
    /// An enrolment.
    Enrolment(Box<Pending>),
}

/// Makes ready what begins with a token of a file, with the managers of the configuration.
pub(super) async fn prepare(
    store: IdentityStore,
    settings: Arc<ManagerSettings>,
    managers: Vec<ManagerAddress>,
    token: Secret,
    sha256: String,
) -> Result<Prepared, String> {
    store.finish_leaving().await.map_err(|fault| format!("the last leaving is not finished: {fault}"))?;
    if settings.shared_token_file.is_some() {
        let identity = shared_identity(&settings, managers, token, Trust::default()).await?;
        let identity = Identity { token_file_sha256: Some(sha256), ..identity };
        store.keep(&identity).await.map_err(|fault| fault.to_string())?;
        return Ok(Prepared::Shared(Box::new(identity)));
    }
    let own = (None, &HostNaming::default());
    let pending = new_pending(&store, own, managers, token, Trust::default()).await?;
    let pending = Pending { waiting: true, follows_file: true, ..pending };
    store.keep_pending(&pending).await.map_err(|fault| fault.to_string())?;
    Ok(Prepared::Enrolment(Box::new(pending)))
}

/// An identity that rests on a token that all hosts share: its id is the configured one, else the machine's.
pub(super) async fn shared_identity(
    settings: &ManagerSettings,
    managers: Vec<ManagerAddress>,
    token: Secret,
    trust: Trust,
) -> Result<Identity, String> {
    let server_id = match settings.server_id.as_deref() {
        Some(id) => id.to_owned(),
        None => this_machine().await?.to_string(),
    };
    Ok(Identity {
        schema: SCHEMA,
        server_id,
        trust,
        enrolled_with: managers.clone(),
        managers,
        named: HostNaming::default(),
        credentials: vec![Credential::SharedToken { token }],
        next_key_pem: None,
        next_request: None,
        key_pem: None,
        token_file_sha256: None,
    })
}

/// An enrolment with the key of an earlier try, or with a key of this host's own, or with a new one.
pub(super) async fn new_pending(
    store: &IdentityStore,
    (own, named): (Option<Secret>, &HostNaming),
    managers: Vec<ManagerAddress>,
    token: Secret,
    trust: Trust,
) -> Result<Pending, String> {
    let kept = store.pending().await.ok().flatten();
    let key_pem = match own.or_else(|| kept.as_ref().map(|kept| kept.key_pem.clone())) {
        Some(key) => key,
        None => key::new_key().map_err(|fault| fault.to_string())?,
    };
    // The same wish comes with the same request, also after a restart.
    let is_same = |kept: &Pending| kept.token == token && kept.managers == managers && kept.key_pem == key_pem;
    let again = kept.filter(|kept| is_same(kept) && kept.named == *named);
    let (request_id, csr_pem) = again.map_or((None, None), |kept| (Some(kept.request_id), kept.csr_pem));
    let request_id = request_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    Ok(Pending {
        schema: SCHEMA,
        waiting: false,
        request_id,
        csr_pem,
        key_pem,
        token,
        trust,
        named: named.clone(),
        managers,
        follows_file: false,
    })
}

/// This machine's id for managers, read off the async threads.
pub(super) async fn this_machine() -> Result<uuid::Uuid, String> {
    let read = tokio::task::spawn_blocking(machine_id::of_this_machine).await;
    read.map_err(|_| "reading the machine id was interrupted".to_owned())?.map_err(|fault| fault.to_string())
}
