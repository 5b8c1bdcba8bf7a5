//! What the broker has promised so far, and the comparison with what it gives back.
//!
//! Acknowledgements and observations come in from the clients' threads at any time. A read-back is
//! compared with the promises made *before* it began: what is acknowledged while it runs may or
//! may not be in it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::Report;
use super::message::{Message, Sequence};
use super::promise::Promise;

/// Where an acknowledgement said the message lies. A client that learns from a repeated request
/// that the first one had arrived may not know.
pub type AckedOffset = Option<i64>;

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Stream {
    pub producer: String,
    pub partition: i32,
}

#[derive(Default, Clone, Debug)]
pub struct Ledger {
    acked: HashMap<Stream, Vec<(Sequence, AckedOffset)>>,
    acked_count: u64,
    /// A fingerprint of what was seen at an offset of a partition.
    seen: HashMap<(i32, i64), u64>,
}

/// One partition, read from its beginning to its end.
pub type ReadPartition = Vec<(i64, Vec<u8>)>;

impl Ledger {
    pub fn acknowledge(&mut self, message: &Message, offset: AckedOffset) {
        let stream = Stream {
            producer: message.producer.clone(),
            partition: message.partition,
        };
        self.acked
            .entry(stream)
            .or_default()
            .push((message.sequence, offset));
        self.acked_count += 1;
    }

    pub fn acked_count(&self) -> u64 {
        self.acked_count
    }

    /// Acknowledged messages of one producer in all partitions.
    pub fn acked_by(&self, producer: &str) -> usize {
        let of_producer = self
            .acked
            .iter()
            .filter(|(stream, _)| stream.producer == producer);
        of_producer.map(|(_, acked)| acked.len()).sum()
    }

    /// Notes what a consumer has seen; the same offset must show the same bytes for ever.
    pub fn see(&mut self, partition: i32, offset: i64, value: &[u8], report: &mut Report) {
        let now = fingerprint(value);
        let before = *self.seen.entry((partition, offset)).or_insert(now);
        if before != now {
            report.broken(
                Promise::OffsetsStable,
                format!("partition {partition} offset {offset} shows another message than before"),
            );
        }
    }

    /// Compares whole partitions with everything that had been promised before they were read.
    pub fn check(
        &mut self,
        read: &HashMap<i32, ReadPartition>,
        promised: &Ledger,
        report: &mut Report,
    ) {
        let mut found: HashMap<Stream, HashMap<Sequence, i64>> = HashMap::new();
        for (&partition, records) in read {
            self.check_partition(partition, records, &mut found, report);
        }
        for (stream, acked) in &promised.acked {
            let nothing = HashMap::new();
            check_acked(stream, acked, found.get(stream).unwrap_or(&nothing), report);
        }
        for &(partition, offset) in promised.seen.keys() {
            let end = read.get(&partition).and_then(|records| records.last());
            if end.is_none_or(|(last, _)| offset > *last) {
                let what =
                    format!("partition {partition} offset {offset} was read before and is gone");
                report.broken(Promise::OffsetsStable, what);
            }
        }
    }

    fn check_partition(
        &mut self,
        partition: i32,
        records: &ReadPartition,
        found: &mut HashMap<Stream, HashMap<Sequence, i64>>,
        report: &mut Report,
    ) {
        let mut newest: HashMap<String, Sequence> = HashMap::new();
        for (index, (offset, value)) in records.iter().enumerate() {
            self.see(partition, *offset, value, report);
            if *offset != index as i64 {
                let what =
                    format!("partition {partition} has offset {offset} where {index} belongs");
                report.broken(Promise::OffsetsStable, what);
            }
            let Some(message) = Message::decode(value) else {
                let what = format!("partition {partition} offset {offset} holds a damaged message");
                report.broken(Promise::AcknowledgedKept, what);
                continue;
            };
            if message.partition != partition {
                let what = format!("`{message}` lies in partition {partition}");
                report.broken(Promise::OrderKept, what);
            }
            let stream = Stream {
                producer: message.producer.clone(),
                partition,
            };
            if let Some(first) = found
                .entry(stream)
                .or_default()
                .insert(message.sequence, *offset)
            {
                let what = format!("`{message}` lies at offset {first} and again at {offset}");
                report.broken(Promise::NoneDuplicated, what);
            } else if let Some(before) = newest.get(&message.producer)
                && message.sequence < *before
            {
                let what = format!("`{message}` at offset {offset} comes after number {before}");
                report.broken(Promise::OrderKept, what);
            }
            newest.insert(message.producer, message.sequence);
        }
    }
}

fn check_acked(
    stream: &Stream,
    acked: &[(Sequence, AckedOffset)],
    found: &HashMap<Sequence, i64>,
    report: &mut Report,
) {
    let Stream {
        producer,
        partition,
    } = stream;
    for (sequence, offset) in acked {
        match (found.get(sequence), offset) {
            (None, _) => report.broken(
                Promise::AcknowledgedKept,
                format!("`{producer} {partition} {sequence}` was acknowledged at {offset:?} and is gone"),
            ),
            (Some(at), Some(offset)) if at != offset => report.broken(
                Promise::OffsetsStable,
                format!("`{producer} {partition} {sequence}` was acknowledged at {offset} and lies at {at}"),
            ),
            _ => {}
        }
    }
}

fn fingerprint(value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(sequence: Sequence) -> Message {
        Message {
            producer: "p".to_owned(),
            partition: 0,
            sequence,
        }
    }

    /// Messages 0, 1 and 2 were acknowledged at their own offsets; `stored` is what comes back.
    fn check(stored: &[Sequence], expect: &[Promise]) {
        let mut ledger = Ledger::default();
        for sequence in 0..3 {
            ledger.acknowledge(&message(sequence), Some(i64::from(sequence)));
        }
        let records = stored.iter().enumerate();
        let records = records
            .map(|(offset, &s)| (offset as i64, message(s).encode()))
            .collect();
        let mut report = Report::default();
        let promised = ledger.clone();
        ledger.check(&HashMap::from([(0, records)]), &promised, &mut report);
        assert_eq!(report.broken_promises(), expect, "{stored:?}");
    }

    #[test]
    fn every_kind_of_damage_is_told_apart() {
        use Promise::{AcknowledgedKept, NoneDuplicated, OffsetsStable, OrderKept};
        check(&[0, 1, 2], &[]);
        check(&[0, 1, 2, 3], &[]);
        check(&[0, 1], &[AcknowledgedKept]);
        check(&[], &[AcknowledgedKept]);
        check(&[0, 2], &[AcknowledgedKept, OffsetsStable]);
        check(&[0, 1, 2, 2], &[NoneDuplicated, OffsetsStable]);
        check(&[0, 2, 1], &[OrderKept, OffsetsStable]);
    }

    #[test]
    fn an_offset_keeps_what_it_showed() {
        let mut ledger = Ledger::default();
        let mut report = Report::default();
        ledger.see(0, 5, b"one", &mut report);
        ledger.see(0, 5, b"one", &mut report);
        assert!(report.all_kept());
        ledger.see(0, 5, b"other", &mut report);
        assert_eq!(report.broken_promises(), [Promise::OffsetsStable]);
    }

    #[test]
    fn what_was_read_once_may_not_vanish() {
        let mut ledger = Ledger::default();
        let mut report = Report::default();
        ledger.see(0, 1, &message(1).encode(), &mut report);
        let promised = ledger.clone();
        let read = HashMap::from([(0, vec![(0, message(0).encode())])]);
        ledger.check(&read, &promised, &mut report);
        assert_eq!(report.broken_promises(), [Promise::OffsetsStable]);
    }
}
