//! The simulated host: one description gives a host behind the same ports as the real one, with the kernel's and the
//! driver's rules and with faults on demand.

pub mod act;
pub mod archive;
mod bad_description;
pub mod bus;
pub mod description;
pub mod driver;
pub mod facts;
pub mod faults;
pub mod host;
pub mod load;
pub mod mig;
mod mig_act;
pub mod mig_on_host;
pub mod nvidia_docker;
pub mod recorded;
pub mod scan;
pub mod sensors;
mod sim_event_log;
mod sim_ledger;
pub mod smi;
pub mod software;
pub mod state;
pub mod step_faults;
pub mod synthetic;
pub mod workspace_docker;

pub use archive::{BadSnapshot, HostSnapshot};
pub use bad_description::BadDescription;
pub use description::Description;
pub use host::{SimChanges, SimHost, SimKernelLog};
pub use load::{BUILT_IN, load, load_file, parse};
pub use recorded::{Loaded, NoChanges, RecordedHost, RecordedLog, load_any};
pub use sim_event_log::{EventDisk, SimEventLog};
pub use sim_ledger::{LedgerCrash, LedgerDisk, SimLedger};
pub use synthetic::synthetic;
