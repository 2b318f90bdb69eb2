//! Announces changes of PCI functions and DRM nodes, as udev or the kernel reports them over netlink.

use crate::readiness;
use model::message::Message;
use model::ports::{ChangePort, HostChange};
use std::future::pending;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use tokio::io::unix::AsyncFd;
use udev::{MonitorBuilder, MonitorSocket};

/// Where udevd listens for its own control tool: there while it runs.
const UDEVD_CONTROL: &str = "/run/udev/control";

/// Subsystems whose events can change what a scan shows.
const SUBSYSTEMS: [&str; 3] = ["pci", "drm", "vfio"];

/// Events of devices. Where they cannot be had, it shows it once in the log and never announces anything.
pub struct UdevChanges {
    open: Option<Open>,
}

struct Open {
    socket: MonitorSocket,
    /// The socket's own descriptor, a second time: what the poller watches.
    ready: AsyncFd<OwnedFd>,
}

impl std::fmt::Debug for UdevChanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UdevChanges").field("open", &self.open.is_some()).finish()
    }
}

impl UdevChanges {
    /// Starts to listen. Needs a running Tokio runtime; events count from here on.
    #[must_use]
    pub fn listen() -> Self {
        // udevd passes events on after its rules ran (nodes have their owners). Without it only the kernel's own come.
        let by_udevd = Path::new(UDEVD_CONTROL).exists();
        match Open::new(by_udevd) {
            Ok(open) => Self { open: Some(open) },
            Err(error) => {
                tracing::warn!(
                    message_id = Message::DeviceEventsUnheard.id(),
                    "device events cannot be received (netlink, KOBJECT_UEVENT), and changes of GPUs are seen only after a \
                     rescan: {error}"
                );
                Self { open: None }
            }
        }
    }

    /// False where events cannot be had, and only a rescan on demand shows a change.
    #[must_use]
    pub const fn is_listening(&self) -> bool {
        self.open.is_some()
    }
}

impl Open {
    fn new(by_udevd: bool) -> io::Result<Self> {
        let mut builder = if by_udevd { MonitorBuilder::new()? } else { MonitorBuilder::new_kernel()? };
        for subsystem in SUBSYSTEMS {
            builder = builder.match_subsystem(subsystem)?;
        }
        let socket = builder.listen()?;
        let ready = readiness::readable(socket.as_fd().try_clone_to_owned()?)?;
        Ok(Self { socket, ready })
    }

    /// Waits for an event of our subsystems.
    async fn next(&mut self) -> io::Result<()> {
        loop {
            let mut guard = self.ready.readable_mut().await?;
            let mut seen = false;
            for event in self.socket.iter() {
                tracing::debug!(device = %event.syspath().display(), action = %event.event_type(), "device event");
                seen = true;
            }
            guard.clear_ready();
            // Nothing seen: the kernel's own events of other subsystems, which libudev filters out only here. A queue that
            // runs over is not looked for: libudev makes it 128 MiB long.
            if seen {
                return Ok(());
            }
        }
    }
}

impl ChangePort for UdevChanges {
    async fn next_change(&mut self) -> HostChange {
        if let Some(open) = &mut self.open {
            match open.next().await {
                Ok(()) => return HostChange::Devices,
                Err(error) => {
                    tracing::warn!(
                        message_id = Message::DeviceEventsUnheard.id(),
                        "device events can no longer be received, and changes of GPUs are seen only after a rescan: {error}"
                    );
                    self.open = None;
                }
            }
        }
        pending().await
    }
}
