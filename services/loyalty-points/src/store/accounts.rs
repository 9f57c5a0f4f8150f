//! Members' accounts, one for each currency of the program: what is held and owed in it.

use std::collections::HashMap;

use common::db::{Access, Sql, Tx, json_list, json_rows};
use common::ids::CustomerId;
use common::{all, on};
use serde::{Deserialize, Serialize};

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
#[derive(Debug, Clone, sqlx::FromRow, Deserialize)]
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
            SELECT json_group_array(json_array(customer_id, program_id, currency, points, held, debt))
            FROM accounts
            WHERE customer_id IN (SELECT value FROM json_each($1))",
    };
    let ids: Vec<_> = customer_ids.iter().map(|id| id.as_str()).collect();
    Ok(all!(db, SELECT, AccountRow, json_list(&ids))?)
}

/// What a member owes in one currency.
pub async fn get_debt(db: &mut impl Access, account: AccountKey<'_>) -> Result<i64, common::Error> {
    const SELECT: &str = "
        SELECT debt
        FROM accounts
        WHERE customer_id = $1 AND program_id = $2 AND currency = $3";
    Ok(on!(db, |conn| sqlx::query_scalar::<_, i64>(SELECT)
        .bind(account.customer_id)
        .bind(account.program_id)
        .bind(account.wallet)
        .fetch_one(conn)
        .await)?)
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
            SELECT customer_id, debt
            FROM accounts
            WHERE program_id = $1
                AND currency = $2
                AND customer_id IN (SELECT json_array_elements_text(CAST($3 AS json)))",
        sqlite: "
            SELECT customer_id, debt
            FROM accounts
            WHERE program_id = $1
                AND currency = $2
                AND customer_id IN (SELECT value FROM json_each($3))",
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

/// Opens a new member's accounts, an empty one in each currency of the program.
pub async fn open(
    tx: &mut Tx,
    customer_id: &CustomerId,
    program_id: &str,
) -> Result<(), common::Error> {
    const INSERT: &str = "
        INSERT INTO accounts (customer_id, program_id, currency, points, held, debt)
        SELECT $1, $2, '', 0, 0, 0
        UNION ALL
        SELECT $1, $2, currency, 0, 0, 0
        FROM currencies
        WHERE program_id = $2";
    Ok(on!(tx, |conn| sqlx::query(INSERT)
        .bind(customer_id)
        .bind(program_id)
        .execute(conn)
        .await
        .map(drop))?)
}

/// Writes what members have in their accounts.
pub async fn update(
    tx: &mut Tx,
    changed: &[(AccountKey<'_>, Holding)],
) -> Result<(), common::Error> {
    const UPDATE: Sql = Sql {
        postgres: "
            UPDATE accounts AS a
            SET points = new.points,
                held = new.held,
                debt = new.debt
            FROM json_to_recordset(CAST($1 AS json))
                AS new (customer_id TEXT, program_id TEXT, currency TEXT, points BIGINT,
                        held BIGINT, debt BIGINT)
            WHERE a.customer_id = new.customer_id
                AND a.program_id = new.program_id
                AND a.currency = new.currency",
        sqlite: "
            UPDATE accounts AS a
            SET points = new.value ->> 3,
                held = new.value ->> 4,
                debt = new.value ->> 5
            FROM jsonb_each($1) AS new
            WHERE a.customer_id = new.value ->> 0
                AND a.program_id = new.value ->> 1
                AND a.currency = new.value ->> 2",
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
    let text = UPDATE.text(tx.dialect());
    let list = json_rows(tx.dialect(), &rows);
    let written = on!(tx, |conn| sqlx::query(text)
        .bind(list)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
    if written == rows.len() as u64 {
        Ok(())
    } else {
        let missing = "an account of a member is missing".to_owned();
        Err(common::Error::Internal(missing))
    }
}
