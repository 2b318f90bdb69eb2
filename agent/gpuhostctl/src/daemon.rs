//! The daemon on the other side of the bus.

use crate::failure::Failure;
use std::time::Duration;
use wire::dbus::proxy::{DesiredStateProxy, GpuProxy, HostProxy, Options};
use wire::dbus::snapshot::Snapshot;
use zbus::Connection;
use zbus::proxy::CacheProperties;

/// The environment variable with the address of the bus.
pub(crate) const BUS_VARIABLE: &str = "GPUHOSTD_BUS";
/// How long the bus may take to let us in.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How long the daemon may take to answer a question.
pub(crate) const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// How long a look at MIG may take: on a loaded GPU each call of the driver takes seconds.
pub(crate) const LOOK_DEADLINE: Duration = Duration::from_secs(60);
/// How long it may take to answer a request for a change: somebody may have to type a password.
pub(crate) const CHANGE_DEADLINE: Duration = Duration::from_secs(150);

/// A connection to the bus.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// The connection.
    pub(crate) connection: Connection,
    /// The bus, in words.
    pub(crate) bus: String,
}

impl Daemon {
    /// Connects to the given bus, to the one of the environment, or to the system bus.
    pub(crate) async fn connect(address: Option<String>) -> Result<Self, Failure> {
        let address = address.or_else(|| std::env::var(BUS_VARIABLE).ok().filter(|text| !text.is_empty()));
        let (builder, bus) = match &address {
            Some(text) => (zbus::connection::Builder::address(text.as_str()), format!("the bus at {text}")),
            None => (zbus::connection::Builder::system(), "the system bus".to_owned()),
        };
        match tokio::time::timeout(CONNECT_DEADLINE, builder.build()).await {
            Ok(Ok(connection)) => Ok(Self { connection, bus }),
            Ok(Err(source)) => Err(Failure::NoBus { bus, source }),
            Err(_) => Err(Failure::NoBus { bus, source: zbus::Error::Failure("it does not answer".into()) }),
        }
    }

    /// Everything that the daemon shows, in one call.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Failure> {
        let host = self.host().await?;
        let text = self.answer(ANSWER_DEADLINE, host.get_observation(Options::new())).await?;
        serde_json::from_str(&text).map_err(|source| Failure::Answer { source })
    }

    /// The same with values of the last second.
    pub(crate) async fn sample(&self) -> Result<Snapshot, Failure> {
        let host = self.host().await?;
        let text = self.answer(ANSWER_DEADLINE, host.sample(Options::new())).await?;
        serde_json::from_str(&text).map_err(|source| Failure::Answer { source })
    }

    /// The root object. No property is cached, so that nothing is asked but what we call.
    pub(crate) async fn host(&self) -> Result<HostProxy<'static>, Failure> {
        let builder = HostProxy::builder(&self.connection).cache_properties(CacheProperties::No);
        builder.build().await.map_err(|error| Failure::of_call(&self.bus, error))
    }

    /// The desired state, on the root object.
    pub(crate) async fn desired_state(&self) -> Result<DesiredStateProxy<'static>, Failure> {
        let builder = DesiredStateProxy::builder(&self.connection).cache_properties(CacheProperties::No);
        builder.build().await.map_err(|error| Failure::of_call(&self.bus, error))
    }

    /// The object of a GPU.
    pub(crate) async fn gpu(&self, path: &str) -> Result<GpuProxy<'static>, Failure> {
        let fault = |error| Failure::of_call(&self.bus, error);
        let builder = GpuProxy::builder(&self.connection).path(path.to_owned());
        builder.cache_properties(CacheProperties::No).build().await.map_err(fault)
    }

    /// Waits for an answer of the daemon, but not for ever.
    pub(crate) async fn answer<T>(
        &self,
        deadline: Duration,
        call: impl Future<Output = zbus::Result<T>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(deadline, call).await {
            Ok(answer) => answer.map_err(|error| Failure::of_call(&self.bus, error)),
            Err(_) => Err(Failure::Silent { after_s: deadline.as_secs() }),
        }
    }
}
