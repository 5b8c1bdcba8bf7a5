//! Messages as JSON: bytes are text where they are UTF-8, and base64 under another name where they are not, or always
//! when asked. A field that isn't there is null in the record; an empty one is empty.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use outlast_records::Record;
use serde::{Deserialize, Serialize};

use super::problem::Problem;

/// How bytes are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encoding {
    /// Text where it is UTF-8.
    #[default]
    Auto,
    Base64,
}

impl Encoding {
    pub(crate) fn from_parameter(text: Option<&str>) -> Result<Self, Problem> {
        match text {
            None | Some("auto") => Ok(Self::Auto),
            Some("base64") => Ok(Self::Base64),
            Some(other) => {
                let detail = format!("{other:?} is neither auto nor base64");
                Err(Problem::field("encoding", detail))
            }
        }
    }
}

/// A record's own part of a message, to be flattened into what else is known.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageBody {
    partition: i32,
    offset: i64,
    /// Milliseconds since the epoch.
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    headers: Vec<Header>,
}

/// A header of a message, in both directions.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Header {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value_base64: Option<String>,
}

impl MessageBody {
    pub(crate) fn new(partition: i32, record: &Record, encoding: Encoding) -> Self {
        let (key, key_base64) = shown(record.key.as_deref(), encoding);
        let (value, value_base64) = shown(record.value.as_deref(), encoding);
        let headers = record.headers.iter().map(|header| {
            let (value, value_base64) = shown(header.value.as_deref(), encoding);
            Header {
                name: String::from_utf8_lossy(&header.key).into_owned(),
                value,
                value_base64,
            }
        });
        Self {
            partition,
            offset: record.offset.0,
            timestamp: record.timestamp.0,
            key,
            key_base64,
            value,
            value_base64,
            headers: headers.collect(),
        }
    }
}

fn shown(bytes: Option<&[u8]>, encoding: Encoding) -> (Option<String>, Option<String>) {
    let Some(bytes) = bytes else {
        return (None, None);
    };
    match std::str::from_utf8(bytes) {
        Ok(text) if encoding == Encoding::Auto => (Some(text.to_owned()), None),
        _ => (None, Some(STANDARD.encode(bytes))),
    }
}

/// Bytes that came as text or as base64; `field` is the name of the text.
pub(crate) fn bytes_of(
    field: &str,
    text: Option<String>,
    base64: Option<&str>,
) -> Result<Option<Vec<u8>>, Problem> {
    match (text, base64) {
        (Some(_), Some(_)) => Err(Problem::field(
            format!("{field}Base64"),
            format!("give {field} or {field}Base64, not both"),
        )),
        (text, None) => Ok(text.map(String::into_bytes)),
        (None, Some(base64)) => STANDARD.decode(base64).map(Some).map_err(|error| {
            Problem::field(format!("{field}Base64"), format!("is not base64: {error}"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_only_where_they_are_text() {
        let text = |s: &str| (Some(s.to_owned()), None);
        let base64 = |s: &str| (None, Some(s.to_owned()));
        for (bytes, encoding, expect) in [
            (None, Encoding::Auto, (None, None)),
            (Some(&b""[..]), Encoding::Auto, text("")),
            (Some("ключ".as_bytes()), Encoding::Auto, text("ключ")),
            (Some(b"\xff\x00"), Encoding::Auto, base64("/wA=")),
            (Some(b"abc"), Encoding::Base64, base64("YWJj")),
        ] {
            assert_eq!(shown(bytes, encoding), expect, "{bytes:?} {encoding:?}");
        }
    }

    #[test]
    fn bytes_are_given_once_and_whole() {
        let given = |text: Option<&str>, base64| bytes_of("value", text.map(str::to_owned), base64);
        assert_eq!(given(None, None).unwrap(), None);
        assert_eq!(given(Some(""), None).unwrap(), Some(vec![]));
        assert_eq!(given(None, Some("/wA=")).unwrap(), Some(vec![0xff, 0]));
        assert!(given(None, Some("/w")).is_err());
        assert!(given(Some("a"), Some("/wA=")).is_err());
    }
}
