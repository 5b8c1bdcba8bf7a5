//! `outlast queue send`: arguments, lines or files become messages; success means that all are durable.

use std::io::{self, BufRead};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::SendArgs;
use super::manage::of_queue;
use crate::commands::http::Api;
use crate::commands::output::{self, grouped, note};

/// Lines go in requests of this many, or this many bytes.
const MAX_MESSAGES: usize = 1_000;
const MAX_BYTES: usize = 4 << 20;

pub(super) fn run(api: &Api, args: &SendArgs) -> anyhow::Result<()> {
    let mut sink = Sink {
        api,
        args,
        batch: Vec::new(),
        bytes: 0,
        sent: 0,
    };
    for file in &args.files {
        let value = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        sink.file(value)?;
    }
    for message in &args.messages {
        sink.line(message.as_bytes())?;
    }
    if args.files.is_empty() && args.messages.is_empty() {
        sink.lines(io::stdin().lock())?;
    }
    sink.flush()?;
    if !args.quiet && !args.output.json {
        let count = grouped(sink.sent);
        note(&format!("{count} messages sent to {}", args.queue.name()));
    }
    Ok(())
}

struct Sink<'a> {
    api: &'a Api,
    args: &'a SendArgs,
    batch: Vec<Value>,
    bytes: usize,
    sent: u64,
}

impl Sink<'_> {
    fn lines(&mut self, mut input: impl BufRead) -> anyhow::Result<()> {
        let mut line = Vec::new();
        for number in 1u64.. {
            line.clear();
            if input.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let end = line.strip_suffix(b"\n").unwrap_or(&line);
            let end = end.strip_suffix(b"\r").unwrap_or(end).len();
            self.line(&line[..end])
                .with_context(|| format!("line {number}"))?;
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let (key, value) = match &self.args.key_separator {
            None => (self.args.key.as_deref().map(str::as_bytes), line),
            Some(separator) => {
                let length = separator.len().max(1);
                let at = line
                    .windows(length)
                    .position(|part| part == separator.as_bytes());
                let at =
                    at.with_context(|| format!("there is no '{separator}' between key and value"))?;
                (Some(&line[..at]), &line[at + length..])
            }
        };
        let message = self.message(key, value);
        self.bytes += line.len();
        self.batch.push(message);
        if self.batch.len() >= MAX_MESSAGES || self.bytes >= MAX_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn message(&self, key: Option<&[u8]>, value: &[u8]) -> Value {
        let headers = self.args.headers.iter();
        let headers: Vec<Value> = headers
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        let mut message = json!({"headers": headers});
        let mut put = |name: &str, bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) => message[name] = text.into(),
            Err(_) => message[format!("{name}Base64")] = base64(bytes).into(),
        };
        put("value", value);
        if let Some(key) = key {
            put("key", key);
        }
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        if let Some(delay) = self.args.delay {
            message["delayMs"] = ms(delay).into();
        }
        if let Some(at) = self.args.at {
            message["deliverAt"] = at.into();
        }
        if let Some(ttl) = self.args.ttl {
            message["ttlMs"] = ms(ttl).into();
        }
        message
    }

    /// As it is: a file may be larger than what a list of messages should be.
    fn file(&mut self, value: Vec<u8>) -> anyhow::Result<()> {
        let message = self.message(self.args.key.as_deref().map(str::as_bytes), &[]);
        let queue = &self.args.queue;
        let mut call = of_queue(self.api.post(&["queues", &queue.queue, "messages"]), queue);
        for (header, field) in [
            ("outlast-key", "key"),
            ("outlast-delay-ms", "delayMs"),
            ("outlast-deliver-at", "deliverAt"),
            ("outlast-ttl-ms", "ttlMs"),
        ] {
            match &message[field] {
                Value::Null => {}
                Value::String(text) => call = call.header(header, text),
                other => call = call.header(header, other),
            }
        }
        if !self.args.headers.is_empty() {
            bail!("--header goes with lines and arguments, not with files");
        }
        let answer = call.bytes(value).send()?;
        self.done(&answer)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let messages = std::mem::take(&mut self.batch);
        self.bytes = 0;
        let queue = &self.args.queue;
        let call = of_queue(self.api.post(&["queues", &queue.queue, "messages"]), queue);
        let answer = call.json(&json!({"messages": messages})).send()?;
        self.done(&answer)
    }

    fn done(&mut self, answer: &Value) -> anyhow::Result<()> {
        let messages = answer["messages"].as_array().cloned().unwrap_or_default();
        if self.args.output.json {
            messages.iter().try_for_each(output::json)?;
        }
        let failed = messages
            .iter()
            .find_map(|message| message["error"]["detail"].as_str());
        if let Some(detail) = failed {
            bail!("{} messages were not stored: {detail}", answer["failed"]);
        }
        self.sent += messages.len() as u64;
        Ok(())
    }
}

pub(super) fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
