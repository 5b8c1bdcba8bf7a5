//! Administration: topics and their configuration, groups and their offsets, deletion of records. Each call is one
//! request (or one a broker), repeated while its error is retriable; errors carry the broker's own words.

mod configs;
mod groups;
mod records;
mod topics;

pub use configs::{ConfigEntry, ConfigSource, ConfigUpdate};
pub use groups::{GroupDescription, GroupListing, GroupMember};
pub use topics::NewTopic;

use crate::cluster::Client;

#[derive(Clone, Debug)]
pub struct Admin {
    client: Client,
}

impl Admin {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }
}
