//! What a request to the API consists of, taken apart with errors that name the field: path, query and body.
//!
//! A body takes its length from the same budget of bytes as the requests of Kafka clients before it is read, has a
//! largest size and must arrive in time.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::{HeaderMap, StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::api::Api;
use super::problem::{Kind, Problem};
use crate::byte_budget::BytePermit;

/// A body must be complete after this and a second for each 64 KiB of it, as a frame of a Kafka client.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
const BYTES_PER_EXTRA_SECOND: u64 = 64 * 1024;

/// A path's variable parts and the query, both of which must be used up.
pub(crate) struct Address {
    segments: HashMap<String, String>,
    query: Vec<(String, String)>,
}

/// Which queue a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueRef {
    pub(crate) queue: String,
    pub(crate) group: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Address {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let segments = Path::<HashMap<String, String>>::from_request_parts(parts, state).await;
        let Path(segments) =
            segments.map_err(|error| Problem::new(Kind::InvalidRequest, error.to_string()))?;
        let query = serde_urlencoded::from_str(parts.uri.query().unwrap_or_default());
        let query = query.map_err(|error| {
            Problem::new(
                Kind::InvalidRequest,
                format!("the query cannot be read: {error}"),
            )
        })?;
        Ok(Self { segments, query })
    }
}

impl Address {
    /// The queue in the path, with the group of the query; a group has its queue's name when it isn't said.
    pub(crate) fn queue(&mut self) -> Result<QueueRef, Problem> {
        let queue = self.segments.remove("queue").unwrap_or_default();
        let group = self.text("group")?.unwrap_or_else(|| queue.clone());
        if group.is_empty() {
            return Err(Problem::field("group", "must not be empty"));
        }
        Ok(QueueRef { queue, group })
    }

    /// A number in the path; what is no number is not there.
    pub(crate) fn segment<T: FromStr>(&mut self, name: &str) -> Result<T, Problem> {
        let text = self.segments.remove(name).unwrap_or_default();
        text.parse().map_err(|_| {
            let detail = format!("{text:?} in the path is no {name}");
            Problem::new(Kind::NotFound, detail)
        })
    }

    /// A parameter that may be given once.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut values = self.all(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            _ => Err(Problem::field(name, "is given more than once")),
        }
    }

    /// A parameter that may be repeated.
    pub(crate) fn all(&mut self, name: &str) -> Vec<String> {
        let taken = self.query.extract_if(.., |(key, _)| key == name);
        taken.map(|(_, value)| value).collect()
    }

    pub(crate) fn number<T>(
        &mut self,
        name: &str,
        allowed: RangeInclusive<T>,
    ) -> Result<Option<T>, Problem>
    where
        T: FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let number = text.parse().ok().filter(|number| allowed.contains(number));
        number.map(Some).ok_or_else(|| {
            let detail = format!(
                "{text:?} is not a whole number from {} to {}",
                allowed.start(),
                allowed.end()
            );
            Problem::field(name, detail)
        })
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.text(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(other) => Err(Problem::field(
                name,
                format!("{other:?} is neither true nor false"),
            )),
        }
    }

    /// A misspelt parameter is an error, not a surprise.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        match self.query.first() {
            None => Ok(()),
            Some((name, _)) => Err(Problem::field(name, "is not a parameter of this request")),
        }
    }
}

/// A request's body, read, with the headers that came with it.
pub(crate) struct Payload {
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    _permit: Option<BytePermit>,
}

impl FromRequest<Arc<Api>> for Payload {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let announced = parts.headers.get(header::CONTENT_LENGTH);
        let announced: Option<u64> = announced.and_then(|value| value.to_str().ok()?.parse().ok());
        let largest = api.max_body_bytes as u64;
        if announced.is_some_and(|length| length > largest) {
            return Err(too_large(largest));
        }
        // Without a length it may be the largest; a body of nothing costs nothing.
        let length = match announced {
            Some(length) => length,
            None if parts.headers.contains_key(header::TRANSFER_ENCODING) => largest,
            None => 0,
        };
        let permit = match length {
            0 => None,
            length => Some(api.budget.take(length as usize).await),
        };
        let limit = BODY_DEADLINE + Duration::from_secs(length / BYTES_PER_EXTRA_SECOND);
        let bytes = timeout(limit, to_bytes(body, api.max_body_bytes))
            .await
            .map_err(|_| {
                let detail = format!("the body was not complete after {} s", limit.as_secs());
                Problem::new(Kind::RequestTimeout, detail)
            })?
            // The length was checked; only a body of unknown length can still be too large.
            .map_err(|error| match announced {
                None => too_large(largest),
                Some(_) => Problem::new(Kind::InvalidRequest, format!("the body ended: {error}")),
            })?;
        Ok(Self {
            headers: parts.headers,
            bytes,
            _permit: permit,
        })
    }
}

fn too_large(largest: u64) -> Problem {
    let detail = format!("a request's body may have {largest} bytes; send several smaller ones");
    Problem::new(Kind::TooLarge, detail)
}

impl Payload {
    /// The media type without parameters, in small letters.
    pub(crate) fn media_type(&self) -> Option<String> {
        let value = self.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let essence = value.split(';').next().unwrap_or_default();
        Some(essence.trim().to_ascii_lowercase())
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        match self.media_type().as_deref() {
            Some("application/json") => {}
            other => {
                let found = other.unwrap_or("none");
                let detail = format!("the Content-Type must be application/json, and is {found}");
                return Err(Problem::new(Kind::UnsupportedMediaType, detail));
            }
        }
        let mut deserializer = serde_json::Deserializer::from_slice(&self.bytes);
        let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let field = error.path().to_string();
            let detail = error.into_inner().to_string();
            match field.as_str() {
                "." | "?" => Problem::new(
                    Kind::InvalidRequest,
                    format!("the body is not right: {detail}"),
                ),
                _ => Problem::field(field, detail),
            }
        })?;
        deserializer.end().map_err(|error| {
            Problem::new(
                Kind::InvalidRequest,
                format!("the body goes on after its end: {error}"),
            )
        })?;
        Ok(value)
    }

    /// No body means that everything has its default.
    pub(crate) fn json_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, Problem> {
        if self.bytes.is_empty() {
            return Ok(T::default());
        }
        self.json()
    }
}

/// An answer in JSON.
pub(crate) fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => {
            let json = [(header::CONTENT_TYPE, "application/json")];
            (status, json, body).into_response()
        }
        Err(error) => Problem::new(Kind::Internal, error.to_string()).into_response(),
    }
}

/// A number of a body, within its bounds.
pub(crate) fn bounded<T: PartialOrd + std::fmt::Display + Copy>(
    field: &str,
    given: Option<T>,
    default: T,
    allowed: RangeInclusive<T>,
) -> Result<T, Problem> {
    match given {
        None => Ok(default),
        Some(number) if allowed.contains(&number) => Ok(number),
        Some(number) => Err(Problem::field(
            field,
            format!(
                "{number} is not from {} to {}",
                allowed.start(),
                allowed.end()
            ),
        )),
    }
}
