//! The requests of the protocol: their keys, names and versions in one table.

use std::ops::RangeInclusive;

use crate::{Message, Request, messages::*};

/// Calls a macro with the table of all APIs: `Produce = 0: ProduceRequest => ProduceResponse, …`.
///
/// For what must be done with each request type, which a function over `ApiKey` cannot do.
#[macro_export]
macro_rules! with_apis {
    ($callback:path) => {
        $callback! {
            Produce = 0: ProduceRequest => ProduceResponse,
            Fetch = 1: FetchRequest => FetchResponse,
            ListOffsets = 2: ListOffsetsRequest => ListOffsetsResponse,
            Metadata = 3: MetadataRequest => MetadataResponse,
            OffsetCommit = 8: OffsetCommitRequest => OffsetCommitResponse,
            OffsetFetch = 9: OffsetFetchRequest => OffsetFetchResponse,
            FindCoordinator = 10: FindCoordinatorRequest => FindCoordinatorResponse,
            JoinGroup = 11: JoinGroupRequest => JoinGroupResponse,
            Heartbeat = 12: HeartbeatRequest => HeartbeatResponse,
            LeaveGroup = 13: LeaveGroupRequest => LeaveGroupResponse,
            SyncGroup = 14: SyncGroupRequest => SyncGroupResponse,
            DescribeGroups = 15: DescribeGroupsRequest => DescribeGroupsResponse,
            ListGroups = 16: ListGroupsRequest => ListGroupsResponse,
            SaslHandshake = 17: SaslHandshakeRequest => SaslHandshakeResponse,
            ApiVersions = 18: ApiVersionsRequest => ApiVersionsResponse,
            CreateTopics = 19: CreateTopicsRequest => CreateTopicsResponse,
            DeleteTopics = 20: DeleteTopicsRequest => DeleteTopicsResponse,
            DeleteRecords = 21: DeleteRecordsRequest => DeleteRecordsResponse,
            InitProducerId = 22: InitProducerIdRequest => InitProducerIdResponse,
            OffsetForLeaderEpoch = 23: OffsetForLeaderEpochRequest => OffsetForLeaderEpochResponse,
            AddPartitionsToTxn = 24: AddPartitionsToTxnRequest => AddPartitionsToTxnResponse,
            AddOffsetsToTxn = 25: AddOffsetsToTxnRequest => AddOffsetsToTxnResponse,
            EndTxn = 26: EndTxnRequest => EndTxnResponse,
            WriteTxnMarkers = 27: WriteTxnMarkersRequest => WriteTxnMarkersResponse,
            TxnOffsetCommit = 28: TxnOffsetCommitRequest => TxnOffsetCommitResponse,
            DescribeAcls = 29: DescribeAclsRequest => DescribeAclsResponse,
            CreateAcls = 30: CreateAclsRequest => CreateAclsResponse,
            DeleteAcls = 31: DeleteAclsRequest => DeleteAclsResponse,
            DescribeConfigs = 32: DescribeConfigsRequest => DescribeConfigsResponse,
            AlterConfigs = 33: AlterConfigsRequest => AlterConfigsResponse,
            AlterReplicaLogDirs = 34: AlterReplicaLogDirsRequest => AlterReplicaLogDirsResponse,
            DescribeLogDirs = 35: DescribeLogDirsRequest => DescribeLogDirsResponse,
            SaslAuthenticate = 36: SaslAuthenticateRequest => SaslAuthenticateResponse,
            CreatePartitions = 37: CreatePartitionsRequest => CreatePartitionsResponse,
            CreateDelegationToken = 38: CreateDelegationTokenRequest => CreateDelegationTokenResponse,
            RenewDelegationToken = 39: RenewDelegationTokenRequest => RenewDelegationTokenResponse,
            ExpireDelegationToken = 40: ExpireDelegationTokenRequest => ExpireDelegationTokenResponse,
            DescribeDelegationToken = 41: DescribeDelegationTokenRequest => DescribeDelegationTokenResponse,
            DeleteGroups = 42: DeleteGroupsRequest => DeleteGroupsResponse,
            ElectLeaders = 43: ElectLeadersRequest => ElectLeadersResponse,
            IncrementalAlterConfigs = 44: IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse,
            AlterPartitionReassignments = 45: AlterPartitionReassignmentsRequest => AlterPartitionReassignmentsResponse,
            ListPartitionReassignments = 46: ListPartitionReassignmentsRequest => ListPartitionReassignmentsResponse,
            OffsetDelete = 47: OffsetDeleteRequest => OffsetDeleteResponse,
            DescribeClientQuotas = 48: DescribeClientQuotasRequest => DescribeClientQuotasResponse,
            AlterClientQuotas = 49: AlterClientQuotasRequest => AlterClientQuotasResponse,
            DescribeUserScramCredentials = 50: DescribeUserScramCredentialsRequest => DescribeUserScramCredentialsResponse,
            AlterUserScramCredentials = 51: AlterUserScramCredentialsRequest => AlterUserScramCredentialsResponse,
            DescribeQuorum = 55: DescribeQuorumRequest => DescribeQuorumResponse,
            UpdateFeatures = 57: UpdateFeaturesRequest => UpdateFeaturesResponse,
            DescribeCluster = 60: DescribeClusterRequest => DescribeClusterResponse,
            DescribeProducers = 61: DescribeProducersRequest => DescribeProducersResponse,
            UnregisterBroker = 64: UnregisterBrokerRequest => UnregisterBrokerResponse,
            DescribeTransactions = 65: DescribeTransactionsRequest => DescribeTransactionsResponse,
            ListTransactions = 66: ListTransactionsRequest => ListTransactionsResponse,
            ConsumerGroupHeartbeat = 68: ConsumerGroupHeartbeatRequest => ConsumerGroupHeartbeatResponse,
            ConsumerGroupDescribe = 69: ConsumerGroupDescribeRequest => ConsumerGroupDescribeResponse,
            GetTelemetrySubscriptions = 71: GetTelemetrySubscriptionsRequest => GetTelemetrySubscriptionsResponse,
            PushTelemetry = 72: PushTelemetryRequest => PushTelemetryResponse,
            ListConfigResources = 74: ListConfigResourcesRequest => ListConfigResourcesResponse,
            DescribeTopicPartitions = 75: DescribeTopicPartitionsRequest => DescribeTopicPartitionsResponse,
            ShareGroupHeartbeat = 76: ShareGroupHeartbeatRequest => ShareGroupHeartbeatResponse,
            ShareGroupDescribe = 77: ShareGroupDescribeRequest => ShareGroupDescribeResponse,
            ShareFetch = 78: ShareFetchRequest => ShareFetchResponse,
            ShareAcknowledge = 79: ShareAcknowledgeRequest => ShareAcknowledgeResponse,
            AddRaftVoter = 80: AddRaftVoterRequest => AddRaftVoterResponse,
            RemoveRaftVoter = 81: RemoveRaftVoterRequest => RemoveRaftVoterResponse,
            InitializeShareGroupState = 83: InitializeShareGroupStateRequest => InitializeShareGroupStateResponse,
            ReadShareGroupState = 84: ReadShareGroupStateRequest => ReadShareGroupStateResponse,
            WriteShareGroupState = 85: WriteShareGroupStateRequest => WriteShareGroupStateResponse,
            DeleteShareGroupState = 86: DeleteShareGroupStateRequest => DeleteShareGroupStateResponse,
            ReadShareGroupStateSummary = 87: ReadShareGroupStateSummaryRequest => ReadShareGroupStateSummaryResponse,
            StreamsGroupHeartbeat = 88: StreamsGroupHeartbeatRequest => StreamsGroupHeartbeatResponse,
            StreamsGroupDescribe = 89: StreamsGroupDescribeRequest => StreamsGroupDescribeResponse,
            DescribeShareGroupOffsets = 90: DescribeShareGroupOffsetsRequest => DescribeShareGroupOffsetsResponse,
            AlterShareGroupOffsets = 91: AlterShareGroupOffsetsRequest => AlterShareGroupOffsetsResponse,
            DeleteShareGroupOffsets = 92: DeleteShareGroupOffsetsRequest => DeleteShareGroupOffsetsResponse,
        }
    };
}

