//! How each Rust type that a schema may name is read and written.

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use crate::{DecodeError, Reader, Records, Str, Writer};

/// A type that a field may have. `read` overwrites a default value in place: the code of a struct then needs no
/// cleaning up at each field that may fail, which keeps hundreds of them small.
pub trait Wire: Default {
    fn read(&mut self, reader: &mut Reader) -> Result<(), DecodeError>;
    fn write(&self, writer: &mut Writer);
}

/// A type that has a null on the wire, so that `Option` of it may be a field.
pub trait Nullable: Wire {
    fn read_nullable(reader: &mut Reader) -> Result<Option<Self>, DecodeError>;
    fn write_nullable(value: Option<&Self>, writer: &mut Writer);
}

impl<T: Nullable> Wire for Option<T> {
    fn read(&mut self, reader: &mut Reader) -> Result<(), DecodeError> {
        *self = T::read_nullable(reader)?;
        Ok(())
    }

    fn write(&self, writer: &mut Writer) {
        T::write_nullable(self.as_ref(), writer);
    }
}

macro_rules! numbers {
    ($($type:ty = $method:ident,)*) => { $(
        impl Wire for $type {
            fn read(&mut self, reader: &mut Reader) -> Result<(), DecodeError> {
                *self = reader.$method()? as $type;
                Ok(())
            }

            fn write(&self, writer: &mut Writer) {
                writer.$method(*self as _);
            }
        }
    )* };
}

numbers! {
    i8 = u8,
    i16 = i16,
    u16 = i16,
    i32 = i32,
    u32 = i32,
    i64 = i64,
}

impl Wire for bool {
    fn read(&mut self, reader: &mut Reader) -> Result<(), DecodeError> {
        *self = reader.u8()? != 0;
        Ok(())
    }

    fn write(&self, writer: &mut Writer) {
        writer.u8(u8::from(*self));
    }
}

impl Wire for f64 {
    fn read(&mut self, reader: &mut Reader) -> Result<(), DecodeError> {
        *self = f64::from_bits(reader.i64()? as u64);
        Ok(())
    }

    fn write(&self, writer: &mut Writer) {
        writer.i64(self.to_bits() as i64);
    }
}

impl Wire for Uuid {
    fn read(&mut self, reader: &mut Reader) -> Result<(), DecodeError> {
        *self = reader.uuid()?;
        Ok(())
    }

    fn write(&self, writer: &mut Writer) {
        writer.slice(self.as_bytes());
    }
}

/// `Wire` of a nullable type: null is an error.
macro_rules! required {
    ($($type:ty),*) => { $(
        impl Wire for $type {
            fn read(&mut self, reader: &mut Reader) -> Result<(), DecodeError> {
                *self = Self::read_nullable(reader)?.ok_or(DecodeError::UnexpectedNull)?;
                Ok(())
            }

            fn write(&self, writer: &mut Writer) {
                Self::write_nullable(Some(self), writer);
            }
        }
    )* };
}

required!(Str, Bytes, BytesMut, Records);

impl Nullable for Str {
    fn read_nullable(reader: &mut Reader) -> Result<Option<Self>, DecodeError> {
        reader.string()
    }

    fn write_nullable(value: Option<&Self>, writer: &mut Writer) {
        writer.string(value.map(|value| &**value));
    }
}

impl Nullable for Bytes {
    fn read_nullable(reader: &mut Reader) -> Result<Option<Self>, DecodeError> {
        Ok(reader.bytes()?.map(BytesMut::freeze))
    }

    fn write_nullable(value: Option<&Self>, writer: &mut Writer) {
        writer.length(value.map(Bytes::len));
        if let Some(bytes) = value {
            writer.link(bytes);
        }
    }
}

/// Exclusive bytes of the frame, which the receiver may patch in place. Writing them copies.
impl Nullable for BytesMut {
    fn read_nullable(reader: &mut Reader) -> Result<Option<Self>, DecodeError> {
        reader.bytes()
    }

    fn write_nullable(value: Option<&Self>, writer: &mut Writer) {
        writer.length(value.map(BytesMut::len));
        writer.slice(value.map_or(&[], |bytes| bytes));
    }
}

impl Nullable for Records {
    fn read_nullable(reader: &mut Reader) -> Result<Option<Self>, DecodeError> {
        Ok(reader.bytes()?.map(|bytes| Self::from(bytes.freeze())))
    }

    fn write_nullable(value: Option<&Self>, writer: &mut Writer) {
        writer.length(value.map(Records::len));
        if let Some(records) = value {
            records.0.iter().for_each(|link| writer.link(link));
        }
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn read(&mut self, reader: &mut Reader) -> Result<(), DecodeError> {
        *self = Self::read_nullable(reader)?.ok_or(DecodeError::UnexpectedNull)?;
        Ok(())
    }

    fn write(&self, writer: &mut Writer) {
        Self::write_nullable(Some(self), writer);
    }
}

impl<T: Wire> Nullable for Vec<T> {
    fn read_nullable(reader: &mut Reader) -> Result<Option<Self>, DecodeError> {
        let Some(count) = reader.array_length(size_of::<T>())? else {
            return Ok(None);
        };
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            let mut element = T::default();
            element.read(reader)?;
            elements.push(element);
        }
        Ok(Some(elements))
    }

    fn write_nullable(value: Option<&Self>, writer: &mut Writer) {
        writer.length(value.map(Vec::len));
        if let Some(elements) = value {
            elements.iter().for_each(|element| element.write(writer));
        }
    }
}

/// A nullable struct is preceded by a byte: −1 for null, 1 for a value.
pub(crate) fn read_nullable_struct<T: Wire>(reader: &mut Reader) -> Result<Option<T>, DecodeError> {
    if (reader.u8()? as i8) < 0 {
        return Ok(None);
    }
    let mut value = T::default();
    value.read(reader)?;
    Ok(Some(value))
}

pub(crate) fn write_nullable_struct<T: Wire>(value: Option<&T>, writer: &mut Writer) {
    match value {
        None => writer.u8(-1i8 as u8),
        Some(value) => {
            writer.u8(1);
            value.write(writer);
        }
    }
}
