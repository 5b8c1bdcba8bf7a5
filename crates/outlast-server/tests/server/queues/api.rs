//! A server with a data directory that outlives it, and an HTTP client that checks every answer against the document.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use jsonschema::Validator;
use outlast_broker::{Broker, BrokerConfig};
use outlast_server::{BoundServer, HostPort, ListenerConfig, Server, ServerConfig};
use outlast_storage::{DiskIo, Store, StoreOptions, SystemClock};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::PATIENCE;

pub struct QueueServer {
    directory: TempDir,
    running: Option<Running>,
}

struct Running {
    server: Server,
    broker: Arc<Broker>,
    store: Store,
    http: SocketAddr,
    kafka: SocketAddr,
}

pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl QueueServer {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let running = Some(Running::start(directory.path()).await);
        Self { directory, running }
    }

    /// Stops in order, and starts again on the same data.
    pub async fn restart(&mut self) {
        let running = self.running.take().unwrap();
        running.server.stop().await;
        running.broker.shutdown().await;
        let store = running.store;
        tokio::task::spawn_blocking(move || store.shutdown())
            .await
            .unwrap()
            .unwrap();
        drop(running.broker);
        self.running = Some(Running::start(self.directory.path()).await);
    }

    pub fn http(&self) -> SocketAddr {
        self.running.as_ref().unwrap().http
    }

    pub fn kafka(&self) -> SocketAddr {
        self.running.as_ref().unwrap().kafka
    }

    pub fn has_topic(&self, name: &str) -> bool {
        self.running.as_ref().unwrap().broker.topic(name).is_some()
    }

    /// A queue without retry delays, so that nothing waits.
    pub async fn queue(&self, name: &str, settings: Value) {
        let mut all = json!({"retry.policy": "fixed", "retry.initial.delay.ms": "0"});
        for (name, value) in settings.as_object().unwrap() {
            all[name] = value.clone();
        }
        let answer = self
            .put(&format!("/v1/queues/{name}"), json!({"settings": all}))
            .await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], b"").await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &[], b"").await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.json("PUT", path, body).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.json("POST", path, body).await
    }

    async fn json(&self, method: &str, path: &str, body: Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.call(method, path, &headers, body.to_string().as_bytes())
            .await
    }

    /// What must succeed, as JSON.
    pub async fn ok(&self, path: &str, body: Value) -> Value {
        let answer = self.post(path, body).await;
        assert!(answer.status < 300, "{path}: {}", answer.text());
        answer.json()
    }

    pub async fn send(&self, queue: &str, values: &[&str]) {
        let messages: Vec<Value> = values.iter().map(|value| json!({"value": value})).collect();
        let path = format!("/v1/queues/{queue}/messages");
        let sent = self.ok(&path, json!({"messages": messages})).await;
        assert_eq!(sent["failed"], 0);
    }

    /// The messages of one receive.
    pub async fn receive(&self, queue: &str, ask: Value) -> Vec<Value> {
        let received = self.ok(&format!("/v1/queues/{queue}/receive"), ask).await;
        received["messages"].as_array().unwrap().clone()
    }

    pub async fn stats(&self, queue: &str) -> Value {
        self.get(&format!("/v1/queues/{queue}/stats")).await.json()
    }

    /// Asks for the stats until they are so.
    pub async fn until(&self, queue: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let asking = async {
            loop {
                let stats = self.stats(queue).await;
                if is_so(&stats) {
                    return stats;
                }
            }
        };
        match timeout(PATIENCE, asking).await {
            Ok(stats) => stats,
            Err(_) => panic!("it never came to be: {:#}", self.stats(queue).await),
        }
    }

    pub async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let answer = self.unchecked(method, path, headers, body).await;
        if path.starts_with("/v1/") {
            check_documented(method, path, &answer);
        }
        answer
    }

    /// For requests that no document knows.
    pub async fn unchecked(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            head.push_str("host: localhost\r\n");
        }
        if !headers.iter().any(|(name, _)| *name == "content-length") {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let asking = async {
            let mut stream = TcpStream::connect(self.http()).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            // A server that has refused the head may not want the body.
            let _ = stream.write_all(body).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            answer
        };
        let answer = timeout(PATIENCE * 4, asking)
            .await
            .expect("an answer in time");
        Answer::parse(&answer)
    }
}

