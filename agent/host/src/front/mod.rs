//! What the unprivileged front may use: it reads the host and keeps its own state, and starts or changes nothing.

mod changes;
mod clock;
mod facts;
mod file_watch;
mod folder;
mod journal;
mod kernel_log;
mod socket;
mod store;
mod sysfs;

pub use changes::UdevChanges;
pub use clock::BootClock;
pub use facts::FactsRoot;
pub use file_watch::FileWatch;
pub use folder::make_private_dir;
pub use journal::FileJournal;
pub use kernel_log::{KernelLogReader, kernel_log_at};
pub use socket::{SocketFault, listen_at};
pub use store::{StoreFault, read_bounded, remove, write_atomic};
pub use sysfs::{Surroundings, Sysfs};
