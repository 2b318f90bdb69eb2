//! What the unprivileged front may use: it reads the host and keeps its own state, and starts or changes nothing.

mod bound;
mod cdi_files;
mod changes;
mod clock;
mod device_links;
mod driver_host_files;
mod facts;
mod file_watch;
mod folder;
mod journal;
mod kernel_log;
mod ledger_file;
mod lock;
mod mig_files;
mod proxy_pair_files;
mod socket;
mod store;
mod sysfs;

pub use bound::{gpus_to_ask, nvidia_index};
pub use cdi_files::{CdiFilesError, cdi_files, is_missing, put_cdi_file, remove_cdi_file};
pub use changes::UdevChanges;
pub use clock::BootClock;
pub use device_links::{LinkError, keep_device_links, read_device_links};
pub use driver_host_files::{mark_run_nvidia, remove_readiness_files, write_readiness_files};
pub use facts::{FactsRoot, driver_load};
pub use file_watch::FileWatch;
pub use folder::make_private_dir;
pub use journal::FileJournal;
pub use kernel_log::{KernelLogReader, kernel_log_at};
pub use ledger_file::FileLedger;
pub use lock::{LockError, StateLock, refuse_foreign_state};
pub use mig_files::{MigFilesError, keep_mig_files};
pub use proxy_pair_files::{PairOnDisk, put_pair, read_pair};
pub use socket::{SocketError, is_served, listen_at};
pub use store::{StoreError, check_named, read_bounded, remove, remove_named, write_atomic, write_named};
pub use sysfs::{Surroundings, Sysfs};
