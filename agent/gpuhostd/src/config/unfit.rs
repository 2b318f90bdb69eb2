//! Why a file that the configuration names cannot be used.

/// Why a file cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is not there.
    Missing(String),
    /// The caller may not look, so that nothing can be reported about the service.
    Unknown,
    /// Anything else.
    No(String),
}
