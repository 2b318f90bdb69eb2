//! Documents of the manager API.

pub mod gpu;
