//! Arbitrary messages that are valid in a given version, for tests: the same seed gives the same messages.
//!
//! They favour the edges: nulls, empty and missing things, extreme numbers, text beyond ASCII, lengths on both sides
//! of where a varint grows or a slice is linked instead of copied.

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use crate::{Message, Nullable, Records, Str};

/// A type of which a generator can make values.
pub trait Generate: Sized {
    fn generate(generator: &mut Generator) -> Self;
}

#[derive(Debug)]
pub struct Generator {
    random: fastrand::Rng,
    version: i16,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            version: 0,
        }
    }

    /// A message that can be encoded in this version.
    pub fn message<M: Message + Generate>(&mut self, version: i16) -> M {
        self.version = version;
        M::generate(self)
    }

    pub(crate) fn version(&self) -> i16 {
        self.version
    }

    pub(crate) fn value<T: Generate>(&mut self) -> T {
        T::generate(self)
    }

    pub(crate) fn nullable<T: Generate>(&mut self, null_allowed: bool) -> Option<T> {
        if null_allowed && self.random.u8(..4) == 0 {
            None
        } else {
            Some(self.value())
        }
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.random.bool()
    }

    fn integer(&mut self) -> i64 {
        match self.random.u8(..6) {
            0 => 0,
            1 => -1,
            2 => i64::MIN,
            3 => i64::MAX,
            4 => self.random.i64(-200..200),
            _ => self.random.i64(..),
        }
    }

    fn byte_string(&mut self) -> Vec<u8> {
        let length = match self.random.u8(..12) {
            0 => 0,
            1 => self.random.usize(120..140),
            2 => self.random.usize(1000..1050),
            _ => self.random.usize(1..10),
        };
        std::iter::repeat_with(|| self.random.u8(..))
            .take(length)
            .collect()
    }
}

macro_rules! integers {
    ($($type:ty),*) => { $(
        impl Generate for $type {
            fn generate(generator: &mut Generator) -> Self {
                // The extremes of 64 bits become 0 and −1 here; the own ones are as interesting.
                match generator.random.u8(..8) {
                    0 => <$type>::MIN,
                    1 => <$type>::MAX,
                    _ => generator.integer() as $type,
                }
            }
        }
    )* };
}

integers!(i8, i16, u16, i32, u32, i64);

impl Generate for bool {
    fn generate(generator: &mut Generator) -> Self {
        generator.flip()
    }
}

impl Generate for f64 {
    fn generate(generator: &mut Generator) -> Self {
        generator.random.f64() * generator.integer() as f64
    }
}

impl Generate for Uuid {
    fn generate(generator: &mut Generator) -> Self {
        match generator.random.u8(..4) {
            0 => Uuid::nil(),
            _ => Uuid::from_u128(generator.random.u128(..)),
        }
    }
}

impl Generate for Str {
    fn generate(generator: &mut Generator) -> Self {
        match generator.random.u8(..8) {
            0 => Str::default(),
            1 => Str::from("größer-als"),
            2 => Str::from("題目🦀"),
            3 => Str::from("x".repeat(generator.random.usize(120..135))),
            _ => Str::from(format!("name-{}", generator.random.u16(..))),
        }
    }
}

impl Generate for Bytes {
    fn generate(generator: &mut Generator) -> Self {
        Bytes::from(generator.byte_string())
    }
}

impl Generate for BytesMut {
    fn generate(generator: &mut Generator) -> Self {
        BytesMut::from(&*generator.byte_string())
    }
}

impl Generate for Records {
    fn generate(generator: &mut Generator) -> Self {
        Records(generator.value())
    }
}

impl<T: Generate + Nullable> Generate for Option<T> {
    fn generate(generator: &mut Generator) -> Self {
        generator.nullable(true)
    }
}

impl<T: Generate> Generate for Vec<T> {
    fn generate(generator: &mut Generator) -> Self {
        let length = match generator.random.u8(..16) {
            0 => 130,
            1..=4 => 0,
            _ => generator.random.usize(1..4),
        };
        // Long arrays within long arrays would take all the time and find nothing more.
        let length = if size_of::<T>() > 8 {
            length.min(3)
        } else {
            length
        };
        std::iter::repeat_with(|| generator.value())
            .take(length)
            .collect()
    }
}
