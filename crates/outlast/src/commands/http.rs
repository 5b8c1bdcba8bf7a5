//! The HTTP API of an Outlast server, as the queue commands use it: JSON in, JSON out, problems as errors.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use ureq::Agent;
use ureq::http::{Method, Request, StatusCode};

#[derive(Debug, Args)]
pub struct HttpArgs {
    /// The server's HTTP address
    #[arg(
        long,
        env = "OUTLAST_HTTP",
        default_value = "http://localhost:9644",
        value_name = "URL",
        hide_env_values = true,
        display_order = 900,
        global = true
    )]
    http: String,
}

pub struct Api {
    agent: Agent,
    base: String,
}

/// One request, ready to be sent.
pub struct Call<'a> {
    api: &'a Api,
    method: Method,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// What the server says is wrong (RFC 9457).
#[derive(Debug, Deserialize)]
struct Problem {
    title: String,
    detail: String,
}

impl HttpArgs {
    pub fn connect(&self) -> anyhow::Result<Api> {
        let base = match self.http.split_once("://") {
            None => format!("http://{}", self.http),
            Some(("http", _)) => self.http.clone(),
            Some((scheme, _)) => {
                bail!("--http {}: {scheme} is not supported, only http", self.http)
            }
        };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .build()
            .into();
        Ok(Api {
            agent,
            base: base.trim_end_matches('/').to_owned(),
        })
    }
}

impl Api {
    pub fn get(&self, path: &[&str]) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub fn put(&self, path: &[&str]) -> Call<'_> {
        self.call(Method::PUT, path)
    }

    pub fn post(&self, path: &[&str]) -> Call<'_> {
        self.call(Method::POST, path)
    }

    pub fn delete(&self, path: &[&str]) -> Call<'_> {
        self.call(Method::DELETE, path)
    }

    fn call(&self, method: Method, path: &[&str]) -> Call<'_> {
        let path: String = path
            .iter()
            .map(|part| format!("/{}", escaped(part)))
            .collect();
        Call {
            api: self,
            method,
            target: format!("{}/v1{path}", self.base),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }
}

impl Call<'_> {
    pub fn query(mut self, name: &str, value: impl ToString) -> Self {
        let separator = if self.target.contains('?') { '&' } else { '?' };
        let value = escaped(&value.to_string());
        self.target.push_str(&format!("{separator}{name}={value}"));
        self
    }

    pub fn maybe(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    pub fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string().into_bytes();
        self.header("content-type", "application/json")
    }

    pub fn bytes(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self.header("content-type", "application/octet-stream")
    }

    /// The answer's body. A problem is an error that says what the server said.
    pub fn send(self) -> anyhow::Result<Value> {
        let server = self.api.base.clone();
        let mut request = Request::builder().method(self.method).uri(&self.target);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let response = self.api.agent.run(request.body(self.body)?);
        let mut response = response.map_err(|error| match error {
            ureq::Error::Io(_) | ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => anyhow!(
                "{server} does not answer: {error}\n  start a server with: outlast serve\n  or name its HTTP address with --http URL (or OUTLAST_HTTP)"
            ),
            error => anyhow!("{server}: {error}"),
        })?;
        let status = response.status();
        let body = response
            .body_mut()
            .with_config()
            .limit(1 << 30)
            .read_to_vec()?;
        if status.is_success() {
            return serde_json::from_slice(&body).with_context(|| {
                format!("{server} did not answer in JSON: is it an Outlast server?")
            });
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if status == StatusCode::INTERNAL_SERVER_ERROR => {
                bail!("{}: {}", problem.title, problem.detail)
            }
            Ok(problem) => bail!("{}", problem.detail),
            Err(_) => bail!("{server} answered {status}: is it an Outlast server?"),
        }
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_reach_the_server_as_they_are() {
        assert_eq!(escaped("a-b.c_d~1"), "a-b.c_d~1");
        assert_eq!(escaped("a/b c&ö"), "a%2Fb%20c%26%C3%B6");
    }

    #[test]
    fn only_http_is_spoken() {
        let connect = |http: &str| {
            HttpArgs {
                http: http.to_owned(),
            }
            .connect()
        };
        assert_eq!(connect("box:9644").unwrap().base, "http://box:9644");
        assert_eq!(connect("http://box:9644/").unwrap().base, "http://box:9644");
        assert!(connect("https://box").is_err());
    }
}
