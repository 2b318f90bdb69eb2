//! What zbus runs on: Tokio, with a place for each call that is served, so that their number is bounded.

use super::limits::Limits;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use zbus::runtime::traits::{PollIo, Runtime, TaskHandle};
use zbus::runtime::{Interest, IoSource};

/// How the name of each task ends in which zbus serves a call (zbus `object_server/mod.rs`). The tests see calls bounded, and so
/// would see another name.
const CALL: &str = "method dispatcher";

/// Tokio, for one connection.
pub(super) struct Executor {
    handle: Handle,
    limits: Arc<Limits>,
}

impl Executor {
    /// On the runtime that runs now.
    pub(super) fn current(limits: Arc<Limits>) -> Self {
        Self { handle: Handle::current(), limits }
    }
}

/// The connection is given its socket open: nothing is to be watched, connected or started for it.
fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Runtime for Executor {
    type RegisteredIoSource = Never;
    type Sleep = tokio::time::Sleep;
    type Task<T>
        = Spawned<T>
    where
        T: Send + 'static;

    fn register_io_source(&self, _: IoSource) -> io::Result<Never> {
        unsupported()
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        let _entered = self.handle.enter();
        tokio::time::sleep(duration)
    }

    fn spawn<T: Send + 'static>(&self, name: &str, future: impl Future<Output = T> + Send + 'static) -> Spawned<T> {
        let limits = name.ends_with(CALL).then(|| Arc::clone(&self.limits));
        let task = async move {
            let _place = match limits {
                Some(limits) => limits.call().await,
                None => None,
            };
            future.await
        };
        Spawned(AbortOnDropHandle::new(self.handle.spawn(task)))
    }

    async fn connect_tcp(&self, _: SocketAddr) -> io::Result<IoSource> {
        unsupported()
    }

    async fn connect_unix(&self, _: &Path) -> io::Result<IoSource> {
        unsupported()
    }

    fn spawn_process(
        &self,
        _: Command,
        _: Stdio,
        _: Stdio,
        _: Stdio,
    ) -> io::Result<Pin<Box<dyn Future<Output = io::Result<ExitStatus>> + Send + 'static>>> {
        unsupported()
    }

    fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Pin<Box<dyn Future<Output = T> + Send + 'static>> {
        let working = self.handle.spawn_blocking(work);
        Box::pin(async move {
            match working.await {
                Ok(done) => done,
                // It panicked, or the runtime ends: there is nobody left to answer.
                Err(_) => std::future::pending().await,
            }
        })
    }
}

/// There is none.
pub(super) enum Never {}

impl PollIo for Never {
    fn poll_io<T>(&self, _: &mut Context<'_>, _: Interest, _: impl FnMut() -> io::Result<T>) -> Poll<io::Result<T>> {
        match *self {}
    }
}

/// A task that ends with the value, unless it is detached.
pub(super) struct Spawned<T>(AbortOnDropHandle<T>);

impl<T> Future for Spawned<T> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(io::Error::other)
    }
}

impl<T: Send + 'static> TaskHandle<T> for Spawned<T> {
    fn detach(self) {
        drop(self.0.detach());
    }
}
