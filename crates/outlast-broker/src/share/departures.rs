//! Workers that are gone: what they held is free at once, and doesn't wait for its locks to run out.

use std::sync::{Arc, Weak};
use std::time::Duration;

use outlast_protocol::Str;
use tokio::sync::mpsc::UnboundedReceiver;

use super::SessionKey;
use crate::broker::Broker;
use crate::connection::Connection;
use crate::group::Departure;
use crate::queues::Worker;

/// A client may leave its group first and then say what became of its last messages. If it doesn't, they are free after
/// this.
const LAST_WORDS: Duration = Duration::from_secs(5);

impl Broker {
    /// The client is gone, or its connection is about to end: its share sessions end, too. May be called more than once.
    pub fn connection_closed(self: &Arc<Self>, connection: &Connection) {
        for key in self.share_sessions.end_of_connection(connection.id) {
            let broker = Arc::clone(self);
            tokio::spawn(async move { release(&broker, &key).await });
        }
    }
}

/// Ends the sessions of members that have left their groups or were removed from them, as long as the broker lives.
pub(crate) async fn follow(broker: Weak<Broker>, mut departures: UnboundedReceiver<Departure>) {
    while let Some(departure) = departures.recv().await {
        tokio::spawn(follow_one(Weak::clone(&broker), departure));
    }
}

async fn follow_one(broker: Weak<Broker>, departure: Departure) {
    let (group, member) = (&departure.group, &departure.member);
    let key = SessionKey::new(group.as_str(), member.as_str());
    let has_session = |broker: &Broker| broker.share_sessions.exists(&key).is_ok();
    if departure.left && broker.upgrade().is_some_and(|broker| has_session(&broker)) {
        tokio::time::sleep(LAST_WORDS).await;
    }
    let Some(broker) = broker.upgrade() else {
        return;
    };
    let groups = broker.opened_groups();
    // It may have come back under its name.
    if groups.is_some_and(|groups| groups.is_share_member(group.as_str(), member)) {
        return;
    }
    broker.share_sessions.end(&key);
    release(&broker, &key).await;
}

/// Frees what a worker holds. If that fails, the locks run out by themselves.
pub(crate) async fn release(broker: &Broker, key: &SessionKey) {
    let Some(queues) = broker.opened_queues() else {
        return;
    };
    let worker = Worker(Str::clone(&key.member));
    if let Err(code) = queues.release_worker(&key.group, &worker).await {
        tracing::warn!(group = &*key.group, member = &*key.member, %code, "what a worker held is locked until its locks run out");
    }
}
