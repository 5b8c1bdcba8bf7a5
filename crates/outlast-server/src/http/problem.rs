//! Errors of the HTTP API: RFC 9457 problem details, every one of them.
//!
//! `type` is a stable word that programs can compare, `detail` says what to do, `errors` names the fields that are to
//! blame, and `code` is Kafka's name where the broker itself refused.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use outlast_broker::ApiError;
use outlast_protocol::ErrorCode;
use serde::Serialize;

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FieldError {
    /// A path in the body (`messages[2].valueBase64`), a query parameter or a header.
    pub(crate) field: String,
    pub(crate) detail: String,
}

/// What can go wrong, with what it means in HTTP.
macro_rules! kinds {
    ($($name:ident = $status:ident $word:literal $title:literal,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind { $($name,)* }

        impl Kind {
            fn parts(self) -> (StatusCode, &'static str, &'static str) {
                match self {
                    $(Self::$name => (StatusCode::$status, $word, $title),)*
                }
            }
        }
    };
}

kinds! {
    InvalidRequest = BAD_REQUEST "invalid-request" "The request is not valid",
    FromWebPage = FORBIDDEN "from-web-page" "Web pages may not use this API",
    NotFound = NOT_FOUND "not-found" "There is nothing here",
    QueueNotFound = NOT_FOUND "queue-not-found" "There is no such queue",
    DeadLetterNotFound = NOT_FOUND "dead-letter-not-found" "There is no such dead letter",
    JobNotFound = NOT_FOUND "job-not-found" "There is no such job",
    MethodNotAllowed = METHOD_NOT_ALLOWED "method-not-allowed" "The method is not allowed here",
    RequestTimeout = REQUEST_TIMEOUT "request-timeout" "The request did not arrive in time",
    Conflict = CONFLICT "conflict" "The request does not fit what is there",
    PreconditionFailed = PRECONDITION_FAILED "precondition-failed" "The precondition does not hold",
    TooLarge = PAYLOAD_TOO_LARGE "too-large" "The request is too large",
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE "unsupported-media-type" "The body has a media type that is not understood here",
    Misdirected = MISDIRECTED_REQUEST "misdirected" "The request is meant for another host",
    Internal = INTERNAL_SERVER_ERROR "internal" "The server failed",
    Unavailable = SERVICE_UNAVAILABLE "unavailable" "Not available now; try again",
}

pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (status, word, title) = kind.parts();
        Self {
            kind: format!("urn:outlast:problem:{word}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            code: None,
            errors: Vec::new(),
        }
    }

    /// One field is wrong.
    pub(crate) fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let (field, detail) = (field.into(), detail.into());
        let mut problem = Self::new(Kind::InvalidRequest, format!("{field}: {detail}"));
        problem.errors.push(FieldError { field, detail });
        problem
    }

    /// The same problem of something that is a part of what the client sent.
    pub(crate) fn within(mut self, prefix: &str) -> Self {
        if !self.errors.is_empty() {
            self.detail.insert_str(0, prefix);
        }
        for error in &mut self.errors {
            error.field.insert_str(0, prefix);
        }
        self
    }

    /// The broker's refusal. Its message is better than anything that could be said here, where it has one.
    pub(crate) fn from_broker(code: ErrorCode, message: Option<Cow<'_, str>>) -> Self {
        let detail = match message {
            Some(message) => message.into_owned(),
            None => said_of(code).to_owned(),
        };
        Self {
            code: Some(code.name()),
            ..Self::new(kind_of(code), detail)
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<ErrorCode> for Problem {
    fn from(code: ErrorCode) -> Self {
        Self::from_broker(code, None)
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        Self::from_broker(error.code, error.message.map(Cow::Owned))
    }
}

fn kind_of(code: ErrorCode) -> Kind {
    use ErrorCode::*;
    match code {
        UnknownTopicOrPartition | UnknownTopicId | GroupIdNotFound => Kind::QueueNotFound,
        ResourceNotFound => Kind::NotFound,
        MessageTooLarge | RecordListTooLarge => Kind::TooLarge,
        NonEmptyGroup
        | TopicAlreadyExists
        | GroupSubscribedToTopic
        | DuplicateResource
        | InvalidRecordState
        | TopicDeletionDisabled => Kind::Conflict,
        InvalidConfig
        | InvalidRequest
        | InvalidTopicException
        | InvalidGroupId
        | InvalidPartitions
        | InvalidRecord
        | InvalidTimestamp
        | PolicyViolation
        | OffsetOutOfRange => Kind::InvalidRequest,
        code if code.retriable() => Kind::Unavailable,
        _ => Kind::Internal,
    }
}

fn said_of(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::CoordinatorLoadInProgress => "the group's queues are being loaded; try again",
        ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator => {
            "the group's coordinator does not answer now; try again"
        }
        ErrorCode::KafkaStorageError => "the disk does not take writes now; see /healthz",
        ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId => {
            "there is no such queue; create it with PUT /v1/queues/{queue}"
        }
        ErrorCode::InvalidRecordState => "the lock is no longer this worker's",
        other => other.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_may_try_again_is_503_and_what_it_did_wrong_is_4xx() {
        let check = |code: ErrorCode, status: u16| {
            assert_eq!(Problem::from(code).status, status, "{code}");
        };
        check(ErrorCode::CoordinatorLoadInProgress, 503);
        check(ErrorCode::KafkaStorageError, 503);
        check(ErrorCode::UnknownTopicOrPartition, 404);
        check(ErrorCode::MessageTooLarge, 413);
        check(ErrorCode::InvalidConfig, 400);
        check(ErrorCode::NonEmptyGroup, 409);
        check(ErrorCode::UnknownServerError, 500);
    }
}
