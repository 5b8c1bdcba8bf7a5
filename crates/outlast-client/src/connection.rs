//! One connection to one broker: requests are written in the order in which they are started, any number may be
//! in flight, and answers find their request by correlation id. When the connection breaks, everything in flight
//! fails with the same error; this layer never repeats anything.

mod stream;

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use outlast_protocol::frame::{decode_response, encode_request};
use outlast_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use outlast_protocol::{ErrorCode, Request, RequestHeader, Str};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::address::Address;
use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::versions::ApiVersionTable;

/// A handle on a connection; clones share it. The socket closes with the last handle.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    versions: ApiVersionTable,
    client_id: Str,
    next_correlation: AtomicI32,
    request_timeout: Duration,
    reader: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    peer: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` once closed: the writer ends when it has drained what was queued.
    outbox: Option<mpsc::UnboundedSender<Outgoing>>,
    waiting: HashMap<i32, oneshot::Sender<Result<BytesMut, ClientError>>>,
    closed: Option<ClientError>,
}

#[derive(Debug)]
struct Outgoing {
    frame: Vec<Bytes>,
    /// For requests that the broker never answers (acks=0): told when the bytes are with the operating system.
    written: Option<oneshot::Sender<Result<BytesMut, ClientError>>>,
}

impl Connection {
    /// Connects over TCP, trying each address the name resolves to, and asks the broker for its versions.
    pub async fn connect(address: &Address, config: &ClientConfig) -> Result<Self, ClientError> {
        let connecting = TcpStream::connect((address.host.as_str(), address.port));
        let stream = tokio::time::timeout(config.connect_timeout, connecting)
            .await
            .map_err(|_| ClientError::Timeout {
                what: format!("connecting to {address}"),
                after: config.connect_timeout,
            })?
            .map_err(|e| ClientError::connection(address.to_string(), e))?;
        // Small requests must not wait for the acknowledgement of earlier ones.
        stream
            .set_nodelay(true)
            .map_err(|e| ClientError::connection(address.to_string(), e))?;
        let (read, write) = stream.into_split();
        Self::over(read, write, address.to_string(), config).await
    }

    /// The same over any stream: the seam for simulated networks.
    pub async fn over<R, W>(
        read: R,
        write: W,
        peer: String,
        config: &ClientConfig,
    ) -> Result<Self, ClientError>
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let (outbox, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            peer,
            state: Mutex::new(State {
                outbox: Some(outbox),
                waiting: HashMap::new(),
                closed: None,
            }),
        });
        let reader = tokio::spawn(stream::read_answers(
            read,
            Arc::clone(&shared),
            config.max_response_bytes,
        ))
        .abort_handle();
        tokio::spawn(stream::write_requests(write, Arc::clone(&shared), queue));

        let mut inner = Inner {
            shared,
            versions: ApiVersionTable::default(),
            client_id: Str::from(config.client_id.as_str()),
            next_correlation: AtomicI32::new(0),
            request_timeout: config.request_timeout,
            reader,
        };
        inner.versions = negotiate(&inner).await?;
        Ok(Self(Arc::new(inner)))
    }

    pub fn peer(&self) -> &str {
        &self.0.shared.peer
    }

    pub fn versions(&self) -> &ApiVersionTable {
        &self.0.versions
    }

    pub fn is_closed(&self) -> bool {
        self.0.shared.lock().closed.is_some()
    }

    /// Sends and waits, at most the configured request timeout.
    pub async fn request<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        self.start(request, i16::MAX)?.response().await
    }

    /// The same for requests that wait at the broker for up to `patience` on purpose (long polls, group joins).
    pub async fn request_patiently<R: Request>(
        &self,
        request: &R,
        patience: Duration,
    ) -> Result<R::Response, ClientError> {
        self.start(request, i16::MAX)?
            .response_within(self.0.request_timeout + patience)
            .await
    }

    /// Queues the request at once, in call order, at the highest common version up to `cap`.
    pub fn start<R: Request>(&self, request: &R, cap: i16) -> Result<InFlight<R>, ClientError> {
        let version = self.0.versions.pick::<R>(cap)?;
        self.0.start(request, version, true, Some(self))
    }

    /// Queues a request that the broker does not answer, in call order like [`Connection::start`].
    pub fn start_unanswered<R: Request>(
        &self,
        request: &R,
        cap: i16,
    ) -> Result<Unanswered, ClientError> {
        let version = self.0.versions.pick::<R>(cap)?;
        let in_flight = self.0.start(request, version, false, Some(self))?;
        Ok(Unanswered(in_flight.frame))
    }

    /// Breaks the connection: everything in flight fails with `why`.
    pub fn close(&self, why: ClientError) {
        self.0.shared.close(why);
        self.0.reader.abort();
    }
}

impl Inner {
    fn start<R: Request>(
        &self,
        request: &R,
        version: i16,
        answered: bool,
        connection: Option<&Connection>,
    ) -> Result<InFlight<R>, ClientError> {
        let correlation_id = self.next_correlation.fetch_add(1, Ordering::Relaxed);
        let header = RequestHeader {
            api_key: R::KEY.code(),
            api_version: version,
            correlation_id,
            client_id: Some(self.client_id.clone()),
        };
        let frame = encode_request(&header, request).map_err(|e| {
            ClientError::invalid(format!(
                "{:?} cannot be said in version {version}: {e}",
                R::KEY
            ))
        })?;
        let (sender, receiver) = oneshot::channel();
        let mut state = self.shared.lock();
        if let Some(why) = &state.closed {
            return Err(why.clone());
        }
        let written = if answered {
            state.waiting.insert(correlation_id, sender);
            None
        } else {
            Some(sender)
        };
        let queued = state
            .outbox
            .as_ref()
            .is_some_and(|outbox| outbox.send(Outgoing { frame, written }).is_ok());
        if !queued {
            return Err(ClientError::disconnected(&self.shared.peer));
        }
        drop(state);
        Ok(InFlight {
            frame: Frame {
                receiver,
                shared: Arc::clone(&self.shared),
                _connection: connection.cloned(),
            },
            version,
            timeout: self.request_timeout,
            request: PhantomData,
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.close(ClientError::Closed);
        self.reader.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it, and a poisoned map would still be a usable map.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, why: ClientError) {
        let mut state = self.lock();
        state.outbox = None;
        if state.closed.is_none() {
            state.closed = Some(why.clone());
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for (_, sender) in waiting {
            let _ = sender.send(Err(why.clone()));
        }
    }
}

/// A request on its way. Dropping it forgets the answer, not the request.
#[derive(Debug)]
pub struct InFlight<R> {
    frame: Frame,
    version: i16,
    timeout: Duration,
    request: PhantomData<fn() -> R>,
}

impl<R: Request> InFlight<R> {
    pub fn version(&self) -> i16 {
        self.version
    }

    pub async fn response(self) -> Result<R::Response, ClientError> {
        let timeout = self.timeout;
        self.response_within(timeout).await
    }

    pub async fn response_within(self, timeout: Duration) -> Result<R::Response, ClientError> {
        let shared = Arc::clone(&self.frame.shared);
        let frame = match tokio::time::timeout(timeout, self.frame.wait()).await {
            Ok(frame) => frame?,
            Err(_) => {
                // Answers come in order, so all later ones are late as well.
                let why = ClientError::Timeout {
                    what: format!("the answer of {} to {:?}", shared.peer, R::KEY),
                    after: timeout,
                };
                shared.close(why.clone());
                return Err(why);
            }
        };
        decode::<R>(frame, self.version)
            .map_err(|reason| ClientError::malformed(&shared.peer, reason))
    }
}

/// A request without an answer, on its way to the socket.
#[derive(Debug)]
pub struct Unanswered(Frame);

impl Unanswered {
    /// Completes when the operating system has the bytes.
    pub async fn written(self) -> Result<(), ClientError> {
        self.0.wait().await.map(|_| ())
    }
}

/// The answer's bytes, when they come.
#[derive(Debug)]
struct Frame {
    receiver: oneshot::Receiver<Result<BytesMut, ClientError>>,
    shared: Arc<Shared>,
    /// Keeps the socket open until the answer is here.
    _connection: Option<Connection>,
}

impl Frame {
    async fn wait(self) -> Result<BytesMut, ClientError> {
        match self.receiver.await {
            Ok(answer) => answer,
            Err(_) => {
                let why = self.shared.lock().closed.clone();
                Err(why.unwrap_or_else(|| ClientError::disconnected(&self.shared.peer)))
            }
        }
    }
}

fn decode<R: Request>(frame: BytesMut, version: i16) -> Result<R::Response, String> {
    decode_response::<R>(frame, version)
        .map(|(_, response)| response)
        .map_err(|e| format!("{:?} version {version}: {e}", R::KEY))
}

/// Asks for the broker's versions, in our newest version first. A broker that doesn't know it answers
/// UNSUPPORTED_VERSION in version 0, with the range it does know (KIP-511).
async fn negotiate(inner: &Inner) -> Result<ApiVersionTable, ClientError> {
    let request = ApiVersionsRequest {
        client_software_name: Str::from("outlast"),
        client_software_version: Str::from(env!("CARGO_PKG_VERSION")),
    };
    let peer = &inner.shared.peer;
    let mut version = *ApiVersionsRequest::KEY.valid_versions().end();
    for _ in 0..2 {
        let in_flight = inner.start(&request, version, true, None)?;
        let timeout = inner.request_timeout;
        let frame = tokio::time::timeout(timeout, in_flight.frame.wait())
            .await
            .map_err(|_| ClientError::Timeout {
                what: format!("the answer of {peer} to ApiVersions (is it a Kafka broker?)"),
                after: timeout,
            })??;
        // Correlation id, then the body, which begins with the error code in every version.
        let error = frame.get(4..6).map(|b| i16::from_be_bytes([b[0], b[1]]));
        let unsupported = error == Some(ErrorCode::UnsupportedVersion.code());
        let answered_version = if unsupported { 0 } else { version };
        let response: ApiVersionsResponse =
            decode::<ApiVersionsRequest>(frame, answered_version)
                .map_err(|reason| ClientError::malformed(peer, reason))?;
        let table = ApiVersionTable::from_response(&response);
        if !unsupported {
            ClientError::check(
                response.error_code,
                || format!("{peer} refused ApiVersions"),
                None,
            )?;
            return Ok(table);
        }
        version = match table.range(ApiVersionsRequest::KEY) {
            Some((_, max)) => max.clamp(0, version),
            None => 0,
        };
    }
    Err(ClientError::malformed(
        peer,
        "it refuses every version of ApiVersions",
    ))
}

#[cfg(test)]
mod tests;
