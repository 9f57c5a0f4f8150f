//! The columns of `personal_data`, each sealed by itself under the customer's data key.

use std::collections::{BTreeMap, BTreeSet};

use common::db::{Access, Hex, Sql, Tx};
use common::ids::CustomerId;
use common::on;
use common::sealing::{DataKey, KeyRing, Place};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::customer_row::{corrupt, stored_id};
use super::data_keys::{self, DataKeys, KeyRow};
use super::{execute, id_rows, json, rows};
use crate::domain::{Gender, Personal};
use crate::error::Error;

/// The columns, in the order of [`texts`].
const COLUMNS: [&str; 7] = [
    "display_name",
    "given_name",
    "family_name",
    "contacts",
    "address",
    "birth_date",
    "gender",
];

/// The columns of `personal_data`, and the customer's data key.
#[derive(sqlx::FromRow)]
pub struct PersonalRow {
    sealed: i64,
    display_name: String,
    given_name: String,
    family_name: String,
    contacts: String,
    address: String,
    birth_date: Option<String>,
    gender: Gender,
    display_name_sealed: Option<Vec<u8>>,
    given_name_sealed: Option<Vec<u8>>,
    family_name_sealed: Option<Vec<u8>>,
    contacts_sealed: Option<Vec<u8>>,
    address_sealed: Option<Vec<u8>>,
    birth_date_sealed: Option<Vec<u8>>,
    gender_sealed: Option<Vec<u8>>,
    #[sqlx(flatten)]
    key: KeyRow,
}

/// What a query selects for a [`PersonalRow`], of `personal_data AS p` and `data_key AS k`.
macro_rules! personal_columns {
    () => {
        "p.sealed, p.display_name, p.given_name, p.family_name, p.contacts, p.address, p.birth_date, p.gender,
            p.display_name_sealed, p.given_name_sealed, p.family_name_sealed, p.contacts_sealed,
            p.address_sealed, p.birth_date_sealed, p.gender_sealed, k.key_id, k.wrapped_key"
    };
}
pub(super) use personal_columns;

impl PersonalRow {
    /// As the domain has it, opened if it is sealed.
    pub fn personal(self, ring: &KeyRing, id: &CustomerId) -> Result<Personal, Error> {
        if self.sealed == 0 {
            return self.plain();
        }
        let key = self.key.data_key(ring, id)?;
        let cells = [
            self.display_name_sealed,
            self.given_name_sealed,
            self.family_name_sealed,
            self.contacts_sealed,
            self.address_sealed,
            self.birth_date_sealed,
            self.gender_sealed,
        ];
        let mut texts: [String; 7] = Default::default();
        for ((text, cell), column) in texts.iter_mut().zip(cells).zip(COLUMNS) {
            *text = key.open(place(column, id), &cell.unwrap_or_default())?;
        }
        let [
            display_name,
            given_name,
            family_name,
            contacts,
            address,
            birth_date,
            gender,
        ] = texts;
        Ok(Personal {
            display_name,
            given_name,
            family_name,
            contacts: parsed("contacts", &contacts)?,
            address: parsed("address", &address)?,
            birth_date: date(Some(birth_date).filter(|date| !date.is_empty()))?,
            gender: Gender::of_text(&gender).ok_or_else(|| corrupt("gender", "no gender"))?,
        })
    }

    /// As an older version wrote it.
    fn plain(self) -> Result<Personal, Error> {
        Ok(Personal {
            display_name: self.display_name,
            given_name: self.given_name,
            family_name: self.family_name,
            contacts: parsed("contacts", &self.contacts)?,
            address: parsed("address", &self.address)?,
            birth_date: date(self.birth_date)?,
            gender: self.gender,
        })
    }
}

/// The personal data of a customer, to be written.
pub type Of<'a> = (&'a CustomerId, &'a Personal);

