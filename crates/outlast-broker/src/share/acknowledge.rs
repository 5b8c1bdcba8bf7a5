//! What a share consumer says about records that it got, in the form in which ShareFetch and ShareAcknowledge carry it.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use outlast_protocol::ErrorCode;
use outlast_records::{Offset, PartitionId};

use crate::error::ApiError;
use crate::queues::{AckRange, QueueCoordinator, Verb, Worker};

const GAP: i8 = 0;
const ACCEPT: i8 = 1;
const RELEASE: i8 = 2;
const REJECT: i8 = 3;
const RENEW: i8 = 4;

/// Offsets of one partition, and one type for all of them or one for each.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledgement<'a> {
    pub first: i64,
    pub last: i64,
    pub types: &'a [i8],
}

/// Which types a request may have.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// The request says that it renews locks, which it can from version 2 on.
    pub says_renew: bool,
    /// The group allows it.
    pub renew_enabled: bool,
}

/// The ranges of one partition, neighbours with the same verb in one.
fn ranges<'a>(
    acknowledgements: impl Iterator<Item = Acknowledgement<'a>>,
    allowed: Allowed,
) -> Result<Vec<AckRange>, ApiError> {
    let mut ranges: Vec<AckRange> = Vec::new();
    let mut after = 0;
    for Acknowledgement { first, last, types } in acknowledgements {
        let beyond = last
            .checked_sub(first)
            .and_then(|n| usize::try_from(n).ok());
        let fits =
            beyond.is_some_and(|n| types.len() == 1 || types.len().checked_sub(1) == Some(n));
        if first < after || last == i64::MAX || !fits {
            let message = format!(
                "offsets {first} to {last} with {} types are not an acknowledgement that can follow those before it",
                types.len()
            );
            return Err(ApiError::new(ErrorCode::InvalidRequest, message));
        }
        after = last + 1;
        let each = match types {
            [one] => vec![(first, last, *one)],
            many => (first..)
                .zip(many)
                .map(|(at, kind)| (at, at, *kind))
                .collect(),
        };
        for (first, last, kind) in each {
            let verb = verb(kind, allowed)?;
            match ranges.last_mut() {
                Some(open) if open.verb == verb && open.last.0 + 1 == first => {
                    open.last = Offset(last)
                }
                _ => ranges.push(AckRange {
                    first: Offset(first),
                    last: Offset(last),
                    verb,
                }),
            }
        }
    }
    Ok(ranges)
}

fn verb(kind: i8, allowed: Allowed) -> Result<Verb, ApiError> {
    match kind {
        GAP => Ok(Verb::Gap),
        ACCEPT => Ok(Verb::Accept),
        RELEASE => Ok(Verb::Release {
            delay: None,
            counts: true,
        }),
        REJECT => Ok(Verb::Reject),
        RENEW if !allowed.says_renew => Err(ApiError::new(
            ErrorCode::InvalidRequest,
            "a request that renews locks must say so (IsRenewAck, from version 2 on)",
        )),
        RENEW if !allowed.renew_enabled => Err(ApiError::new(
            ErrorCode::InvalidRequest,
            "share.renew.acknowledge.enable is false for this group",
        )),
        RENEW => Ok(Verb::Renew { lock: None }),
        other => Err(ApiError::new(
            ErrorCode::InvalidRequest,
            format!("there is no acknowledge type {other}"),
        )),
    }
}

/// Acknowledges on all partitions at once.
pub async fn acknowledge(
    queues: &QueueCoordinator,
    group: &str,
    worker: &Worker,
    allowed: Allowed,
    partitions: Vec<(PartitionId, Vec<Acknowledgement<'_>>)>,
) -> BTreeMap<PartitionId, Result<(), ApiError>> {
    let each = partitions
        .into_iter()
        .map(|(id, acknowledgements)| async move {
            let done = match ranges(acknowledgements.into_iter(), allowed) {
                Ok(ranges) => queues
                    .acknowledge(group, worker, id, &ranges)
                    .await
                    .map_err(ApiError::from),
                Err(error) => Err(error),
            };
            (id, done)
        });
    join_all(each).await.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RENEWS: Allowed = Allowed {
        says_renew: true,
        renew_enabled: true,
    };

    fn parse(
        given: &[(i64, i64, &[i8])],
        allowed: Allowed,
    ) -> Result<Vec<(i64, i64, Verb)>, ErrorCode> {
        let given = given.iter().map(|(first, last, types)| Acknowledgement {
            first: *first,
            last: *last,
            types,
        });
        match ranges(given, allowed) {
            Ok(ranges) => Ok(ranges
                .iter()
                .map(|r| (r.first.0, r.last.0, r.verb))
                .collect()),
            Err(error) => Err(error.code),
        }
    }

    #[test]
    fn types_become_ranges() {
        let release = Verb::Release {
            delay: None,
            counts: true,
        };
        for (given, expect) in [
            (&[(3, 5, &[1][..])][..], &[(3, 5, Verb::Accept)][..]),
            (&[(3, 3, &[2])], &[(3, 3, release)]),
            (
                &[(0, 4, &[1, 1, 3, 0, 0])],
                &[
                    (0, 1, Verb::Accept),
                    (2, 2, Verb::Reject),
                    (3, 4, Verb::Gap),
                ],
            ),
            (
                &[(0, 1, &[1]), (2, 3, &[1]), (5, 5, &[1])],
                &[(0, 3, Verb::Accept), (5, 5, Verb::Accept)],
            ),
            (&[(1, 2, &[4])], &[(1, 2, Verb::Renew { lock: None })]),
            (&[], &[]),
        ] {
            assert_eq!(parse(given, RENEWS).as_deref(), Ok(expect), "{given:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for given in [
            &[(3, 2, &[1][..])][..],
            &[(-1, 2, &[1])],
            &[(0, 2, &[])],
            &[(0, 2, &[1, 1])],
            &[(0, 0, &[1, 1])],
            &[(5, 6, &[1]), (6, 7, &[1])],
            &[(5, 6, &[1]), (0, 1, &[1])],
            &[(0, 0, &[5])],
            &[(0, 0, &[-1])],
            &[(i64::MIN, i64::MAX, &[1])],
            &[(0, i64::MAX, &[1])],
        ] {
            assert_eq!(
                parse(given, RENEWS),
                Err(ErrorCode::InvalidRequest),
                "{given:?}"
            );
        }
        for (says_renew, renew_enabled) in [(false, true), (true, false)] {
            let allowed = Allowed {
                says_renew,
                renew_enabled,
            };
            let renew: &[(i64, i64, &[i8])] = &[(0, 0, &[4])];
            assert_eq!(parse(renew, allowed), Err(ErrorCode::InvalidRequest));
            assert!(parse(&[(0, 0, &[1])], allowed).is_ok());
        }
    }
}
