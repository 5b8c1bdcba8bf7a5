//! Where each response has its error codes, for the error counts of the metrics.

use outlast_protocol::messages::*;

pub(crate) trait ResponseErrors {
    fn each_error(&self, count: &mut dyn FnMut(i16));
}

macro_rules! response_errors {
    ($($response:ident: |$it:ident| $codes:expr;)*) => {
        $(impl ResponseErrors for $response {
            fn each_error(&self, count: &mut dyn FnMut(i16)) {
                let $it = self;
                for code in $codes {
                    count(code);
                }
            }
        })*
    };
}

response_errors! {
    ProduceResponse: |r| r.responses.iter().flat_map(|t| &t.partition_responses).map(|p| p.error_code);
    FetchResponse: |r| std::iter::once(r.error_code)
        .chain(r.responses.iter().flat_map(|t| &t.partitions).map(|p| p.error_code));
    ListOffsetsResponse: |r| r.topics.iter().flat_map(|t| &t.partitions).map(|p| p.error_code);
    DeleteRecordsResponse: |r| r.topics.iter().flat_map(|t| &t.partitions).map(|p| p.error_code);
    OffsetForLeaderEpochResponse: |r| r.topics.iter().flat_map(|t| &t.partitions).map(|p| p.error_code);
    InitProducerIdResponse: |r| [r.error_code];
    DescribeProducersResponse: |r| r.topics.iter().flat_map(|t| &t.partitions).map(|p| p.error_code);
    ApiVersionsResponse: |r| [r.error_code];
    MetadataResponse: |r| std::iter::once(r.error_code).chain(r.topics.iter().map(|t| t.error_code));
    DescribeClusterResponse: |r| [r.error_code];
    DescribeTopicPartitionsResponse: |r| r.topics.iter().map(|t| t.error_code);
    CreateTopicsResponse: |r| r.topics.iter().map(|t| t.error_code);
    DeleteTopicsResponse: |r| r.responses.iter().map(|t| t.error_code);
    CreatePartitionsResponse: |r| r.results.iter().map(|t| t.error_code);
    DescribeConfigsResponse: |r| r.results.iter().map(|t| t.error_code);
    AlterConfigsResponse: |r| r.responses.iter().map(|t| t.error_code);
    IncrementalAlterConfigsResponse: |r| r.responses.iter().map(|t| t.error_code);
    ListConfigResourcesResponse: |r| [r.error_code];
    DescribeLogDirsResponse: |r| std::iter::once(r.error_code).chain(r.results.iter().map(|d| d.error_code));
    FindCoordinatorResponse: |r| std::iter::once(r.error_code).chain(r.coordinators.iter().map(|c| c.error_code));
    JoinGroupResponse: |r| [r.error_code];
    SyncGroupResponse: |r| [r.error_code];
    HeartbeatResponse: |r| [r.error_code];
    LeaveGroupResponse: |r| std::iter::once(r.error_code).chain(r.members.iter().map(|m| m.error_code));
    OffsetCommitResponse: |r| r.topics.iter().flat_map(|t| &t.partitions).map(|p| p.error_code);
    OffsetFetchResponse: |r| std::iter::once(r.error_code).chain(r.groups.iter().map(|g| g.error_code));
    OffsetDeleteResponse: |r| std::iter::once(r.error_code)
        .chain(r.topics.iter().flat_map(|t| &t.partitions).map(|p| p.error_code));
    DescribeGroupsResponse: |r| r.groups.iter().map(|g| g.error_code);
    ListGroupsResponse: |r| [r.error_code];
    DeleteGroupsResponse: |r| r.results.iter().map(|g| g.error_code);
    AddPartitionsToTxnResponse: |r| std::iter::once(r.error_code)
        .chain(r.results_by_topic_v3_and_below.iter()
            .chain(r.results_by_transaction.iter().flat_map(|t| &t.topic_results))
            .flat_map(|t| &t.results_by_partition).map(|p| p.partition_error_code));
    AddOffsetsToTxnResponse: |r| [r.error_code];
    EndTxnResponse: |r| [r.error_code];
    TxnOffsetCommitResponse: |r| r.topics.iter().flat_map(|t| &t.partitions).map(|p| p.error_code);
    WriteTxnMarkersResponse: |r| r.markers.iter().flat_map(|m| &m.topics).flat_map(|t| &t.partitions)
        .map(|p| p.error_code);
    DescribeTransactionsResponse: |r| r.transaction_states.iter().map(|t| t.error_code);
    ListTransactionsResponse: |r| [r.error_code];
    ShareGroupHeartbeatResponse: |r| [r.error_code];
    ShareGroupDescribeResponse: |r| r.groups.iter().map(|g| g.error_code);
    ShareFetchResponse: |r| std::iter::once(r.error_code).chain(
        r.responses.iter().flat_map(|t| &t.partitions).flat_map(|p| [p.error_code, p.acknowledge_error_code]));
    ShareAcknowledgeResponse: |r| std::iter::once(r.error_code)
        .chain(r.responses.iter().flat_map(|t| &t.partitions).map(|p| p.error_code));
    DescribeShareGroupOffsetsResponse: |r| r.groups.iter().map(|g| g.error_code);
    AlterShareGroupOffsetsResponse: |r| std::iter::once(r.error_code)
        .chain(r.responses.iter().flat_map(|t| &t.partitions).map(|p| p.error_code));
    DeleteShareGroupOffsetsResponse: |r| std::iter::once(r.error_code).chain(r.responses.iter().map(|t| t.error_code));
}
