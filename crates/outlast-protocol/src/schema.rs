//! The declarative schema: `message!` makes structs, defaults, decode and encode from one description.
//!
//! ```text
//! message! {
//!     versions 3..=13, flexible 9..;          // `, unstable 13` when Kafka doesn't offer the last one yet
//!     struct ProduceRequest {                 // the first struct is the message, the others are its parts
//!         acks: i16,                          // in every version
//!         name: Str [3..=12, ignorable],      // in versions up to 12; elsewhere a value is silently dropped
//!         topic_id: Uuid [13..],              // from 13 on; elsewhere a value other than the default is an error
//!         key: Option<Str> [0.., null(7..)],  // null is allowed only from 7 on
//!         timeout_ms: i32 = 60_000,           // a default other than the type's own
//!     } tagged {
//!         0 => epoch: i32 [10..],             // tagged field 0; absent on the wire when it has its default
//!     }
//! }
//! ```
//!
//! An `Option` without `null(…)` may be null wherever the field exists, and null is its default. One with `null(…)`
//! should have a default that every version can carry.

use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::{ApiKey, DecodeError, EncodeError, Reader, Wire, Writer};

/// A request, a response or a record that has versions.
pub trait Message: Wire + Clone + std::fmt::Debug + PartialEq {
    const NAME: &'static str;
    /// The versions that Kafka 4.3 speaks.
    const VERSIONS: RangeInclusive<i16>;
    /// The last version of `VERSIONS` is not final, and Kafka doesn't offer it unless told to.
    const LAST_VERSION_UNSTABLE: bool;
    /// The first version with compact lengths and tagged fields; `i16::MAX` when there is none.
    const FLEXIBLE_FROM: i16;

    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        if !Self::VERSIONS.contains(&version) {
            let message = Self::NAME;
            return Err(DecodeError::UnsupportedVersion { message, version });
        }
        reader.begin(version, version >= Self::FLEXIBLE_FROM);
        let mut message = Self::default();
        message.read(reader)?;
        Ok(message)
    }

    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
        if !Self::VERSIONS.contains(&version) {
            let message = Self::NAME;
            writer.fail(EncodeError::UnsupportedVersion { message, version });
        } else {
            writer.begin(version, version >= Self::FLEXIBLE_FROM);
            self.write(writer);
        }
        writer.error().cloned().map_or(Ok(()), Err)
    }

    /// Length in bytes when encoded. It costs an encoding; large fields are not copied for it.
    fn size(&self, version: i16) -> Result<usize, EncodeError> {
        let mut writer = Writer::new();
        self.encode(&mut writer, version)?;
        Ok(writer.len())
    }

    /// The version as 16 bits and then the message: how records of internal topics, and the bytes inside the
    /// classic group protocol, are stored.
    fn to_versioned_bytes(&self, version: i16) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::new();
        writer.i16(version);
        self.encode(&mut writer, version)?;
        writer.finish_joined()
    }

    /// The reverse of `to_versioned_bytes`. Bytes that follow the message are ignored, as Kafka does.
    fn from_versioned_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::from(bytes);
        let version = reader.i16()?;
        Self::decode(&mut reader, version)
    }

    /// Like `from_versioned_bytes`, but a version that is too new is read as the last known one. That is how
    /// consumer subscriptions and control records evolve: later versions only append fields.
    fn from_versioned_bytes_or_newer(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::from(bytes);
        let version = reader.i16()?.min(*Self::VERSIONS.end());
        Self::decode(&mut reader, version)
    }
}

/// A message that a client sends, and the type of its answer.
pub trait Request: Message {
    const KEY: ApiKey;
    type Response: Message;
}

/// Compares a field with its default, whose type is known by the field's.
pub(crate) fn differs<T: PartialEq>(value: &T, default: T) -> bool {
    *value != default
}

