//! The broker: everything a handler may need, opened over a store, and the way of one request through it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use outlast_protocol::{ErrorCode, Str};
use outlast_storage::{Clock, Durable, Store};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::broker_config::BrokerConfig;
use crate::connection::Connection;
use crate::coordinator::GroupCoordinator;
use crate::dispatch;
use crate::error::{ApiError, BrokerError, CloseConnection};
use crate::fetch::FetchSessions;
use crate::gauges::Gauges;
use crate::group_config::{GroupConfigs, GroupSettings};
use crate::group_coordinator::LazyGroups;
use crate::metadata::{METADATA_PARTITION, Metadata, MetadataImage, MetadataRecord, Replayed};
use crate::metrics::BrokerMetrics;
use crate::produce::dedupe::Turnstile;
use crate::producer_ids::ProducerIds;
use crate::queues::{LazyQueues, QueueCoordinator};
use crate::random::{self, Random};
use crate::share::ShareSessions;
use crate::topics::{Topic, Topics};
use crate::transactions::{LazyTransactions, TransactionCoordinator};

pub struct Broker {
    pub(crate) config: BrokerConfig,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Random,
    pub(crate) metadata: Metadata,
    pub(crate) topics: Arc<Topics>,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) fetch_sessions: FetchSessions,
    pub(crate) share_sessions: ShareSessions,
    pub(crate) dedupe_turnstile: Turnstile,
    groups: LazyGroups,
    transactions: LazyTransactions,
    queues: LazyQueues,
    group_configs: GroupConfigs,
    pub(crate) metrics: BrokerMetrics,
    pub(crate) cluster_id: Str,
    /// True once the server stops: nobody waits any longer.
    pub(crate) closing: watch::Sender<bool>,
}

impl Broker {
    /// Replays the metadata log, gives a new cluster its id, and opens the topics and the group coordinator.
    pub async fn open(
        config: BrokerConfig,
        store: Store,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, BrokerError> {
        let Replayed {
            metadata,
            removed_topics,
        } = Metadata::open(store.clone(), clock.clone())?;
        let random = Random::new(config.random_seed);
        let cluster_id = cluster_id(&metadata, &random).await?;
        let image = metadata.image();
        remove_leftovers(&store, &image, &removed_topics);

        let metrics = BrokerMetrics::new();
        let topics = Arc::new(Topics::new());
        topics.publish(&image, &config, &store, &metrics);
        let broker = Arc::new(Self {
            producer_ids: ProducerIds::default(),
            fetch_sessions: FetchSessions::new(config.max_fetch_sessions),
            share_sessions: ShareSessions::new(config.max_share_sessions),
            dedupe_turnstile: Turnstile::default(),
            groups: LazyGroups::default(),
            transactions: LazyTransactions::default(),
            queues: LazyQueues::default(),
            group_configs: GroupConfigs::new(&image, &config),
            config,
            store,
            clock,
            random,
            metadata,
            topics,
            metrics,
            cluster_id,
            closing: watch::Sender::new(false),
        });
        broker.groups.open_existing(&broker).await;
        broker.queues.open_existing(&broker).await;
        broker.transactions.open_existing(&broker).await;
        Ok(broker)
    }

    /// Takes one request frame (without its length prefix) to the frame of its response, as a chain for vectored I/O.
    /// `None` where the protocol has no response (a produce request with acks=0).
    ///
    /// A produce request is decoded, checked and appended before the future's first suspension: polled once each in the
    /// order of their arrival, pipelined requests keep their order.
    pub async fn handle(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        frame: BytesMut,
    ) -> Result<Option<Vec<Bytes>>, CloseConnection> {
        dispatch::handle(self, connection, frame).await
    }

    /// Answers those who wait for something to happen: fetches with what there is, members of groups with an error after
    /// which they look for their coordinator again. Requests go on being served, but from now on none of them waits.
    pub fn answer_waiting(&self) {
        self.closing.send_replace(true);
    }

    /// Resolves when nobody is to wait any longer.
    pub(crate) async fn closed(&self) {
        let mut closing = self.closing.subscribe();
        // An error means that the broker is gone.
        let _ = closing.wait_for(|closing| *closing).await;
    }

    /// Answers those who wait, and stops what runs in the background. The store is the caller's to shut down, after this.
    pub async fn shutdown(&self) {
        self.answer_waiting();
        self.transactions.shutdown();
        self.groups.shutdown();
        self.queues.shutdown();
    }

    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        self.metrics.register(registry);
        registry.register_collector(Box::new(Gauges(Arc::downgrade(self))));
    }

