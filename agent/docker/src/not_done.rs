//! Why a thing was not done to Docker, and one deadline over all that it takes.

use crate::client::{said, status, words};
use crate::http::DockerError;
use model::os_cause::OsCause;
use model::ports::ActError;
use model::time::whole_millis;
use std::fmt::Display;
use std::future::Future;
use std::time::Duration;
use tokio::time::timeout;

/// Why it was not done.
#[derive(Debug)]
pub(crate) enum NotDone {
    /// The policy, or what the container is.
    Denied(String),
    Docker(DockerError),
}

impl<E: Into<DockerError>> From<E> for NotDone {
    fn from(error: E) -> Self {
        Self::Docker(error.into())
    }
}

/// Does it within the deadline. What Docker or the policy refuses was not done; where Docker cannot be asked, it may have been.
pub(crate) async fn do_within(
    socket: &str,
    deed: &impl Display,
    deadline: Duration,
    doing: impl Future<Output = Result<(), NotDone>>,
) -> Result<(), ActError> {
    let unreachable = |cause: OsCause| ActError::Unreachable { what: format!("Docker ({socket})"), cause };
    let refused = |said: String| ActError::Refused { attempted: deed.to_string(), cause: OsCause::found(said) };
    match timeout(deadline, doing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(NotDone::Denied(why))) => Err(refused(why)),
        Ok(Err(NotDone::Docker(DockerError::Connect(error)))) => Err(unreachable(error.into())),
        Ok(Err(NotDone::Docker(DockerError::Client(error)))) if status(&error).is_some() => Err(refused(said(&error))),
        Ok(Err(NotDone::Docker(error @ DockerError::Refused { .. }))) => Err(refused(words(&error))),
        Ok(Err(NotDone::Docker(error))) => Err(unreachable(OsCause::found(words(&error)))),
        Err(_) => Err(unreachable(OsCause::found(format!("{deed}: no answer within {} ms", whole_millis(deadline))))),
    }
}