macro_rules! api_keys {
    ($($name:ident = $code:literal: $request:ident => $response:ident,)*) => {
        /// A request's kind, by Kafka's name. Keys are missing that Kafka 4.0 removed (4 to 7) and that only KRaft
        /// controllers answer.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ApiKey {
            $($name = $code,)*
        }

        impl ApiKey {
            pub const ALL: &[ApiKey] = &[$(Self::$name,)*];

            pub fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            fn schema(self) -> ApiSchema {
                match self {
                    $(Self::$name => const { ApiSchema::of::<$request>() },)*
                }
            }
        }

        $(
            impl Request for $request {
                const KEY: ApiKey = ApiKey::$name;
                type Response = $response;
            }
        )*
    };
}

with_apis!(api_keys);

impl ApiKey {
    pub fn code(self) -> i16 {
        self as i16
    }

    /// The versions that are described here: all of Kafka 4.3, with one that is not yet final where there is one.
    pub fn valid_versions(self) -> RangeInclusive<i16> {
        let schema = self.schema();
        schema.first..=schema.last
    }

    /// The versions that Kafka 4.3 offers when it isn't told to offer unfinished ones.
    pub fn stable_versions(self) -> RangeInclusive<i16> {
        let schema = self.schema();
        schema.first..=schema.last_stable
    }

    /// The lowest version to name in an ApiVersions response when `served` is the lowest one that works.
    ///
    /// librdkafka looks for Produce version 0 to learn whether a broker knows compression types and message formats,
    /// and falls back to ancient ones when it isn't offered; so Kafka offers it without serving it (KAFKA-18659).
    pub fn advertised_min_version(self, served: i16) -> i16 {
        if self == Self::Produce { 0 } else { served }
    }

    /// 2 with tagged fields, 1 without; also for versions that nobody knows yet, so that their header can be read.
    pub fn request_header_version(self, version: i16) -> i16 {
        if version >= self.schema().flexible_from {
            2
        } else {
            1
        }
    }

    /// 1 with tagged fields, 0 without. Always 0 for ApiVersions: a client that asked for a version which the broker
    /// doesn't know must be able to read the answer.
    pub fn response_header_version(self, version: i16) -> i16 {
        i16::from(self != Self::ApiVersions && version >= self.schema().flexible_from)
    }
}

impl std::fmt::Display for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl TryFrom<i16> for ApiKey {
    type Error = crate::DecodeError;

    fn try_from(code: i16) -> Result<Self, Self::Error> {
        Self::from_code(code).ok_or(crate::DecodeError::UnknownApiKey(code))
    }
}

struct ApiSchema {
    first: i16,
    last: i16,
    last_stable: i16,
    flexible_from: i16,
}

impl ApiSchema {
    const fn of<R: Message>() -> Self {
        let last = *R::VERSIONS.end();
        Self {
            first: *R::VERSIONS.start(),
            last,
            last_stable: last - R::LAST_VERSION_UNSTABLE as i16,
            flexible_from: R::FLEXIBLE_FROM,
        }
    }
}
