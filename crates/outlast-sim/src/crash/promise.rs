//! What the broker promises to Kafka's producers and consumers.

use crate::report::Promises;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Promise {
    AcknowledgedKept,
    NoneDuplicated,
    OrderKept,
    OffsetsStable,
    GroupOffsetsKept,
    GroupGoesOn,
    TopicsKept,
    ProducersGoOn,
    RestartsAlone,
    RecoversQuickly,
    StopsCleanly,
    LogVerifies,
}

impl Promises for Promise {
    const ALL: &'static [Self] = &[
        Promise::AcknowledgedKept,
        Promise::NoneDuplicated,
        Promise::OrderKept,
        Promise::OffsetsStable,
        Promise::GroupOffsetsKept,
        Promise::GroupGoesOn,
        Promise::TopicsKept,
        Promise::ProducersGoOn,
        Promise::RestartsAlone,
        Promise::RecoversQuickly,
        Promise::StopsCleanly,
        Promise::LogVerifies,
    ];

    fn sentence(self) -> &'static str {
        match self {
            Promise::AcknowledgedKept => "no acknowledged message is lost or damaged",
            Promise::NoneDuplicated => "no message is duplicated",
            Promise::OrderKept => "each producer's order is kept in each partition",
            Promise::OffsetsStable => "an offset shows the same message for ever",
            Promise::GroupOffsetsKept => "committed group offsets are kept",
            Promise::GroupGoesOn => "the consumer group reads on to the end",
            Promise::TopicsKept => "created topics are kept",
            Promise::ProducersGoOn => "producers go on after every restart without an error",
            Promise::RestartsAlone => "the broker restarts by itself, and ends only when killed",
            Promise::RecoversQuickly => "every restart acknowledges again within 20 s",
            Promise::StopsCleanly => "SIGTERM stops the broker with code 0",
            Promise::LogVerifies => "`log verify` finds nothing wrong",
        }
    }
}
