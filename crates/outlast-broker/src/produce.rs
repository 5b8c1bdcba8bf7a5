//! What becomes of checked batches on their way to the log, where the topic's configuration asks for more than storing.

pub(crate) mod dedupe;

/// What a batch may grow to when its records must be looked at: a bound for hostile ones, far above honest ones.
pub(crate) const MAX_DECOMPRESSED_BYTES: usize = 256 << 20;
