//! The closed list of codes by which a manager refuses, as the contract names them.

/// Why a manager refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::BadRequest,
        Self::InvalidToken,
        Self::TokenExpired,
        Self::EnrolUsed,
        Self::NotApproved,
        Self::UnknownAgent,
        Self::DuplicateAgent,
        Self::AgentDeleted,
        Self::Conflict,
        Self::TooLarge,
        Self::UpgradeRequired,
        Self::RateLimited,
        Self::ManagerDisabled,
        Self::NotPrimary,
        Self::Internal,
    ];

    /// As it is spelled in the body of an answer.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::InvalidToken => "invalid_token",
            Self::TokenExpired => "token_expired",
            Self::EnrolUsed => "enrol_used",
            Self::NotApproved => "not_approved",
            Self::UnknownAgent => "unknown_agent",
            Self::DuplicateAgent => "duplicate_agent",
            Self::AgentDeleted => "agent_deleted",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::UpgradeRequired => "upgrade_required",
            Self::RateLimited => "rate_limited",
            Self::ManagerDisabled => "manager_disabled",
            Self::NotPrimary => "not_primary",
            Self::Internal => "internal",
        }
    }

    /// The code of that name; `None` for a name that the contract does not have.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }
}
