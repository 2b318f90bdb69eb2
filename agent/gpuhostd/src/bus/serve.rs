//! One connection to the bus, from the handshake to its end.

use super::authority::Authority;
use super::desired_state::{DesiredMethods, desired_view};
use super::gate::Gate;
use super::get_all::Gallery;
use super::host::{HostMethods, announce_events, host_view};
use super::object::Object;
use super::shown::Shown;
use super::submit::Submitter;
use super::tree::{Place, Root, Tree};
use super::workspaces::{WorkspacesMethods, workspaces_view};
use super::{BusAddress, BusState, Sources, bus_socket};
use futures_util::StreamExt;
use model::message::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::dbus::{BUS_NAME, ROOT_PATH};
use zbus::connection::Builder;
use zbus::fdo::{ObjectManager, RequestNameFlags};
use zbus::{Connection, MatchRule, MessageStream};

/// How long the handshake with the bus, and the publication of one observation, may take.
const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// How long calls under way may take when the daemon stops.
const GOODBYE_DEADLINE: Duration = Duration::from_secs(1);

/// Why the bus is not served (any more).
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// No connection.
    #[error("cannot connect to {bus}; is dbus-daemon or dbus-broker running there?")]
    Connect {
        /// Which bus.
        bus: String,
        /// The error as it was reported.
        #[source]
        source: zbus::Error,
    },
    /// The bus did not answer in time.
    #[error("{bus} did not answer within {} s", CALL_DEADLINE.as_secs())]
    Silent {
        /// Which bus.
        bus: String,
    },
    /// The name is not given to us.
    #[error(
        "{bus} does not let uid {uid} own {BUS_NAME}; is system.d/org.gpuhost.Agent1.conf installed, and is another gpuhostd \
         running?"
    )]
    Name {
        /// Which bus.
        bus: String,
        /// Our user id.
        uid: u32,
        /// The error as it was reported.
        #[source]
        source: zbus::Error,
    },
    /// An object could not be put on the bus, or a signal could not be sent.
    #[error("cannot publish on {bus}")]
    Publish {
        /// Which bus.
        bus: String,
        /// The error as it was reported.
        #[source]
        source: zbus::Error,
    },
    /// The connection ended.
    #[error("{bus} closed the connection")]
    Closed {
        /// Which bus.
        bus: String,
    },
    /// Another process owns the name now.
    #[error("{bus} took {BUS_NAME} from us")]
    NameLost {
        /// Which bus.
        bus: String,
    },
    /// The core has ended.
    #[error("the core of the daemon has stopped; there is nothing more to publish")]
    CoreGone,
}

/// Connects, puts up all objects, takes the name (last, so that nobody sees half a tree), and follows the core until `cancel`
/// (`Ok`) or until the bus is lost.
pub(super) async fn serve_once(
    address: &BusAddress,
    sources: &Sources,
    state: &watch::Sender<BusState>,
    cancel: &CancellationToken,
) -> Result<(), BusError> {
    let bus = describe(address);
    let setup = tokio::time::timeout(CALL_DEADLINE, set_up(address, &bus, sources));
    let (connection, asking, mut tree, mut lost) = tokio::select! {
        () = cancel.cancelled() => return Ok(()),
        done = setup => done.map_err(|_| BusError::Silent { bus: bus.clone() })??,
    };
    let unique_name = connection.unique_name().map(ToString::to_string).unwrap_or_default();
    tracing::info!(unique_name = %unique_name, "serving {BUS_NAME} on {bus}");
    state.send_replace(BusState::Serving { unique_name });
    let end = follow((&connection, &asking), &bus, sources, &mut tree, &mut lost, cancel).await;
    // The goodbye waits for everybody who still holds the connection, and these two would hold it for ever.
    drop((tree, lost));
    if tokio::time::timeout(GOODBYE_DEADLINE, connection.graceful_shutdown()).await.is_err() {
        tracing::warn!(
            message_id = Message::BusCallsCut.id(),
            "calls were still under way when the connection to {bus} was closed"
        );
    }
    end
}

/// The connection at which everything is served, the one over which polkit is asked, the objects, and the loss of the name.
async fn set_up(
    address: &BusAddress,
    bus: &str,
    sources: &Sources,
) -> Result<(Connection, Connection, Tree, MessageStream), BusError> {
    let connect = |source| BusError::Connect { bus: bus.to_owned(), source };
    let at = parsed(address).map_err(connect)?;
    let open = async |gallery| bus_socket::connect(&at, gallery).await.map_err(zbus::Error::from).map_err(connect);
    let asking = open(Arc::default()).await?.build().await.map_err(connect)?;
    let gate = Gate::new(Authority::new(asking.clone()));
    let (published, newest) = watch::channel(None);
    let submitter = Submitter::new(sources.handle.clone(), newest, Arc::new(gate));
    let gallery = Arc::new(Gallery::default());
    let builder = open(Arc::clone(&gallery)).await?.serve_at(ROOT_PATH, ObjectManager);
    let (root, builder) = put_root(builder, &gallery, sources, &submitter);
    let connection = builder.build().await.map_err(connect)?;
    let publish = |source| BusError::Publish { bus: bus.to_owned(), source };
    let mut tree = Tree::new(Place { connection: connection.clone(), gallery }, root, (published, submitter));
    tree.show(&sources.now()).await.map_err(publish)?;
    let lost = name_lost_stream(&connection).await.map_err(publish)?;
    connection
        .request_name_with_flags(BUS_NAME, RequestNameFlags::DO_NOT_QUEUE)
        .await
        .map_err(|source| BusError::Name { bus: bus.to_owned(), uid: nix::unistd::geteuid().as_raw(), source })?;
    Ok((connection, asking, tree, lost))
}

