//! The world of an end-to-end test: the shipped executables, a private bus, a simulated host on disk, all in one folder.

pub mod ages;
pub mod bus;
pub mod daemon;
pub mod sim;
pub mod tracer;
pub mod wait;
pub mod world;
