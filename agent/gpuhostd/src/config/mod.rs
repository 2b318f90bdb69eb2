//! The configuration: where it lies, what is right in it, what is in force, and what the service could not use of it.

pub mod cat;
pub mod check;
mod config_answer;
mod credentials_directory;
mod eyes;
mod in_force;
mod unfit;

pub use in_force::InForce;
