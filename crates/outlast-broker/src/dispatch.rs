//! From an API key to its handler: the list of every API that is served, with its versions.
//!
//! The list is the truth behind ApiVersions and docs/COMPATIBILITY.md. An API is in it when it works in full.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use outlast_protocol::{ApiKey, Message, Reader, Request, RequestHeader, Str, frame};
use tokio::time::Instant;

use crate::broker::Broker;
use crate::connection::Connection;
use crate::error::CloseConnection;
use crate::handlers::*;
use crate::response_errors::ResponseErrors;

/// One request's surroundings, as its handler sees them.
pub(crate) struct RequestContext<'a> {
    pub broker: &'a Arc<Broker>,
    pub connection: &'a Arc<Connection>,
    pub client_id: Option<Str>,
    pub version: i16,
}

macro_rules! serve {
    (
        may_stay_unanswered { $($special:ident $special_versions:expr => $special_handler:path,)* }
        answered { $($api:ident $versions:expr => $handler:path,)* }
        not_served { $($absent:ident),* $(,)? }
    ) => {
        /// The versions of an API that are served; `None` when it isn't.
        pub fn served_versions(api: ApiKey) -> Option<RangeInclusive<i16>> {
            match api {
                $(ApiKey::$api => Some($versions),)*
                $(ApiKey::$special => Some($special_versions),)*
                $(ApiKey::$absent => None,)*
            }
        }

        async fn run(
            api: ApiKey,
            header: RequestHeader,
            context: &RequestContext<'_>,
            reader: Reader,
        ) -> Result<Option<Vec<Bytes>>, CloseConnection> {
            match api {
                $(ApiKey::$api => {
                    let request = decode(api, context, reader)?;
                    let response = $handler(context, request).await;
                    encode(api, &header, context, &response).map(Some)
                })*
                $(ApiKey::$special => {
                    let request = decode(api, context, reader)?;
                    match $special_handler(context, request).await? {
                        Some(response) => encode(api, &header, context, &response).map(Some),
                        None => Ok(None),
                    }
                })*
                $(ApiKey::$absent => Err(CloseConnection::UnknownApi(header.api_key)),)*
            }
        }
    };
}

serve! {
    // Produce with acks=0 has no response.
    may_stay_unanswered {
        Produce                     3..=13 => produce::handle,
    }
    answered {
        // data
        Fetch                       4..=18 => fetch::handle,
        ListOffsets                 1..=11 => list_offsets::handle,
        DeleteRecords               0..=2  => delete_records::handle,
        OffsetForLeaderEpoch        2..=4  => offset_for_leader_epoch::handle,
        InitProducerId              0..=5  => init_producer_id::handle,
        DescribeProducers           0..=0  => describe_producers::handle,

        // the cluster and its topics
        ApiVersions                 0..=4  => api_versions::handle,
        Metadata                    0..=13 => metadata::handle,
        DescribeCluster             0..=2  => describe_cluster::handle,
        DescribeTopicPartitions     0..=0  => describe_topic_partitions::handle,
        CreateTopics                2..=7  => create_topics::handle,
        DeleteTopics                1..=6  => delete_topics::handle,
        CreatePartitions            0..=3  => create_partitions::handle,
        DescribeConfigs             1..=4  => describe_configs::handle,
        AlterConfigs                0..=2  => alter_configs::handle,
        IncrementalAlterConfigs     0..=1  => incremental_alter_configs::handle,
        ListConfigResources         0..=1  => list_config_resources::handle,
        DescribeLogDirs             1..=5  => describe_log_dirs::handle,

        // transactions
        AddPartitionsToTxn          0..=5  => add_partitions_to_txn::handle,
        AddOffsetsToTxn             0..=4  => add_offsets_to_txn::handle,
        EndTxn                      0..=5  => end_txn::handle,
        TxnOffsetCommit             0..=5  => txn_offset_commit::handle,
        WriteTxnMarkers             1..=2  => write_txn_markers::handle,
        DescribeTransactions        0..=0  => describe_transactions::handle,
        ListTransactions            0..=2  => list_transactions::handle,

        // groups
        FindCoordinator             0..=6  => find_coordinator::handle,
        JoinGroup                   0..=9  => join_group::handle,
        SyncGroup                   0..=5  => sync_group::handle,
        Heartbeat                   0..=4  => heartbeat::handle,
        LeaveGroup                  0..=5  => leave_group::handle,
        OffsetCommit                2..=10 => offset_commit::handle,
        OffsetFetch                 1..=10 => offset_fetch::handle,
        OffsetDelete                0..=0  => offset_delete::handle,
        DescribeGroups              0..=6  => describe_groups::handle,
        ListGroups                  0..=5  => list_groups::handle,
        DeleteGroups                0..=2  => delete_groups::handle,

        // share groups
        ShareGroupHeartbeat         1..=1  => share_group_heartbeat::handle,
        ShareGroupDescribe          1..=1  => share_group_describe::handle,
        ShareFetch                  1..=2  => share_fetch::handle,
        ShareAcknowledge            1..=2  => share_acknowledge::handle,
        DescribeShareGroupOffsets   0..=1  => describe_share_group_offsets::handle,
        AlterShareGroupOffsets      0..=0  => alter_share_group_offsets::handle,
        DeleteShareGroupOffsets     0..=0  => delete_share_group_offsets::handle,
    }
    not_served {
        // the consumer and streams group protocols
        ConsumerGroupHeartbeat, ConsumerGroupDescribe, StreamsGroupHeartbeat, StreamsGroupDescribe,
        // what Kafka's brokers ask each other about share groups
        InitializeShareGroupState, ReadShareGroupState, WriteShareGroupState, DeleteShareGroupState,
        ReadShareGroupStateSummary,
        // security
        SaslHandshake, SaslAuthenticate, DescribeAcls, CreateAcls, DeleteAcls, CreateDelegationToken,
        RenewDelegationToken, ExpireDelegationToken, DescribeDelegationToken, DescribeUserScramCredentials,
        AlterUserScramCredentials, DescribeClientQuotas, AlterClientQuotas,
        // several brokers
        AlterReplicaLogDirs, ElectLeaders, AlterPartitionReassignments, ListPartitionReassignments, DescribeQuorum,
        UpdateFeatures, UnregisterBroker, AddRaftVoter, RemoveRaftVoter,
        // client telemetry
        GetTelemetrySubscriptions, PushTelemetry,
    }
}