impl Running {
    async fn start(data: &Path) -> Self {
        let clock = Arc::new(SystemClock);
        let (store, _) = Store::open(
            Arc::new(DiskIo),
            clock.clone(),
            data,
            StoreOptions::default(),
        )
        .unwrap();
        let broker = Broker::open(BrokerConfig::default(), store.clone(), clock)
            .await
            .unwrap();
        let config = ServerConfig {
            listeners: vec![ListenerConfig {
                listen: HostPort::new("127.0.0.1", 0),
                advertise: None,
            }],
            http: vec![HostPort::new("127.0.0.1", 0)],
            ..ServerConfig::default()
        };
        let bound = BoundServer::bind(config).await.unwrap();
        let (kafka, http) = (bound.endpoints()[0].address, bound.http_addresses()[0]);
        Self {
            server: bound.start(Arc::clone(&broker), store.clone()),
            broker,
            store,
            http,
            kafka,
        }
    }
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|part| part == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.parse().unwrap(),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A problem's word and the fields that it blames.
    pub fn problem(&self) -> (u16, String, Vec<String>) {
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        let word = problem["type"].as_str().unwrap();
        let word = word
            .strip_prefix("urn:outlast:problem:")
            .unwrap()
            .to_owned();
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        let fields = errors
            .iter()
            .map(|e| e["field"].as_str().unwrap().to_owned());
        (self.status, word, fields.collect())
    }
}

fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        serde_json::from_str(include_str!("../../../src/http/openapi.json")).unwrap()
    })
}

fn validator(schema: &str) -> Arc<Validator> {
    static VALIDATORS: OnceLock<std::sync::Mutex<HashMap<String, Arc<Validator>>>> =
        OnceLock::new();
    let mut all = VALIDATORS.get_or_init(Default::default).lock().unwrap();
    let made = all.entry(schema.to_owned()).or_insert_with(|| {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "components": document()["components"],
            "$ref": schema,
        });
        Arc::new(jsonschema::validator_for(&schema).unwrap())
    });
    Arc::clone(made)
}

/// The document has the operation, the status and the answer's schema.
fn check_documented(method: &str, path: &str, answer: &Answer) {
    let what = format!("{method} {path} → {}", answer.status);
    let path = path.split('?').next().unwrap();
    let paths = document()["paths"].as_object().unwrap();
    let operation = paths
        .iter()
        .find(|(template, methods)| {
            fits(template, path) && methods[method.to_lowercase()].is_object()
        })
        .map(|(_, methods)| &methods[method.to_lowercase()]);
    let Some(operation) = operation else {
        // Nothing documented: then there must be nothing.
        assert!(
            [403, 404, 405].contains(&answer.status),
            "{what} is not documented"
        );
        validate("#/components/schemas/Problem", &what, answer);
        return;
    };
    let responses = &operation["responses"];
    let response = match &responses[answer.status.to_string()] {
        Value::Null => &document()["components"]["responses"]["Problem"],
        found => found,
    };
    let kind = answer.headers["content-type"].as_str();
    let schema = response["content"][kind]["schema"]["$ref"].as_str();
    let schema =
        schema.unwrap_or_else(|| panic!("{what} with {kind} is not documented: {}", answer.text()));
    validate(schema, &what, answer);
}

fn validate(schema: &str, what: &str, answer: &Answer) {
    let body = answer.json();
    let validator = validator(schema);
    let errors: Vec<String> = validator
        .iter_errors(&body)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(
        errors.is_empty(),
        "{what} is not a {schema}: {errors:#?}\n{body:#}"
    );
}

fn fits(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(part), Some(_)) if part.starts_with('{') => {}
            (Some(part), Some(other)) if part == other => {}
            _ => return false,
        }
    }
}
