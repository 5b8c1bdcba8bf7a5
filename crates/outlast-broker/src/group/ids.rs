//! The names and numbers that identify a group, a member and a generation.
//!
//! A member has two names: the id that the coordinator gave it (new with every join from nothing)
//! and, for a static member, the instance id that its owner chose (KIP-345). Mixing them up is the
//! classic mistake, so each has its own type.

use std::fmt;

use outlast_protocol::Str;

macro_rules! string_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash)]
        pub struct $name(Str);

        impl $name {
            /// Copies the text, so that the id doesn't keep a request's frame alive.
            pub fn new(from: &Str) -> $name {
                $name(super::detached(from))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text as the messages carry it; shares the bytes.
            pub fn wire(&self) -> Str {
                self.0.clone()
            }

            pub fn is_empty(&self) -> bool {
                self.as_str().is_empty()
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> $name {
                $name(Str::from(text))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

string_id!(
    /// The name of a consumer group.
    GroupId
);
string_id!(
    /// What the coordinator calls a member. Empty in a request from a client that has none yet.
    MemberId
);
string_id!(
    /// What its owner calls a static member (`group.instance.id`).
    InstanceId
);

/// Counts the completed join phases of a group. −1 in requests from outside any generation.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct GenerationId(pub i32);

impl fmt::Display for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