/// Inserts the personal data of new customers, and their data keys.
pub async fn insert(tx: &mut Tx, ring: &KeyRing, personal: &[Of<'_>]) -> Result<(), Error> {
    const INSERT: Sql = rows!(
        [customer_id text, sealed bigint, display_name text, given_name text, family_name text, contacts text,
            address text, birth_date text, gender text, display_name_sealed hex, given_name_sealed hex,
            family_name_sealed hex, contacts_sealed hex, address_sealed hex, birth_date_sealed hex,
            gender_sealed hex]
        "INSERT INTO personal_data (customer_id, sealed, display_name, given_name, family_name, contacts, address,
            birth_date, gender, display_name_sealed, given_name_sealed, family_name_sealed, contacts_sealed,
            address_sealed, birth_date_sealed, gender_sealed)
        SELECT customer_id, sealed, display_name, given_name, family_name, contacts, address, birth_date, gender,
            display_name_sealed, given_name_sealed, family_name_sealed, contacts_sealed, address_sealed,
            birth_date_sealed, gender_sealed
        FROM r");
    let rows = if ring.seals() {
        let keys = data_keys::insert(tx, ring, personal.iter().map(|(id, _)| *id)).await?;
        sealed(&keys, personal)?
    } else {
        plain(personal)
    };
    execute(tx, INSERT, &rows).await?;
    Ok(())
}

/// Writes the personal data of locked customers.
pub async fn update(tx: &mut Tx, ring: &KeyRing, personal: &[Of<'_>]) -> Result<(), Error> {
    const UPDATE: Sql = rows!(
        [customer_id text, sealed bigint, display_name text, given_name text, family_name text, contacts text,
            address text, birth_date text, gender text, display_name_sealed hex, given_name_sealed hex,
            family_name_sealed hex, contacts_sealed hex, address_sealed hex, birth_date_sealed hex,
            gender_sealed hex]
        "UPDATE personal_data
        SET sealed = r.sealed, display_name = r.display_name, given_name = r.given_name,
            family_name = r.family_name, contacts = r.contacts, address = r.address, birth_date = r.birth_date,
            gender = r.gender, display_name_sealed = r.display_name_sealed,
            given_name_sealed = r.given_name_sealed, family_name_sealed = r.family_name_sealed,
            contacts_sealed = r.contacts_sealed, address_sealed = r.address_sealed,
            birth_date_sealed = r.birth_date_sealed, gender_sealed = r.gender_sealed
        FROM r
        WHERE personal_data.customer_id = r.customer_id");
    let rows = if ring.seals() {
        let ids = personal.iter().map(|(id, _)| (*id).clone()).collect();
        let keys = data_keys::get_or_insert(tx, ring, &ids).await?;
        sealed(&keys, personal)?
    } else {
        plain(personal)
    };
    execute(tx, UPDATE, &rows).await?;
    Ok(())
}

/// Seals what locked customers have in the clear.
pub async fn seal_plain(
    tx: &mut Tx,
    ring: &KeyRing,
    ids: &BTreeSet<CustomerId>,
) -> Result<(), Error> {
    const SELECT: Sql = rows!([customer_id text] concat!(
        "SELECT p.customer_id, ", personal_columns!(),
        " FROM personal_data AS p
        LEFT JOIN data_key AS k ON k.customer_id = p.customer_id
        WHERE p.sealed = 0 AND p.customer_id IN (SELECT r.customer_id FROM r)
        ORDER BY p.customer_id"));
    #[derive(sqlx::FromRow)]
    struct Found {
        customer_id: String,
        #[sqlx(flatten)]
        personal: PersonalRow,
    }
    let (sql, list) = (SELECT.text(tx.dialect()), id_rows(ids));
    let rows: Vec<Found> = on!(tx, |conn| sqlx::query_as(sql)
        .bind(&list)
        .fetch_all(conn)
        .await)?;
    let plain = |row: Found| Ok((stored_id(&row.customer_id)?, row.personal.plain()?));
    let plain: Vec<_> = rows.into_iter().map(plain).collect::<Result<_, Error>>()?;
    let of: Vec<_> = plain.iter().map(|(id, personal)| (id, personal)).collect();
    update(tx, ring, &of).await
}

/// Customers after an id whose data is in the clear, ordered by id.
pub async fn list_plain(
    db: &mut impl Access,
    after: &str,
    limit: i64,
) -> Result<Vec<CustomerId>, Error> {
    const SELECT: &str = "
        SELECT customer_id
        FROM personal_data
        WHERE sealed = 0 AND customer_id > $1
        ORDER BY customer_id
        LIMIT $2";
    Ok(on!(db, |conn| sqlx::query_scalar(SELECT)
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
        .await)?)
}

/// How many customers' data is in the clear.
pub async fn count_plain(db: &mut impl Access) -> Result<i64, Error> {
    const SELECT: &str = "SELECT COUNT(*) FROM personal_data WHERE sealed = 0";
    Ok(on!(db, |conn| sqlx::query_scalar(SELECT)
        .fetch_one(conn)
        .await)?)
}

/// A row to be written: one of the two maps has all the columns, the other what stands for none.
#[derive(Serialize)]
struct NewRow<'a> {
    customer_id: &'a str,
    sealed: i64,
    #[serde(flatten)]
    texts: BTreeMap<&'static str, String>,
    #[serde(flatten)]
    cells: BTreeMap<String, Cell>,
}

fn sealed<'a>(keys: &DataKeys, personal: &[Of<'a>]) -> Result<Vec<NewRow<'a>>, Error> {
    let nothing = [
        "display_name",
        "given_name",
        "family_name",
        "contacts",
        "address",
    ];
    let nothing = nothing.map(|column| (column, String::new()));
    let nothing = nothing
        .into_iter()
        .chain([("gender", Gender::Unknown.text())]);
    let nothing: BTreeMap<_, _> = nothing.collect();
    let row = |(id, personal): &Of<'a>| {
        let key = keys.get(*id).expect("each of them was found or made");
        let mut cells = BTreeMap::new();
        for (column, text) in COLUMNS.into_iter().zip(texts(personal)) {
            cells.insert(format!("{column}_sealed"), seal(key, column, id, &text)?);
        }
        Ok(NewRow {
            customer_id: id.as_str(),
            sealed: 1,
            texts: nothing.clone(),
            cells,
        })
    };
    personal.iter().map(row).collect()
}

