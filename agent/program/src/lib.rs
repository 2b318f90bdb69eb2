//! What the programs of gpuhostd have in common: how they read their settings and arguments, where their log goes, how they print.

pub mod args;
pub mod launched;
pub mod logging;
pub mod say;
pub mod settings;
