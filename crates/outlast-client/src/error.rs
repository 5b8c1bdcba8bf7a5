//! What can go wrong between this client and a cluster. Cheap to clone, because all records of a batch share one
//! outcome.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use outlast_protocol::{ApiKey, ErrorCode};
use thiserror::Error;

#[derive(Clone, Debug, Error)]
pub enum ClientError {
    /// No address of the bootstrap list answered. Each is listed with its reason.
    #[error("no broker answered at {}", Attempts(.0))]
    Unreachable(Vec<(String, String)>),

    /// A connection failed or was closed by the broker.
    #[error("the connection to {broker} failed: {source}")]
    Connection {
        broker: String,
        #[source]
        source: Arc<io::Error>,
    },

    #[error("{what} took longer than {}", crate::error::Seconds(*.after))]
    Timeout { what: String, after: Duration },

    /// The broker and this client share no version of an API.
    #[error(
        "the broker does not serve {api:?} in a version that this client speaks (ours {}–{}, theirs {})",
        .ours.0, .ours.1,
        .theirs.map_or("none".to_owned(), |(min, max)| format!("{min}–{max}"))
    )]
    UnsupportedApi {
        api: ApiKey,
        ours: (i16, i16),
        theirs: Option<(i16, i16)>,
    },

    /// The broker sent bytes that don't follow the protocol.
    #[error("{broker} sent an answer that cannot be read: {reason}")]
    Malformed { broker: String, reason: String },

    /// The broker answered with an error code.
    #[error("{context}: {}{}", .code.name(), .message.as_deref().map(|m| format!(" ({m})")).unwrap_or_default())]
    Broker {
        code: ErrorCode,
        context: String,
        message: Option<String>,
    },

    #[error("topic '{0}' does not exist")]
    UnknownTopic(String),

    /// A record batch that was fetched is damaged or of an unknown kind.
    #[error("{topic}-{partition} at offset {offset}: {reason}")]
    Records {
        topic: String,
        partition: i32,
        offset: i64,
        reason: String,
    },

    /// The caller asked for something that makes no sense.
    #[error("{0}")]
    Invalid(String),

    #[error("the client was closed")]
    Closed,
}

impl ClientError {
    pub fn invalid(why: impl Into<String>) -> Self {
        Self::Invalid(why.into())
    }

    pub(crate) fn connection(broker: impl Into<String>, source: io::Error) -> Self {
        Self::Connection {
            broker: broker.into(),
            source: Arc::new(source),
        }
    }

    pub(crate) fn disconnected(broker: impl Into<String>) -> Self {
        Self::connection(
            broker,
            io::Error::new(
                io::ErrorKind::ConnectionReset,
                "the broker closed the connection",
            ),
        )
    }

    pub(crate) fn malformed(broker: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self::Malformed {
            broker: broker.into(),
            reason: reason.to_string(),
        }
    }

    pub fn broker(code: ErrorCode, context: impl Into<String>, message: Option<String>) -> Self {
        Self::Broker {
            code,
            context: context.into(),
            message: message.filter(|m| !m.is_empty()),
        }
    }

    /// `Ok` for code 0, otherwise the error with what was being done.
    pub fn check(
        code: i16,
        context: impl FnOnce() -> String,
        message: Option<&str>,
    ) -> Result<(), Self> {
        if code == 0 {
            return Ok(());
        }
        Err(Self::broker(
            known_code(code),
            context(),
            message.map(str::to_owned),
        ))
    }

    /// The broker's code, when it is the broker that refused.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the same request may succeed a little later, after a look at fresh metadata.
    pub fn retriable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Connection { .. } | Self::Timeout { .. } => true,
            Self::Broker { code, .. } => code.retriable(),
            Self::UnsupportedApi { .. }
            | Self::Malformed { .. }
            | Self::UnknownTopic(_)
            | Self::Records { .. }
            | Self::Invalid(_)
            | Self::Closed => false,
        }
    }
}

/// The code, or "unknown server error" for one that this client has never heard of, as Kafka's clients do.
pub(crate) fn known_code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}

struct Attempts<'a>(&'a [(String, String)]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (address, why)) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{address} ({why})")?;
        }
        Ok(())
    }
}

struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f64())
    }
}
