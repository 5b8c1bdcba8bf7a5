//! Every message and version that the `kafka-protocol` crate also knows, against that crate: what we encode it
//! must decode to the last byte and encode to the same bytes, and we must read back what we wrote.
//!
//! It is only ever given bytes that we made, because it trusts the lengths it reads.

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::{
    messages as theirs,
    protocol::{Decodable, Encodable, Message as TheirMessage},
};

use crate::{
    Message, Reader, Writer,
    generate::{Generate, Generator},
    messages, records,
};

const ROUNDS_PER_VERSION: u64 = 300;

fn check_message<Ours, Theirs>()
where
    Ours: Message + Generate,
    Theirs: TheirMessage + Decodable + Encodable,
{
    let mut versions = 0;
    for version in Ours::VERSIONS {
        if version < Theirs::VERSIONS.min || version > Theirs::VERSIONS.max {
            continue;
        }
        versions += 1;
        for seed in 0..ROUNDS_PER_VERSION {
            let context = format!("{} version {version} seed {seed}", Ours::NAME);
            let message: Ours = Generator::new(seed).message(version);
            check_value::<Ours, Theirs>(&message, version, &context);
        }
        check_value::<Ours, Theirs>(
            &Ours::default(),
            version,
            &format!("default {}", Ours::NAME),
        );
    }
    assert!(versions > 0, "no version of {} is common", Ours::NAME);
}

fn check_value<Ours, Theirs>(message: &Ours, version: i16, context: &str)
where
    Ours: Message,
    Theirs: Decodable + Encodable,
{
    let mut writer = Writer::new();
    message.encode(&mut writer, version).expect(context);
    let ours = writer.finish_joined().expect(context);
    assert_eq!(message.size(version), Ok(ours.len()), "{context}");

    let mut rest = ours.clone();
    let decoded = Theirs::decode(&mut rest, version).expect(context);
    assert_eq!(
        rest.remaining(),
        0,
        "{context}: they read less than we wrote"
    );
    let mut again = BytesMut::new();
    decoded.encode(&mut again, version).expect(context);
    assert_eq!(Bytes::from(again.clone()), ours, "{context}");

    let mut reader = Reader::new(again);
    assert_eq!(
        Ours::decode(&mut reader, version).as_ref(),
        Ok(message),
        "{context}"
    );
    reader.expect_end().expect(context);
}

macro_rules! check_all {
    ($($name:ident),* $(,)?) => { $(
        check_message::<messages::$name, theirs::$name>();
    )* };
}

#[test]
fn requests_agree_with_the_oracle() {
    check_all!(
        ProduceRequest,
        FetchRequest,
        ListOffsetsRequest,
        MetadataRequest,
        OffsetCommitRequest,
        OffsetFetchRequest,
        FindCoordinatorRequest,
        JoinGroupRequest,
        HeartbeatRequest,
        LeaveGroupRequest,
        SyncGroupRequest,
        DescribeGroupsRequest,
        ListGroupsRequest,
        SaslHandshakeRequest,
        ApiVersionsRequest,
        CreateTopicsRequest,
        DeleteTopicsRequest,
        DeleteRecordsRequest,
        InitProducerIdRequest,
        OffsetForLeaderEpochRequest,
        AddPartitionsToTxnRequest,
        AddOffsetsToTxnRequest,
        EndTxnRequest,
        WriteTxnMarkersRequest,
        TxnOffsetCommitRequest,
        DescribeAclsRequest,
        CreateAclsRequest,
        DeleteAclsRequest,
        DescribeConfigsRequest,
        AlterConfigsRequest,
        AlterReplicaLogDirsRequest,
        DescribeLogDirsRequest,
        SaslAuthenticateRequest,
        CreatePartitionsRequest,
        CreateDelegationTokenRequest,
        RenewDelegationTokenRequest,
        ExpireDelegationTokenRequest,
        DescribeDelegationTokenRequest,
        DeleteGroupsRequest,
        ElectLeadersRequest,
        IncrementalAlterConfigsRequest,
        AlterPartitionReassignmentsRequest,
        ListPartitionReassignmentsRequest,
        OffsetDeleteRequest,
        DescribeClientQuotasRequest,
        AlterClientQuotasRequest,
        DescribeUserScramCredentialsRequest,
        AlterUserScramCredentialsRequest,
        DescribeQuorumRequest,
        UpdateFeaturesRequest,
        DescribeClusterRequest,
        DescribeProducersRequest,
        UnregisterBrokerRequest,
        DescribeTransactionsRequest,
        ListTransactionsRequest,
        ConsumerGroupHeartbeatRequest,
        ConsumerGroupDescribeRequest,
        GetTelemetrySubscriptionsRequest,
        PushTelemetryRequest,
        ListConfigResourcesRequest,
        DescribeTopicPartitionsRequest,
        ShareGroupHeartbeatRequest,
        ShareGroupDescribeRequest,
        ShareFetchRequest,
        ShareAcknowledgeRequest,
        AddRaftVoterRequest,
        RemoveRaftVoterRequest,
        InitializeShareGroupStateRequest,
        ReadShareGroupStateRequest,
        WriteShareGroupStateRequest,
        DeleteShareGroupStateRequest,
        ReadShareGroupStateSummaryRequest,
        DescribeShareGroupOffsetsRequest,
        AlterShareGroupOffsetsRequest,
        DeleteShareGroupOffsetsRequest,
    );
}

