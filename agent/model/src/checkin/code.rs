//! The closed list of codes by which a manager refuses, as the contract names them.

/// Why a manager refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::VariantArray, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Code {
    /// The request is not what the contract describes.
    BadRequest,
    /// No credential, or one that is not valid here.
    InvalidToken,
    /// The credential was valid once.
    TokenExpired,
    /// The one-use token was used with another key.
    EnrolUsed,
    /// An administrator has not approved this host.
    NotApproved,
    /// No agent is known under this id.
    UnknownAgent,
    /// Two hosts report under one id.
    DuplicateAgent,
    /// This host was deleted for good.
    AgentDeleted,
    /// Something else is already there under this name.
    Conflict,
    /// The body is larger than the manager takes.
    TooLarge,
    /// The agent is too old.
    UpgradeRequired,
    /// Too many requests.
    RateLimited,
    /// The manager is switched off.
    ManagerDisabled,
    /// Another manager is in charge.
    NotPrimary,
    /// Something broke inside the manager.
    Internal,
}

impl Code {
    /// All of them, in the order of the enum.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// As it is spelled in the body of an answer.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The code of that name; `None` for a name that the contract does not have.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}
