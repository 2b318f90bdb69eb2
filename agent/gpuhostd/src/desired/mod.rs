//! What is wished of this host: one task, the keeper, judges the documents of a manager, saves what it accepts, reads the local
//! files, and publishes what is in force. Nobody else writes or reads these files.

mod desired_keeper;
mod desired_port;
mod desired_shown;
mod install;
mod local_files;
mod on_disk;

pub use desired_keeper::{KeeperParts, start};
pub use desired_port::{DesiredPort, DesiredQueue, Offer, Taken, channel};
pub use install::{InstallArgs, install};
