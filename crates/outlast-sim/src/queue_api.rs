//! A client of the queue API over HTTP, as small as a worker in any language could have it: one
//! connection, JSON, and nothing that knows Outlast but the routes.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::net::TcpStream;

/// How long an answer may take beyond what the request itself waits for.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, Error)]
pub enum ApiError {
    /// Whether the request was carried out is unknown.
    #[error("no answer: {0}")]
    NoAnswer(String),
    #[error("{status}: {body}")]
    Refused { status: StatusCode, body: String },
}

pub type Result<T> = std::result::Result<T, ApiError>;

/// A message to publish. The value is text, which needs no encoding in JSON.
#[derive(Clone, Serialize, Debug)]
pub struct NewMessage {
    pub value: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<NewHeader>,
}

#[derive(Clone, Serialize, Debug)]
pub struct NewHeader {
    pub name: String,
    pub value: String,
}

/// A message that this worker has a lock on.
#[derive(Clone, Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    pub receipt: String,
    pub delivery_count: u32,
    pub value: String,
}

#[derive(Deserialize)]
struct ReceivedMany {
    messages: Vec<Received>,
}

#[derive(Deserialize)]
struct Settled {
    results: Vec<SettledOne>,
}

#[derive(Deserialize)]
struct SettledOne {
    ok: bool,
    error: Option<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    status: u16,
}

/// What became of one receipt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Done,
    /// The message is no longer this worker's.
    Refused,
    /// The broker could not do it now; it may have been done.
    Unknown,
}

/// One connection to one queue; it is made again when it breaks.
pub struct QueueApi {
    address: SocketAddr,
    queue: String,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl QueueApi {
    pub fn new(address: SocketAddr, queue: &str) -> Self {
        Self {
            address,
            queue: queue.to_owned(),
            sender: None,
        }
    }

    pub async fn create(&mut self, settings: &Value) -> Result<()> {
        let path = format!("/v1/queues/{}", self.queue);
        self.call(Method::PUT, &path, Some(settings), Duration::ZERO)
            .await
            .map(drop)
    }

    pub async fn delete(&mut self) -> Result<()> {
        let path = format!("/v1/queues/{}", self.queue);
        self.call(Method::DELETE, &path, None, Duration::ZERO)
            .await
            .map(drop)
    }

    pub async fn stats(&mut self) -> Result<Value> {
        let path = format!("/v1/queues/{}/stats", self.queue);
        let answer = self.call(Method::GET, &path, None, Duration::ZERO).await?;
        parse(&answer)
    }

    /// Returns when all of them are stored; after an error some may be.
    pub async fn publish(&mut self, messages: &[NewMessage]) -> Result<()> {
        let body = json!({ "messages": messages });
        let answer = self.post("messages", &body, Duration::ZERO).await?;
        let answer: Value = parse(&answer)?;
        match answer["failed"].as_u64() {
            Some(0) => Ok(()),
            _ => Err(no_answer(format!("not all were stored: {answer}"))),
        }
    }

    /// Up to `max` messages; waits up to `wait` for the first.
    pub async fn receive(
        &mut self,
        worker: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Received>> {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let body = json!({ "worker": worker, "maxMessages": max, "waitMs": wait_ms });
        let answer = self.post("receive", &body, wait).await?;
        parse::<ReceivedMany>(&answer).map(|answer| answer.messages)
    }

    /// Settles messages: `action` is the route, `more` its own fields. The outcomes are in the
    /// order of the receipts.
    pub async fn settle(
        &mut self,
        action: &str,
        receipts: &[&str],
        more: Value,
    ) -> Result<Vec<Outcome>> {
        let mut body = json!({ "receipts": receipts });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        let answer = self.post(action, &body, Duration::ZERO).await?;
        let settled = parse::<Settled>(&answer)?.results;
        let outcome = |one: &SettledOne| match &one.error {
            None if one.ok => Outcome::Done,
            Some(problem) if problem.status < 500 => Outcome::Refused,
            _ => Outcome::Unknown,
        };
        Ok(settled.iter().map(outcome).collect())
    }

    async fn post(&mut self, action: &str, body: &Value, wait: Duration) -> Result<Bytes> {
        let path = format!("/v1/queues/{}/{action}", self.queue);
        self.call(Method::POST, &path, Some(body), wait).await
    }

    async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        wait: Duration,
    ) -> Result<Bytes> {
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(no_answer)?,
            None => Vec::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(no_answer)?;
        match tokio::time::timeout(wait + ANSWER_LIMIT, self.exchange(request)).await {
            Ok(Err(ApiError::NoAnswer(why))) => {
                self.sender = None;
                Err(ApiError::NoAnswer(why))
            }
            Ok(result) => result,
            Err(_) => {
                self.sender = None;
                Err(no_answer("it took too long"))
            }
        }
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Bytes> {
        let sender = match &mut self.sender {
            Some(sender) if !sender.is_closed() => sender,
            _ => {
                let connected = connect(self.address).await?;
                self.sender.insert(connected)
            }
        };
        sender.ready().await.map_err(no_answer)?;
        let response = sender.send_request(request).await.map_err(no_answer)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(no_answer)?;
        let body = body.to_bytes();
        if status.is_success() {
            return Ok(body);
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        // The server is there but can't do it yet, as when it has just started.
        if status.is_server_error() {
            return Err(ApiError::NoAnswer(format!("{status}: {body}")));
        }
        Err(ApiError::Refused { status, body })
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await.map_err(no_answer)?;
    stream.set_nodelay(true).map_err(no_answer)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(no_answer)?;
    tokio::spawn(async move {
        // Its end is seen by the next request.
        let _ = connection.await;
    });
    Ok(sender)
}

fn parse<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Result<T> {
    serde_json::from_slice(answer).map_err(no_answer)
}

fn no_answer(why: impl std::fmt::Display) -> ApiError {
    ApiError::NoAnswer(why.to_string())
}