    /// Random at the cluster's first start, and the same ever after.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The group coordinator; the first caller brings `__consumer_offsets` into being.
    pub(crate) async fn groups(self: &Arc<Self>) -> Result<&GroupCoordinator, ApiError> {
        self.groups.get(self).await
    }

    /// What is configured for a group, which need not exist. Cheap enough to ask for each request.
    pub fn group_settings(&self, group: &str) -> Arc<GroupSettings> {
        self.group_configs.get(group)
    }

    /// The queues of share groups; the first caller brings `__share_group_state` into being.
    pub async fn queues(self: &Arc<Self>) -> Result<&QueueCoordinator, ApiError> {
        self.queues.get(self).await
    }

    /// The queues of share groups, if there ever was one.
    pub fn opened_queues(&self) -> Option<&QueueCoordinator> {
        self.queues.opened()
    }

    /// The group coordinator, if there ever was a group.
    pub(crate) fn opened_groups(&self) -> Option<&GroupCoordinator> {
        self.groups.opened()
    }

    /// The transaction coordinator; the first caller brings `__transaction_state` into being.
    pub(crate) async fn transactions(
        self: &Arc<Self>,
    ) -> Result<&TransactionCoordinator, ApiError> {
        self.transactions.get(self).await
    }

    /// The transaction coordinator, if there ever was a transactional producer.
    pub(crate) fn opened_transactions(&self) -> Option<&TransactionCoordinator> {
        self.transactions.opened()
    }

    /// Makes a change of metadata durable and visible; changes follow one another.
    ///
    /// It runs in a task of its own: a client that goes away halfway does not leave the image behind the log.
    pub(crate) async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        decide: impl FnOnce(&MetadataImage) -> (Vec<MetadataRecord>, T) + Send + 'static,
    ) -> Result<T, ApiError> {
        let broker = self.clone();
        let task = tokio::spawn(async move {
            broker
                .metadata
                .change(decide, |_, image| broker.publish(image))
                .await
        });
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a metadata change did not run to its end");
            Err(ErrorCode::UnknownServerError.into())
        })
    }

    fn publish(&self, image: &MetadataImage) {
        self.group_configs.publish(image, &self.config);
        let gone = self
            .topics
            .publish(image, &self.config, &self.store, &self.metrics);
        for topic in gone {
            self.metrics.forget_topic(&topic.name);
            if let Some(groups) = self.groups.opened() {
                groups.topic_deleted(&topic.name, topic.id);
            }
            if let Some(queues) = self.queues.opened() {
                queues.topic_deleted(topic.id);
            }
            delete_logs(&self.store, &topic);
        }
    }
}

async fn cluster_id(metadata: &Metadata, random: &Random) -> Result<Str, BrokerError> {
    let given = random::base64(random.uuid());
    let decide = |image: &MetadataImage| {
        if image.cluster_id.is_empty() {
            (
                vec![MetadataRecord::Cluster {
                    cluster_id: given.clone(),
                }],
                given,
            )
        } else {
            (Vec::new(), image.cluster_id.clone())
        }
    };
    let id = metadata
        .change(decide, |_, _| {})
        .await
        .map_err(BrokerError::ClusterId)?;
    Ok(id.into())
}

fn delete_logs(store: &Store, topic: &Topic) {
    for partition in topic.partitions() {
        report_in_background(store.delete_partition(partition.id));
    }
}

/// A crash may come between the record of a topic's removal and the end of its logs.
fn remove_leftovers(store: &Store, image: &MetadataImage, removed_topics: &[uuid::Uuid]) {
    for id in store.partitions() {
        if id == METADATA_PARTITION || image.topic_by_id(id.topic).is_some() {
            continue;
        }
        if removed_topics.contains(&id.topic) {
            report_in_background(store.delete_partition(id));
        } else {
            tracing::warn!(partition = %id, "the store holds a partition that no topic owns; it is left alone");
        }
    }
}

/// The removal is already decided and durable as metadata; if the space isn't freed now, the next start does it.
fn report_in_background(deleted: Durable) {
    tokio::spawn(async move {
        if let Err(error) = deleted.await {
            tracing::warn!(%error, "a deleted partition's space is not free yet");
        }
    });
}
