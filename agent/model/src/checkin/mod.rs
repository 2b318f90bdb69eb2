//! Every decision of the check-in: when to send, to whom, with which credential, what to leave out, and what an answer means.
//! Pure; the caller brings the instant.

pub mod answer;
pub mod code;
pub mod condition;
pub mod delivery;
pub mod fault;
pub mod features;
pub mod keyring;
pub mod machine;
pub mod manager;
pub mod managers;
pub mod notable;
pub mod omit;
pub mod pins;
pub mod poll;
pub mod renewal;
pub mod skew;
pub mod slot;
pub mod trouble;

pub use answer::{Answer, ManagerRefusal, Meaning, Reply};
pub use code::Code;
pub use delivery::{Delivery, DeliveryAction, DeliveryAnswer, DeliveryMachine};
pub use fault::{CheckinError, FaultKind, OwnCertificate, TlsError};
pub use keyring::{Key, KeyId, Worth};
pub use machine::{Beat, CheckinAction, CheckinConfig, CheckinMachine, EnrolFor, Goal};
pub use manager::ManagerAddress;
pub use managers::KnownManagers;
pub use omit::Omit;
pub use pins::Pins;
pub use poll::{DesiredFetch, FetchStatus, Poll, PollAction, PollAnswer, PollMachine, ReplyHints};
pub use slot::Slot;
pub use trouble::DeliveryFailure;
