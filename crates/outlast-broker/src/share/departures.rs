//! Workers that are gone: what they held is free at once, and doesn't wait for its locks to run out.

use std::sync::Arc;

use outlast_protocol::Str;
use tokio::sync::mpsc::UnboundedReceiver;

use super::SessionKey;
use crate::broker::Broker;
use crate::connection::Connection;
use crate::group::{GroupId, MemberId};
use crate::queues::Worker;

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
pub(crate) async fn follow(
    broker: std::sync::Weak<Broker>,
    mut departures: UnboundedReceiver<(GroupId, MemberId)>,
) {
    while let Some((group, member)) = departures.recv().await {
        let Some(broker) = broker.upgrade() else {
            return;
        };
        let key = SessionKey::new(group.as_str(), member.as_str());
        broker.share_sessions.end(&key);
        tokio::spawn(async move { release(&broker, &key).await });
    }
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
