//! The endpoints of the manager API: path, method, and where the contract describes what they take and give.

/// An endpoint of the manager API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// What the manager speaks, and its clock.
    Version,
    /// A one-use token for an identity.
    Enroll,
    /// The report of an agent. The only endpoint that a manager must have.
    Heartbeat,
    /// What the manager wants of an agent; waits until it changes.
    DesiredState,
    /// What happened on the host.
    Events,
    /// A new credential for an enrolled agent.
    Credentials,
    /// An agent says goodbye.
    Deregister,
    /// Is the manager up.
    Healthcheck,
    /// An autoscaled server says that it is ready.
    SetServerStatus,
}

/// The method of an endpoint; the API knows no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads, has no body.
    Get,
    /// Has a JSON body.
    Post,
}

impl Verb {
    /// As it stands on the request line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Version,
        Self::Enroll,
        Self::Heartbeat,
        Self::DesiredState,
        Self::Events,
        Self::Credentials,
        Self::Deregister,
        Self::Healthcheck,
        Self::SetServerStatus,
    ];

    /// Path below the manager's address.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Version => "/manager_api/api/v1/version",
            Self::Enroll => "/manager_api/api/v1/enroll",
            Self::Heartbeat => "/manager_api/api/v1/heartbeat",
            Self::DesiredState => "/manager_api/api/v1/desired_state",
            Self::Events => "/manager_api/api/v1/events",
            Self::Credentials => "/manager_api/api/v1/credentials",
            Self::Deregister => "/manager_api/api/v1/deregister",
            Self::Healthcheck => "/api/__healthcheck",
            Self::SetServerStatus => "/api/set_server_status",
        }
    }

    /// Its method.
    #[must_use]
    pub const fn verb(self) -> Verb {
        match self {
            Self::Version | Self::DesiredState | Self::Healthcheck => Verb::Get,
            Self::Enroll
            | Self::Heartbeat
            | Self::Events
            | Self::Credentials
            | Self::Deregister
            | Self::SetServerStatus => Verb::Post,
        }
    }

    /// A request that is repeated must carry the same `Idempotency-Key`.
    #[must_use]
    pub const fn wants_idempotency_key(self) -> bool {
        matches!(self, Self::Enroll | Self::Events | Self::Credentials)
    }

    /// The agent's headers are part of the contract here. Elsewhere another system's client, or a person with curl, may ask.
    #[must_use]
    pub const fn wants_agent_headers(self) -> bool {
        !matches!(self, Self::Version | Self::Healthcheck | Self::SetServerStatus)
    }

    /// JSON pointer to the schema of the request body in the contract; none for a GET.
    #[must_use]
    pub fn request_schema(self) -> Option<String> {
        match self.verb() {
            Verb::Get => None,
            Verb::Post => Some(format!("{}/requestBody/content/application~1json/schema", self.operation())),
        }
    }

    /// JSON pointer to the schema of the body of an answer in the contract (it may not exist there).
    #[must_use]
    pub fn reply_schema(self, status: u16) -> String {
        format!("{}/responses/{status}/content/application~1json/schema", self.operation())
    }

    fn operation(self) -> String {
        let method = self.verb().name().to_lowercase();
        format!("/paths/{}/{method}", self.path().replace('~', "~0").replace('/', "~1"))
    }
}