/// The root object with its interfaces.
fn put_root<'a>(
    builder: Builder<'a>,
    gallery: &Gallery,
    sources: &Sources,
    submitter: &Submitter,
) -> (Root, Builder<'a>) {
    let now = sources.now();
    let (host, of_host) = Shown::new(ROOT_PATH.to_owned(), host_view(&now));
    let (workspaces, of_workspaces) = Shown::new(ROOT_PATH.to_owned(), workspaces_view(&now));
    let (desired, of_desired) = Shown::new(ROOT_PATH.to_owned(), desired_view(&now));
    gallery.put(ROOT_PATH, of_host.clone());
    gallery.put(ROOT_PATH, of_desired.clone());
    gallery.put(ROOT_PATH, of_workspaces.clone());
    let methods = HostMethods::new(sources, submitter.clone());
    let host_object = Object { face: of_host, methods: Some(Box::new(methods)) };
    let methods = DesiredMethods { sources: sources.clone(), submitter: submitter.clone() };
    let desired_object = Object { face: of_desired, methods: Some(Box::new(methods)) };
    let methods = WorkspacesMethods::new(sources, submitter.clone());
    let workspaces_object = Object { face: of_workspaces, methods: Some(Box::new(methods)) };
    let builder = builder.serve_at(ROOT_PATH, host_object).serve_at(ROOT_PATH, desired_object);
    (Root { host, desired, workspaces }, builder.serve_at(ROOT_PATH, workspaces_object))
}

fn parsed(address: &BusAddress) -> zbus::Result<zbus::Address> {
    match address {
        BusAddress::System => zbus::Address::system(),
        BusAddress::Session => zbus::Address::session(),
        BusAddress::At(text) => text.parse(),
    }
}

async fn name_lost_stream(connection: &Connection) -> zbus::Result<MessageStream> {
    let rule = MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .sender("org.freedesktop.DBus")
        .interface("org.freedesktop.DBus")
        .member("NameLost")
        .arg(0, BUS_NAME)
        .build()?;
    MessageStream::for_match_rule(rule, connection, None).await
}

async fn follow(
    (connection, asking): (&Connection, &Connection),
    bus: &str,
    sources: &Sources,
    tree: &mut Tree,
    lost: &mut MessageStream,
    cancel: &CancellationToken,
) -> Result<(), BusError> {
    let mut watched = sources.clone();
    let mut events = watched.events.shown();
    let mut announced = events.borrow_and_update().newest;
    loop {
        // Whatever came since the last round is shown in one go: the watches keep only the newest state. A bus that takes
        // nothing any more must keep neither the next observation nor the end from us.
        let now = watched.now();
        let newest = events.borrow_and_update().newest;
        let shown = tokio::time::timeout(CALL_DEADLINE, async {
            tree.show(&now).await?;
            if std::mem::replace(&mut announced, newest) != newest {
                announce_events(connection, newest).await?;
            }
            Ok(())
        });
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            shown = shown => shown
                .map_err(|_| BusError::Silent { bus: bus.to_owned() })?
                .map_err(|source| BusError::Publish { bus: bus.to_owned(), source })?,
        }
        let changed = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = connection.closed() => return Err(BusError::Closed { bus: bus.to_owned() }),
            () = asking.closed() => return Err(BusError::Closed { bus: bus.to_owned() }),
            signal = lost.next() => return Err(match signal {
                Some(_) => BusError::NameLost { bus: bus.to_owned() },
                None => BusError::Closed { bus: bus.to_owned() },
            }),
            changed = watched.handle.observation.changed() => changed,
            changed = watched.handle.jobs.changed() => changed,
            changed = watched.inputs.checkin.changed() => changed,
            changed = watched.inputs.desired.changed() => changed,
            changed = watched.inputs.settings.changed() => changed,
            changed = watched.reconciled.changed() => changed,
            changed = watched.nvidia.changed() => changed,
            changed = watched.workspaces.changed() => changed,
            Ok(()) = events.changed() => Ok(()),
            changed = watched.readiness.changed() => changed,
        };
        changed.map_err(|_| BusError::CoreGone)?;
    }
}

fn describe(address: &BusAddress) -> String {
    match address {
        BusAddress::System => "the system bus".to_owned(),
        BusAddress::Session => "the session bus".to_owned(),
        BusAddress::At(text) => format!("the bus at {text}"),
    }
}
