//! What every kind of client needs to know: where the cluster is and how patient to be.

use std::time::Duration;

use crate::address::Address;
use crate::backoff::Backoff;
use crate::error::ClientError;

#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Tried in turn until one answers; the rest of the cluster is learnt from it.
    pub bootstrap: Vec<Address>,
    /// Appears in the broker's logs, metrics and group descriptions.
    pub client_id: String,
    pub connect_timeout: Duration,
    /// How long one answer may take. A connection that exceeds it is closed, because everything behind it waits too.
    pub request_timeout: Duration,
    /// How long a call is repeated while its errors are retriable.
    pub retry_timeout: Duration,
    pub backoff: Backoff,
    pub metadata_max_age: Duration,
    /// A larger answer is taken for nonsense and closes the connection.
    pub max_response_bytes: usize,
}

impl ClientConfig {
    /// Kafka's client defaults around a comma-separated list of addresses.
    pub fn new(bootstrap: &str) -> Result<Self, ClientError> {
        Ok(Self {
            bootstrap: Address::parse_list(bootstrap)?,
            client_id: "outlast".to_owned(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            retry_timeout: Duration::from_secs(60),
            backoff: Backoff::default(),
            metadata_max_age: Duration::from_secs(300),
            max_response_bytes: 256 << 20,
        })
    }

    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = id.into();
        self
    }
}