#[test]
fn responses_agree_with_the_oracle() {
    check_all!(
        ProduceResponse,
        FetchResponse,
        ListOffsetsResponse,
        MetadataResponse,
        OffsetCommitResponse,
        OffsetFetchResponse,
        FindCoordinatorResponse,
        JoinGroupResponse,
        HeartbeatResponse,
        LeaveGroupResponse,
        SyncGroupResponse,
        DescribeGroupsResponse,
        ListGroupsResponse,
        SaslHandshakeResponse,
        ApiVersionsResponse,
        CreateTopicsResponse,
        DeleteTopicsResponse,
        DeleteRecordsResponse,
        InitProducerIdResponse,
        OffsetForLeaderEpochResponse,
        AddPartitionsToTxnResponse,
        AddOffsetsToTxnResponse,
        EndTxnResponse,
        WriteTxnMarkersResponse,
        TxnOffsetCommitResponse,
        DescribeAclsResponse,
        CreateAclsResponse,
        DeleteAclsResponse,
        DescribeConfigsResponse,
        AlterConfigsResponse,
        AlterReplicaLogDirsResponse,
        DescribeLogDirsResponse,
        SaslAuthenticateResponse,
        CreatePartitionsResponse,
        CreateDelegationTokenResponse,
        RenewDelegationTokenResponse,
        ExpireDelegationTokenResponse,
        DescribeDelegationTokenResponse,
        DeleteGroupsResponse,
        ElectLeadersResponse,
        IncrementalAlterConfigsResponse,
        AlterPartitionReassignmentsResponse,
        ListPartitionReassignmentsResponse,
        OffsetDeleteResponse,
        DescribeClientQuotasResponse,
        AlterClientQuotasResponse,
        DescribeUserScramCredentialsResponse,
        AlterUserScramCredentialsResponse,
        DescribeQuorumResponse,
        UpdateFeaturesResponse,
        DescribeClusterResponse,
        DescribeProducersResponse,
        UnregisterBrokerResponse,
        DescribeTransactionsResponse,
        ListTransactionsResponse,
        ConsumerGroupHeartbeatResponse,
        ConsumerGroupDescribeResponse,
        GetTelemetrySubscriptionsResponse,
        PushTelemetryResponse,
        ListConfigResourcesResponse,
        DescribeTopicPartitionsResponse,
        ShareGroupHeartbeatResponse,
        ShareGroupDescribeResponse,
        ShareFetchResponse,
        ShareAcknowledgeResponse,
        AddRaftVoterResponse,
        RemoveRaftVoterResponse,
        InitializeShareGroupStateResponse,
        ReadShareGroupStateResponse,
        WriteShareGroupStateResponse,
        DeleteShareGroupStateResponse,
        ReadShareGroupStateSummaryResponse,
        DescribeShareGroupOffsetsResponse,
        AlterShareGroupOffsetsResponse,
        DeleteShareGroupOffsetsResponse,
    );
}

#[test]
fn records_agree_with_the_oracle() {
    check_message::<records::ConsumerProtocolAssignment, theirs::ConsumerProtocolAssignment>();
    check_message::<records::ConsumerProtocolSubscription, theirs::ConsumerProtocolSubscription>();
    check_message::<records::EndTxnMarker, theirs::EndTxnMarker>();
}
