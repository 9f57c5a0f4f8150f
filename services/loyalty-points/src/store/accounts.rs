//! Members' accounts, one for each currency: what is held and owed in it. One that is not stored is empty.

use std::collections::HashMap;

use common::db::{Access, Sql, Tx, json_list};
use common::ids::CustomerId;
use common::on;
use serde::Serialize;

use crate::domain::currency::Wallet;
use crate::domain::plan::Holding;

/// Whose account in which currency.
#[derive(Debug, Clone, Copy)]
pub struct AccountKey<'a> {
    /// The member's customer.
    pub customer_id: &'a CustomerId,
    /// The program.
    pub program_id: &'a str,
    /// The currency.
    pub wallet: &'a Wallet,
}

/// Whose accounts: in one currency, or in all of them.
#[derive(Debug, Clone, Copy)]
pub struct MemberKey<'a> {
    /// The member's customer.
    pub customer_id: &'a CustomerId,
    /// The program.
    pub program_id: &'a str,
    /// The currency; absent: all of them.
    pub wallet: Option<&'a Wallet>,
}

impl<'a> From<AccountKey<'a>> for MemberKey<'a> {
    fn from(account: AccountKey<'a>) -> Self {
        Self {
            customer_id: account.customer_id,
            program_id: account.program_id,
            wallet: Some(account.wallet),
        }
    }
}

/// An account as stored.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AccountRow {
    /// The member's customer.
    pub customer_id: CustomerId,
    /// The program.
    pub program_id: String,
    /// The currency.
    #[sqlx(rename = "currency")]
    pub wallet: Wallet,
    points: i64,
    held: i64,
    debt: i64,
}

impl AccountRow {
    /// What the member has in it.
    pub fn holding(&self) -> Holding {
        Holding {
            points: self.points,
            held: self.held,
            debt: self.debt,
        }
    }
}

/// The accounts of customers, in any order.
pub async fn list(
    db: &mut impl Access,
    customer_ids: &[&CustomerId],
) -> Result<Vec<AccountRow>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT customer_id, program_id, currency, points, held, debt
            FROM accounts
            WHERE customer_id IN (SELECT json_array_elements_text(CAST($1 AS json)))",
        sqlite: "
            SELECT customer_id, program_id, currency, points, held, debt
            FROM accounts
            WHERE customer_id IN (SELECT value FROM json_each($1))",
    };
    let ids: Vec<_> = customer_ids.iter().map(|id| id.as_str()).collect();
    let text = SELECT.text(db.dialect());
    Ok(on!(db, |conn| sqlx::query_as::<_, AccountRow>(text)
        .bind(json_list(&ids))
        .fetch_all(conn)
        .await)?)
}

/// What a member owes in one currency.
pub async fn get_debt(
    db: &mut impl Access,
    account: AccountKey<'_>,
) -> Result<i64, common::Error> {
    const SELECT: &str = "
        SELECT debt
        FROM accounts
        WHERE customer_id = $1 AND program_id = $2 AND currency = $3";
    let debt = on!(db, |conn| sqlx::query_scalar::<_, i64>(SELECT)
        .bind(account.customer_id)
        .bind(account.program_id)
        .bind(account.wallet)
        .fetch_optional(conn)
        .await)?;
    Ok(debt.unwrap_or_default())
}

/// What each of some customers owes in one currency, without those that are no members, in any order.
pub async fn list_debts(
    db: &mut impl Access,
    program_id: &str,
    wallet: &Wallet,
    customer_ids: &[&str],
) -> Result<HashMap<CustomerId, i64>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT m.customer_id, COALESCE(a.debt, 0)
            FROM members m
            LEFT JOIN accounts a
                ON a.customer_id = m.customer_id
                AND a.program_id = m.program_id
                AND a.currency = $2
            WHERE m.program_id = $1
                AND m.customer_id IN (SELECT json_array_elements_text(CAST($3 AS json)))",
        sqlite: "
            SELECT m.customer_id, COALESCE(a.debt, 0)
            FROM members m
            LEFT JOIN accounts a
                ON a.customer_id = m.customer_id
                AND a.program_id = m.program_id
                AND a.currency = $2
            WHERE m.program_id = $1
                AND m.customer_id IN (SELECT value FROM json_each($3))",
    };
    let text = SELECT.text(db.dialect());
    let rows = on!(db, |conn| sqlx::query_as::<_, (CustomerId, i64)>(text)
        .bind(program_id)
        .bind(wallet)
        .bind(json_list(customer_ids))
        .fetch_all(conn)
        .await)?;
    Ok(rows.into_iter().collect())
}

/// Writes what members have in accounts, new ones among them. The customers are locked.
pub async fn put(
    tx: &mut Tx,
    changed: &[(AccountKey<'_>, Holding)],
) -> Result<(), common::Error> {
    // SQLite takes ON after FROM for a join unless there is a WHERE.
    const UPSERT: Sql = Sql {
        postgres: "
            INSERT INTO accounts (customer_id, program_id, currency, points, held, debt)
            SELECT customer_id, program_id, currency, points, held, debt
            FROM json_to_recordset(CAST($1 AS json))
                AS new (customer_id TEXT, program_id TEXT, currency TEXT, points BIGINT,
                        held BIGINT, debt BIGINT)
            ON CONFLICT (customer_id, program_id, currency) DO UPDATE
            SET points = excluded.points,
                held = excluded.held,
                debt = excluded.debt",
        sqlite: "
            INSERT INTO accounts (customer_id, program_id, currency, points, held, debt)
            SELECT value ->> 'customer_id', value ->> 'program_id', value ->> 'currency',
                   value ->> 'points', value ->> 'held', value ->> 'debt'
            FROM json_each($1)
            WHERE TRUE
            ON CONFLICT (customer_id, program_id, currency) DO UPDATE
            SET points = excluded.points,
                held = excluded.held,
                debt = excluded.debt",
    };
    #[derive(Serialize)]
    struct Row<'a> {
        customer_id: &'a str,
        program_id: &'a str,
        currency: &'a str,
        points: i64,
        held: i64,
        debt: i64,
    }
    let rows: Vec<_> = changed
        .iter()
        .map(|(of, holding)| Row {
            customer_id: of.customer_id.as_str(),
            program_id: of.program_id,
            currency: of.wallet.as_stored(),
            points: holding.points,
            held: holding.held,
            debt: holding.debt,
        })
        .collect();
    let text = UPSERT.text(tx.dialect());
    Ok(on!(tx, |conn| sqlx::query(text)
        .bind(json_list(&rows))
        .execute(conn)
        .await
        .map(drop))?)
}
