//! Where the daemon finds its files unless it gets other options.

/// What the administrator allows.
pub(crate) const POLICY: &str = "/etc/gpuhostd/policy.toml";
/// Durable state.
pub(crate) const STATE: &str = "/var/lib/gpuhostd";
/// What the administrator wishes of this host without a manager.
pub(crate) const DESIRED: &str = "/etc/gpuhostd/desired.d";
