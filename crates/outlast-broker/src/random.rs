//! The broker's random numbers, passed in as a seed so that a simulation repeats itself.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

/// Clones share one sequence.
#[derive(Clone)]
pub struct Random(Arc<Mutex<StdRng>>);

impl Random {
    /// Seeded by the operating system when no seed is given.
    pub fn new(seed: Option<u64>) -> Self {
        let rng = match seed {
            Some(seed) => StdRng::seed_from_u64(seed),
            None => rand::make_rng(),
        };
        Self(Arc::new(Mutex::new(rng)))
    }

    /// A topic id or the like: never nil, and in base64, as Kafka's tools print ids, it doesn't start with a dash,
    /// which a command line would take for an option.
    pub fn uuid(&self) -> Uuid {
        loop {
            let id = Uuid::from_u128(self.0.lock().random());
            if !id.is_nil() && !base64(id).starts_with('-') {
                return id;
            }
        }
    }

    /// At least 1.
    pub fn positive_i32(&self) -> i32 {
        self.0.lock().random_range(1..=i32::MAX)
    }
}

/// An id as Kafka's tools print it.
pub fn base64(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}