macro_rules! message {
    (
        versions $versions:expr $(, flexible $flexible:literal ..)? $(, unstable $unstable:literal)?;
        $(#[$meta:meta])*
        struct $name:ident { $($fields:tt)* } $(tagged { $($tagged:tt)* })?
        $(
            $(#[$part_meta:meta])*
            struct $part:ident { $($part_fields:tt)* } $(tagged { $($part_tagged:tt)* })?
        )*
    ) => {
        message! { @struct $(#[$meta])* $name { $($fields)* } { $($($tagged)*)? } }
        $( message! { @struct $(#[$part_meta])* $part { $($part_fields)* } { $($($part_tagged)*)? } } )*

        impl $crate::Message for $name {
            const NAME: &'static str = stringify!($name);
            const VERSIONS: ::std::ops::RangeInclusive<i16> = $versions;
            const LAST_VERSION_UNSTABLE: bool = *Self::VERSIONS.end() == [$($unstable,)? -1][0];
            const FLEXIBLE_FROM: i16 = [$($flexible,)? i16::MAX][0];
        }
    };

    (
        @struct $(#[$meta:meta])* $name:ident
        { $($field:ident: $type:ty $([$($on:tt)*])? $(= $default:expr)?),* $(,)? }
        { $($tag:literal => $tagged:ident: $tagged_type:ty $([$($tagged_on:tt)*])? $(= $tagged_default:expr)?),* $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $(pub $field: $type,)*
            $(pub $tagged: $tagged_type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: message!(@default $($default)?),)*
                    $($tagged: message!(@default $($tagged_default)?),)*
                }
            }
        }

        impl $crate::Wire for $name {
            #[allow(unused_variables)]
            fn read(&mut self, reader: &mut $crate::Reader) -> Result<(), $crate::DecodeError> {
                let version = reader.version();
                $( message!(@read self reader version $field [$($($on)*)?]); )*
                message!(@read_tagged self reader version $($tag $tagged [$($($tagged_on)*)?])*)
            }

            #[allow(unused_variables)]
            fn write(&self, writer: &mut $crate::Writer) {
                let version = writer.version();
                $( message!(@write self writer version $field [$($($on)*)?] message!(@default $($default)?)); )*
                message!(@write_tagged self writer version
                    $($tag $tagged [$($($tagged_on)*)?] (message!(@default $($tagged_default)?)))*);
            }
        }

        #[cfg(any(test, feature = "generate"))]
        impl $crate::generate::Generate for $name {
            #[allow(unused_variables)]
            fn generate(generator: &mut $crate::generate::Generator) -> Self {
                let version = generator.version();
                #[allow(unused_mut)]
                let mut this = Self::default();
                $( message!(@generate this generator version $field [$($($on)*)?]); )*
                $( message!(@generate_tagged this generator version $tagged [$($($tagged_on)*)?]); )*
                this
            }
        }

        impl $crate::Nullable for $name {
            fn read_nullable(reader: &mut $crate::Reader) -> Result<Option<Self>, $crate::DecodeError> {
                $crate::codec::read_nullable_struct(reader)
            }

            fn write_nullable(value: Option<&Self>, writer: &mut $crate::Writer) {
                $crate::codec::write_nullable_struct(value, writer);
            }
        }
    };

    (@default) => { Default::default() };
    (@default $default:expr) => { $default };

    (@read $self:ident $reader:ident $version:ident $field:ident []) => {
        $self.$field.read($reader)?
    };
    (@read $self:ident $reader:ident $version:ident $field:ident [$on:pat $(, ignorable)?]) => {
        if matches!($version, $on) {
            $self.$field.read($reader)?;
        }
    };
    (@read $self:ident $reader:ident $version:ident $field:ident [$on:pat, null($null:pat) $(, ignorable)?]) => {
        if matches!($version, $on) {
            $self.$field.read($reader)?;
            if $self.$field.is_none() && !matches!($version, $null) {
                return Err($crate::DecodeError::UnexpectedNull);
            }
        }
    };

    (@generate $this:ident $generator:ident $version:ident $field:ident []) => {
        $this.$field = $generator.value()
    };
    (@generate $this:ident $generator:ident $version:ident $field:ident [$on:pat $(, ignorable)?]) => {
        if matches!($version, $on) {
            $this.$field = $generator.value();
        }
    };
    (@generate $this:ident $generator:ident $version:ident $field:ident [$on:pat, null($null:pat) $(, ignorable)?]) => {
        if matches!($version, $on) {
            $this.$field = $generator.nullable(matches!($version, $null));
        }
    };
    (@generate_tagged $this:ident $generator:ident $version:ident $field:ident [$($on:pat)? $(, ignorable)?]) => {
        if $generator.flip() $(&& matches!($version, $on))? {
            $this.$field = $generator.value();
        }
    };

    (@read_tagged $self:ident $reader:ident $version:ident) => {
        $reader.skip_tagged_fields()
    };
    (@read_tagged $self:ident $reader:ident $version:ident $($tag:literal $field:ident [$($on:pat)? $(, ignorable)?])+) => {
        $reader.tagged_fields(|reader, tag| {
            match tag {
                $( $tag $(if matches!($version, $on))? => $self.$field.read(reader)?, )+
                _ => return Ok(false),
            }
            Ok(true)
        })
    };

    (@write $self:ident $writer:ident $version:ident $field:ident [] $default:expr) => {
        $self.$field.write($writer)
    };
    (@write $self:ident $writer:ident $version:ident $field:ident [$on:pat] $default:expr) => {
        if matches!($version, $on) {
            $self.$field.write($writer);
        } else if $crate::schema::differs(&$self.$field, $default) {
            $writer.unsupported_field(stringify!($field));
        }
    };
    (@write $self:ident $writer:ident $version:ident $field:ident [$on:pat, ignorable] $default:expr) => {
        if matches!($version, $on) {
            $self.$field.write($writer);
        }
    };
    (@write $self:ident $writer:ident $version:ident $field:ident [$on:pat, null($null:pat) $(, $ignorable:ident)?] $default:expr) => {
        if $self.$field.is_none() && matches!($version, $on) && !matches!($version, $null) {
            $writer.unexpected_null(stringify!($field));
        }
        message!(@write $self $writer $version $field [$on $(, $ignorable)?] $default)
    };

    (@write_tagged $self:ident $writer:ident $version:ident) => {
        $writer.no_tagged_fields()
    };
    (@write_tagged $self:ident $writer:ident $version:ident $($tag:literal $field:ident [$($on:tt)*] ($default:expr))+) => {
        let mut tagged = $writer.tagged_fields();
        $(
            if $crate::schema::differs(&$self.$field, $default) {
                message!(@write_tag $self tagged $version $tag $field [$($on)*]);
            }
        )+
        $writer.finish_tagged_fields(tagged);
    };
    (@write_tag $self:ident $tagged:ident $version:ident $tag:literal $field:ident []) => {
        $tagged.add($tag, |writer| $self.$field.write(writer))
    };
    (@write_tag $self:ident $tagged:ident $version:ident $tag:literal $field:ident [$on:pat $(, $ignorable:ident)?]) => {
        if matches!($version, $on) {
            $tagged.add($tag, |writer| $self.$field.write(writer));
        } else {
            message!(@tag_dropped $tagged $field $($ignorable)?);
        }
    };
    (@tag_dropped $tagged:ident $field:ident ignorable) => {};
    (@tag_dropped $tagged:ident $field:ident) => {
        $tagged.unsupported_field(stringify!($field))
    };
}

pub(crate) use message;