/// As versions wrote it that did not seal.
fn plain<'a>(personal: &[Of<'a>]) -> Vec<NewRow<'a>> {
    let row = |(id, personal): &Of<'a>| {
        let mut texts: BTreeMap<_, _> = COLUMNS.into_iter().zip(texts(personal)).collect();
        if personal.birth_date.is_none() {
            texts.remove("birth_date");
        }
        NewRow {
            customer_id: id.as_str(),
            sealed: 0,
            texts,
            cells: BTreeMap::new(),
        }
    };
    personal.iter().map(row).collect()
}

/// Bytes on their way into a column.
struct Cell(Vec<u8>);

impl Serialize for Cell {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Hex(&self.0).serialize(serializer)
    }
}

fn seal(
    key: &DataKey,
    column: &'static str,
    id: &CustomerId,
    text: &str,
) -> Result<Cell, common::Error> {
    key.seal(place(column, id), text).map(Cell)
}

fn place<'a>(column: &'static str, id: &'a CustomerId) -> Place<'a> {
    Place {
        table: "personal_data",
        column,
        row: id.as_str(),
    }
}

fn texts(personal: &Personal) -> [String; 7] {
    let Personal {
        display_name,
        given_name,
        family_name,
        contacts,
        address,
        birth_date,
        gender,
    } = personal;
    [
        display_name.clone(),
        given_name.clone(),
        family_name.clone(),
        json(contacts),
        json(address),
        birth_date.map(|date| date.to_string()).unwrap_or_default(),
        gender.text(),
    ]
}

/// A stored list or object. The value may be personal: it stays out of the error.
pub fn parsed<T: DeserializeOwned>(column: &str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|_| corrupt(column, "no JSON of its form"))
}

fn date(text: Option<String>) -> Result<Option<chrono::NaiveDate>, Error> {
    text.map(|date| date.parse().map_err(|_| corrupt("birth_date", "no date")))
        .transpose()
}
