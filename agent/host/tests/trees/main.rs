//! Facts read from trees of files: made up here, or recorded on the hosts of others.

#![allow(clippy::unwrap_used, reason = "a test stops where its world is broken")]

mod captures;
mod driver_host;
mod facts;
mod stack;
