//! The task behind a producer: sends ready batches to the leaders of their partitions, a few requests in flight
//! each, and deals with what comes back. All waiting happens in one `select`; the rest is bookkeeping.

mod answers;
mod upkeep;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use outlast_protocol::messages::ProduceResponse;
use tokio::time::Instant;
use tracing::debug;

use super::flow::{Flow, Gate, Identity, Origin};
use super::inlet::{Inlet, Partition, Taken};
use super::request::{Entry, Shipment};
use super::{Acks, Delivered};
use crate::cluster::{Client, Lane};
use crate::connection::Connection;
use crate::error::ClientError;
use crate::metadata::{BrokerId, Metadata};

pub(super) async fn run(client: Client, inlet: Arc<Inlet>) {
    let mut sender = Sender {
        metadata: client.metadata(),
        client,
        slots: Vec::new(),
        active: Vec::new(),
        first: 0,
        brokers: HashMap::new(),
        identity: None,
        identity_wanted: false,
        identity_after: None,
        stale_topics: HashSet::new(),
        refreshing: false,
        refresh_after: Instant::now(),
        events: FuturesUnordered::new(),
        inlet,
    };
    let mut woken = Vec::new();
    loop {
        sender.inlet.take_woken(&mut woken);
        for partition in woken.drain(..) {
            sender.activate(partition);
        }
        let wake_at = sender.dispatch();
        let inlet = Arc::clone(&sender.inlet);
        tokio::select! {
            Some(event) = sender.events.next(), if !sender.events.is_empty() => sender.handle(event),
            () = inlet.wake_sender.notified() => {}
            () = tokio::time::sleep_until(wake_at) => {}
        }
    }
}

struct Sender {
    client: Client,
    inlet: Arc<Inlet>,
    metadata: Arc<Metadata>,
    slots: Vec<Slot>,
    /// The slots that have something to send.
    active: Vec<usize>,
    /// Where the next round begins, so that no partition is always last.
    first: usize,
    brokers: HashMap<BrokerId, BrokerState>,
    identity: Option<Identity>,
    identity_wanted: bool,
    identity_after: Option<Instant>,
    stale_topics: HashSet<String>,
    refreshing: bool,
    refresh_after: Instant,
    events: FuturesUnordered<BoxFuture<'static, Event>>,
}

/// The sender's side of a partition.
struct Slot {
    partition: Arc<Partition>,
    flow: Flow,
    leader: Option<BrokerId>,
    active: bool,
    failures: u32,
    not_before: Option<Instant>,
}

#[derive(Default)]
struct BrokerState {
    connection: Option<Connection>,
    connecting: bool,
    in_flight: usize,
    failures: u32,
    not_before: Option<Instant>,
}

enum Event {
    Answer {
        broker: BrokerId,
        shipment: Shipment,
        result: Result<Option<ProduceResponse>, ClientError>,
    },
    Connected(BrokerId, Result<Connection, ClientError>),
    Refreshed(Result<(), ClientError>),
    Identified(Result<Identity, ClientError>),
}

#[derive(Default)]
struct Staged {
    entries: Vec<Entry>,
    bytes: usize,
}

/// What stopped a slot from sending.
enum Skip {
    /// Until something comes back.
    Wait,
    Until(Instant),
    Idle,
    /// The request that it would go into is full, but another one may follow at once.
    RequestFull,
}

/// An idle sender still looks around this often: the upper bound of a missed deadline.
const IDLE: Duration = Duration::from_secs(1);

impl Sender {
    fn activate(&mut self, partition: Arc<Partition>) {
        let slots = &mut self.slots;
        let idempotent = self.inlet.config().idempotent;
        let leader = self.metadata.leader(&partition.topic.name, partition.index);
        let index = *partition.slot.get_or_init(|| {
            slots.push(Slot {
                partition: Arc::clone(&partition),
                flow: Flow::new(idempotent),
                leader,
                active: false,
                failures: 0,
                not_before: None,
            });
            slots.len() - 1
        });
        self.activate_slot(index);
    }

    fn activate_slot(&mut self, index: usize) {
        if !std::mem::replace(&mut self.slots[index].active, true) {
            self.active.push(index);
        }
    }

    /// Sends what can be sent. Returns when to look again even if nothing happens.
    fn dispatch(&mut self) -> Instant {
        let now = Instant::now();
        self.notice_metadata();
        let mut wake_at = now + IDLE;
        loop {
            let mut staged: HashMap<BrokerId, Staged> = HashMap::new();
            let mut again = false;
            let mut still_active = Vec::with_capacity(self.active.len());
            let active = std::mem::take(&mut self.active);
            self.first = if active.is_empty() {
                0
            } else {
                (self.first + 1) % active.len()
            };
            for position in 0..active.len() {
                let index = active[(self.first + position) % active.len()];
                match self.stage(index, now, &mut staged) {
                    Ok(()) | Err(Skip::Wait) => still_active.push(index),
                    Err(Skip::Until(when)) => {
                        wake_at = wake_at.min(when);
                        still_active.push(index);
                    }
                    Err(Skip::RequestFull) => {
                        again = true;
                        still_active.push(index);
                    }
                    Err(Skip::Idle) => self.slots[index].active = false,
                }
            }
            self.active = still_active;
            let sent = !staged.is_empty();
            for (broker, staged) in staged {
                self.ship(broker, Shipment::new(staged.entries));
            }
            if !(again && sent) {
                break;
            }
        }
        self.refresh_if_stale(now);
        wake_at
    }

