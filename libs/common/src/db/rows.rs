//! Many rows as one bind parameter: JSON text that the databases take apart each in its way.
//!
//! PostgreSQL's `json_to_recordset` wants objects. SQLite has no such thing: `jsonb_each` gives one row at a time, and
//! `value ->> n` its fields by place, which costs less than by name.

use serde::ser::{Error as _, Impossible, SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};

use super::{Dialect, json_list};

/// A list of structs, each an object of its fields for PostgreSQL, the array of them for SQLite.
pub fn json_rows<T: Serialize>(dialect: Dialect, rows: &[T]) -> String {
    match dialect {
        Dialect::Postgres => json_list(rows),
        Dialect::Sqlite => {
            let rows: Vec<_> = rows.iter().map(ByPlace).collect();
            json_list(&rows)
        }
    }
}

/// A struct as the array of its fields, in their order.
struct ByPlace<'a, T>(&'a T);

impl<T: Serialize> Serialize for ByPlace<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Row(serializer))
    }
}

/// Takes a struct, and nothing else.
struct Row<S>(S);

struct Fields<S>(S);

impl<S: SerializeSeq> SerializeStruct for Fields<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        _: &'static str,
        value: &T,
    ) -> Result<(), S::Error> {
        self.0.serialize_element(value)
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}

macro_rules! refuse {
    ($($method:ident($($argument:ty),*) -> $result:ty;)*) => {
        $(fn $method(self, $(_: $argument),*) -> Result<$result, S::Error> {
            Err(S::Error::custom("a row is a struct"))
        })*
    };
}

impl<S: Serializer> Serializer for Row<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Impossible<S::Ok, S::Error>;
    type SerializeTuple = Impossible<S::Ok, S::Error>;
    type SerializeTupleStruct = Impossible<S::Ok, S::Error>;
    type SerializeTupleVariant = Impossible<S::Ok, S::Error>;
    type SerializeMap = Impossible<S::Ok, S::Error>;
    type SerializeStruct = Fields<S::SerializeSeq>;
    type SerializeStructVariant = Impossible<S::Ok, S::Error>;

    fn serialize_struct(
        self,
        _: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        self.0.serialize_seq(Some(len)).map(Fields)
    }

    refuse! {
        serialize_bool(bool) -> S::Ok;
        serialize_i8(i8) -> S::Ok;
        serialize_i16(i16) -> S::Ok;
        serialize_i32(i32) -> S::Ok;
        serialize_i64(i64) -> S::Ok;
        serialize_u8(u8) -> S::Ok;
        serialize_u16(u16) -> S::Ok;
        serialize_u32(u32) -> S::Ok;
        serialize_u64(u64) -> S::Ok;
        serialize_f32(f32) -> S::Ok;
        serialize_f64(f64) -> S::Ok;
        serialize_char(char) -> S::Ok;
        serialize_str(&str) -> S::Ok;
        serialize_bytes(&[u8]) -> S::Ok;
        serialize_none() -> S::Ok;
        serialize_unit() -> S::Ok;
        serialize_unit_struct(&'static str) -> S::Ok;
        serialize_unit_variant(&'static str, u32, &'static str) -> S::Ok;
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("a row is a struct"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Line<'a> {
        name: &'a str,
        points: Option<i64>,
    }

    #[test]
    fn a_row_is_an_object_or_an_array_by_the_database() {
        let lines = [("a\"", Some(1)), ("b", None)];
        let lines = lines.map(|(name, points)| Line { name, points });
        assert_eq!(
            json_rows(Dialect::Postgres, &lines),
            r#"[{"name":"a\"","points":1},{"name":"b","points":null}]"#
        );
        assert_eq!(
            json_rows(Dialect::Sqlite, &lines),
            r#"[["a\"",1],["b",null]]"#
        );
    }
}
