//! Every message of the journal that has an id: from warning up all of them, and what a person looks for besides.
//!
//! The id is the key of the message catalog (`systemd/gpuhostd.catalog`, `journalctl -x`), which has cause and cure for each.

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message {
    /// The health of a GPU is failed.
    GpuHealthFailed,
    /// The health of a GPU is degraded.
    GpuHealthDegraded,
    /// The health of a GPU is good again.
    GpuHealthRecovered,
    /// The kernel log cannot be read.
    KernelLogUnavailable,
}

impl Message {
    /// Its id, 128 bits in hexadecimal, which never changes.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::GpuHealthFailed => "c6b6f8c4f0f54d3fa1d1a5a7a3d5a0e1",
            Self::GpuHealthDegraded => "7d2f1f0c3b9e4b7c8f4f6c1e9d2ab3c4",
            Self::GpuHealthRecovered => "1e6a7f42b0c94c2c9d6e0f5a8b7c3d21",
            Self::KernelLogUnavailable => "a35c0d7e1f9248d6b8e4c2f60917ad53",
        }
    }
}