/// Every API that is served, in the order of the keys.
pub fn served_apis() -> impl Iterator<Item = (ApiKey, RangeInclusive<i16>)> {
    ApiKey::ALL
        .iter()
        .filter_map(|api| Some((*api, served_versions(*api)?)))
}

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    connection: &Arc<Connection>,
    frame: BytesMut,
) -> Result<Option<Vec<Bytes>>, CloseConnection> {
    let arrived = Instant::now();
    let mut reader = Reader::new(frame);
    let mut header = RequestHeader::decode_start(&mut reader).map_err(CloseConnection::Header)?;
    let (code, version) = (header.api_key, header.api_version);
    let api = ApiKey::from_code(code).ok_or(CloseConnection::UnknownApi(code))?;
    let served = served_versions(api).ok_or(CloseConnection::UnknownApi(code))?;
    let mut context = RequestContext {
        broker,
        connection,
        client_id: None,
        version,
    };
    if !served.contains(&version) {
        if api != ApiKey::ApiVersions {
            return Err(CloseConnection::UnsupportedVersion {
                api: api.name(),
                version,
            });
        }
        context.version = 0;
        let response = api_versions::unsupported_version();
        return encode(api, &header, &context, &response).map(Some);
    }
    header
        .decode_rest(&mut reader, api.request_header_version(version))
        .map_err(CloseConnection::Header)?;
    context.client_id = header.client_id.clone();
    let answer = run(api, header, &context, reader).await;
    broker.metrics.answered(api, arrived.elapsed());
    answer
}

fn decode<R: Request>(
    api: ApiKey,
    context: &RequestContext<'_>,
    mut reader: Reader,
) -> Result<R, CloseConnection> {
    let version = context.version;
    R::decode(&mut reader, version).map_err(|source| CloseConnection::Request {
        api: api.name(),
        version,
        source,
    })
}

fn encode<M: Message + ResponseErrors>(
    api: ApiKey,
    header: &RequestHeader,
    context: &RequestContext<'_>,
    response: &M,
) -> Result<Vec<Bytes>, CloseConnection> {
    let version = context.version;
    response.each_error(&mut |code| context.broker.metrics.error(api, code));
    frame::encode_response(api, version, header.correlation_id, response).map_err(|source| {
        CloseConnection::Response {
            api: api.name(),
            version,
            source,
        }
    })
}