    fn stage(
        &mut self,
        index: usize,
        now: Instant,
        staged: &mut HashMap<BrokerId, Staged>,
    ) -> Result<(), Skip> {
        self.expire(index, now);
        let slot = &mut self.slots[index];
        if !slot.flow.has_retries() && slot.partition.rests() {
            return Err(Skip::Idle);
        }
        if let Some(when) = slot.not_before.filter(|when| *when > now) {
            return Err(Skip::Until(when));
        }
        match slot.flow.gate(self.identity) {
            Gate::Open => {}
            Gate::Shut => return Err(Skip::Wait),
            Gate::NeedsIdentity => {
                return Err(self.want_identity(now));
            }
        }
        let Some(leader) = slot.leader else {
            let topic = slot.partition.topic.name.clone();
            self.stale_topics.insert(topic);
            return Err(Skip::Wait);
        };
        self.check_capacity(leader, now)?;

        let config = self.inlet.config();
        let slot = &mut self.slots[index];
        let request = staged.entry(leader).or_default();
        if request.bytes >= config.max_request_bytes {
            return Err(Skip::RequestFull);
        }
        let batch = match slot.flow.next_retry() {
            Some(retry) => Ok(retry),
            None => match slot.partition.take(now, config.linger, self.inlet.hurry()) {
                Taken::Batch(open) => slot.flow.next_new(open),
                skip => {
                    if request.entries.is_empty() {
                        staged.remove(&leader);
                    }
                    return Err(match skip {
                        Taken::NotBefore(when) => Skip::Until(when),
                        Taken::Batch(_) | Taken::Empty => Skip::Wait,
                    });
                }
            },
        };
        let mut batch = match batch {
            Ok(batch) => batch,
            Err((origin, error)) => {
                settle(&self.inlet, &origin, Err(error));
                return Ok(());
            }
        };
        batch.attempts += 1;
        request.bytes += batch.bytes.len();
        let topic = &slot.partition.topic;
        request.entries.push(Entry {
            slot: index,
            topic: topic.name_on_wire.clone(),
            topic_id: self
                .metadata
                .topic(&topic.name)
                .map_or_else(Default::default, |t| t.id),
            partition: slot.partition.index,
            batch,
        });
        Ok(())
    }

    /// Whether the broker takes another request now; begins to connect if there is no connection.
    fn check_capacity(&mut self, broker: BrokerId, now: Instant) -> Result<(), Skip> {
        let max_in_flight = self.inlet.config().max_in_flight;
        let state = self.brokers.entry(broker).or_default();
        match &state.connection {
            Some(connection) if !connection.is_closed() => {
                if state.in_flight >= max_in_flight {
                    return Err(Skip::Wait);
                }
                return Ok(());
            }
            _ => {}
        }
        if state.connecting {
            return Err(Skip::Wait);
        }
        if let Some(when) = state.not_before.filter(|when| *when > now) {
            return Err(Skip::Until(when));
        }
        state.connecting = true;
        let client = self.client.clone();
        self.events.push(Box::pin(async move {
            let connected = client.connection(broker, Lane::Produce).await;
            Event::Connected(broker, connected)
        }));
        Err(Skip::Wait)
    }

    fn ship(&mut self, broker: BrokerId, shipment: Shipment) {
        if shipment.entries.is_empty() {
            return;
        }
        let config = self.inlet.config();
        let timeout = self.client.config().request_timeout;
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let Some(connection) = self.brokers.get(&broker).and_then(|b| b.connection.clone()) else {
            return;
        };
        let request = shipment.request(config.acks.code(), timeout_ms);
        let cap = shipment.version_cap();
        let sent: Result<BoxFuture<'static, Result<Option<ProduceResponse>, ClientError>>, _> =
            if config.acks == Acks::None {
                connection.start_unanswered(&request, cap).map(
                    |unanswered| -> BoxFuture<'static, _> {
                        Box::pin(async move { unanswered.written().await.map(|()| None) })
                    },
                )
            } else {
                connection
                    .start(&request, cap)
                    .map(|in_flight| -> BoxFuture<'static, _> {
                        Box::pin(async move { in_flight.response().await.map(Some) })
                    })
            };
        if let Some(state) = self.brokers.get_mut(&broker) {
            state.in_flight += 1;
        }
        self.events.push(Box::pin(async move {
            let result = match sent {
                Ok(answer) => answer.await,
                Err(error) => Err(error),
            };
            Event::Answer {
                broker,
                shipment,
                result,
            }
        }));
    }

    fn handle(&mut self, event: Event) {
        let now = Instant::now();
        let backoff = self.client.config().backoff;
        match event {
            Event::Connected(broker, result) => {
                let state = self.brokers.entry(broker).or_default();
                state.connecting = false;
                match result {
                    Ok(connection) => {
                        state.connection = Some(connection);
                        state.failures = 0;
                    }
                    Err(error) => {
                        state.failures += 1;
                        state.not_before = Some(now + backoff.jittered(state.failures));
                        debug!(broker = broker.0, %error, "cannot connect to the leader");
                        self.leaders_are_doubtful(broker);
                    }
                }
            }
            Event::Refreshed(result) => {
                self.refreshing = false;
                self.refresh_after = now + backoff.jittered(1);
                if let Err(error) = result {
                    debug!(%error, "cannot refresh metadata");
                }
            }
            Event::Identified(result) => {
                self.identity_wanted = false;
                match result {
                    Ok(identity) => self.identity = Some(identity),
                    Err(error) if error.retriable() => {
                        debug!(%error, "no producer id yet");
                        self.identity_after = Some(now + backoff.jittered(1));
                    }
                    Err(error) => self.fail_everything(&error, now),
                }
            }
            Event::Answer {
                broker,
                shipment,
                result,
            } => self.handle_answer(broker, shipment, result, now),
        }
    }
}

fn settle(inlet: &Inlet, origin: &Origin, result: Result<Delivered, ClientError>) {
    origin.outcome.settle(result);
    inlet.settled(origin.id, origin.reserved);
}
