//! The answers of many mutations that commit together.
//!
//! Where one mutation alone reserves its key first, these look all keys up at once, and write all answers at
//! once at the end. A duplicate that another transaction committed meanwhile shows there: nothing of the batch
//! may then be kept.

use std::collections::HashMap;

use prost::Message;
use serde::Serialize;
use tonic::{Response, Status};

use super::fingerprint::Fingerprint;
use super::{Call, is_definitive, replay, store};
use crate::db::{Access as _, Sql, Tx, json_rows};
use crate::error::Error;
use crate::on;

type Key = (&'static str, String);

/// Answers given before, and those to be given by one transaction.
#[derive(Default)]
pub struct Answers {
    known: HashMap<Key, store::Stored>,
    new: Vec<Key>,
}

impl Answers {
    /// Looks up what some calls were answered before.
    pub async fn read(tx: &mut Tx, calls: &[&Call]) -> Result<Self, Error> {
        const SELECT: Sql = Sql {
            postgres: "
                SELECT i.method, i.request_id, i.fingerprint, i.code, i.response, i.message, i.details
                FROM json_to_recordset(CAST($1 AS json)) AS wanted (method TEXT, request_id TEXT)
                CROSS JOIN LATERAL (
                    SELECT method, request_id, fingerprint, code, response, message, details
                    FROM idempotency
                    WHERE method = wanted.method AND request_id = wanted.request_id
                    OFFSET 0
                ) AS i",
            sqlite: "
                SELECT i.method, i.request_id, i.fingerprint, i.code, i.response, i.message, i.details
                FROM jsonb_each($1) AS wanted
                JOIN idempotency i
                    ON i.method = wanted.value ->> 0
                    AND i.request_id = wanted.value ->> 1",
        };
        #[derive(Serialize)]
        struct Wanted<'a> {
            method: &'a str,
            request_id: &'a str,
        }
        #[derive(sqlx::FromRow)]
        struct Found {
            method: String,
            request_id: String,
            #[sqlx(flatten)]
            stored: store::Stored,
        }
        let keyed = calls
            .iter()
            .filter_map(|call| Some((call.method, &call.key.as_ref()?.0)));
        let wanted: Vec<_> = keyed
            .map(|(method, request_id)| Wanted { method, request_id })
            .collect();
        if wanted.is_empty() {
            return Ok(Self::default());
        }
        let text = SELECT.text(tx.dialect());
        let wanted = json_rows(tx.dialect(), &wanted);
        let rows = on!(tx, |conn| sqlx::query_as::<_, Found>(text)
            .bind(wanted)
            .fetch_all(conn)
            .await)?;
        let methods: HashMap<_, _> = calls
            .iter()
            .map(|call| (call.method, call.method))
            .collect();
        let known = |row: Found| {
            let method = *methods.get(row.method.as_str())?;
            Some(((method, row.request_id), row.stored))
        };
        Ok(Self {
            known: rows.into_iter().filter_map(known).collect(),
            new: Vec::new(),
        })
    }

    /// What a call was answered, before or within this transaction.
    pub fn find<T: Message + Default>(
        &self,
        call: &Call,
    ) -> Result<Option<Result<Response<T>, Status>>, Error> {
        let Some((request_id, fingerprint)) = &call.key else {
            return Ok(None);
        };
        let Some(stored) = self.known.get(&(call.method, request_id.clone())) else {
            return Ok(None);
        };
        let before = Fingerprint::from_bytes(&stored.fingerprint);
        let fields = fingerprint.differing(&before, &call.message);
        if !fields.is_empty() {
            let request_id = request_id.clone();
            return Err(Error::RequestIdReused { request_id, fields });
        }
        replay(stored).map(Some)
    }

    /// Notes an answer, if a retry must get it again.
    pub fn note<T: Message>(&mut self, call: &Call, outcome: Result<&T, &Status>) {
        let Some((request_id, fingerprint)) = &call.key else {
            return;
        };
        if let Err(status) = &outcome
            && !is_definitive(status.code())
        {
            return;
        }
        let key = (call.method, request_id.clone());
        let stored = store::Stored {
            fingerprint: fingerprint.to_bytes(),
            answer: store::Answer::of(outcome),
        };
        self.known.insert(key.clone(), stored);
        self.new.push(key);
    }

    /// Writes the answers noted; false if another transaction has answered one of the calls meanwhile.
    pub async fn write(&self, tx: &mut Tx) -> Result<bool, Error> {
        let new: Vec<_> = self
            .new
            .iter()
            .map(|key| (key.0, key.1.as_str(), &self.known[key]))
            .collect();
        store::insert_answered(tx, &new).await
    }
}
