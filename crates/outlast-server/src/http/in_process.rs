//! Kafka requests to the broker of this very process.
//!
//! What the API has in common with Kafka clients (topics, configuration, publishing) goes the clients' way, through the
//! same checks and counters, so that it can't come to mean something else over HTTP.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use outlast_broker::{Broker, Connection, HostPort};
use outlast_protocol::frame::{decode_response, encode_request};
use outlast_protocol::{Request, RequestHeader};

use super::problem::{Kind, Problem};

const LENGTH_PREFIX: usize = 4;

pub(crate) struct InProcess {
    broker: Arc<Broker>,
    connection: Arc<Connection>,
}

impl InProcess {
    pub(crate) fn new(broker: Arc<Broker>) -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // Connections of clients are numbered from 1.
        let connection = Connection::new(0, nowhere, HostPort::new("localhost", 0));
        Self {
            broker,
            connection: Arc::new(connection),
        }
    }

    pub(crate) async fn call<R: Request>(
        &self,
        version: i16,
        request: &R,
    ) -> Result<R::Response, Problem> {
        let header = RequestHeader {
            api_key: R::KEY.code(),
            api_version: version,
            correlation_id: 0,
            client_id: Some("outlast-http".into()),
        };
        let frame = encode_request(&header, request).map_err(failed)?;
        let answer = self.broker.handle(&self.connection, payload(&frame)).await;
        let answer = answer
            .map_err(failed)?
            .ok_or_else(|| failed("the request has no answer"))?;
        let (_, response) = decode_response::<R>(payload(&answer), version).map_err(failed)?;
        Ok(response)
    }
}

/// A frame in one piece, without its length.
fn payload(chain: &[Bytes]) -> BytesMut {
    let length = chain.iter().map(Bytes::len).sum();
    let mut bytes = BytesMut::with_capacity(length);
    chain.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes.split_off(LENGTH_PREFIX.min(bytes.len()))
}

fn failed(error: impl std::fmt::Display) -> Problem {
    Problem::new(Kind::Internal, error.to_string())
}
