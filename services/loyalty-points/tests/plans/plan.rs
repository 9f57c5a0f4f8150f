//! How a database carries a statement out, whatever it is asked for.

use common::db::Db;
use sqlx::{AssertSqlSafe, Row as _};

use crate::shop::Shop;

/// Tables that grow with the ledger.
const LARGE: [&str; 9] = [
    "accounts",
    "customers",
    "entries",
    "lots",
    "members",
    "postings",
    "seal_blocks",
    "seal_nodes",
    "seals",
];

/// How large tables are to be thought of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sizes {
    /// As they are.
    Analyzed,
    /// So large that an index is used wherever there is one.
    Endless,
}

/// The large tables that a statement reads from end to end.
pub async fn read_whole(shop: &Shop, statement: &str, sizes: Sizes) -> Vec<String> {
    match &shop.server.platform.db {
        Db::Postgres(pool) => {
            let mut conn = pool.acquire().await.unwrap().detach();
            let parameters = parameters(statement);
            // What may be absent is a currency, of which the database cannot tell that it is a text.
            let unsure = |number| statement.contains(&format!("${number} IS NULL"));
            let types = (1..=parameters).map(|n| if unsure(n) { "TEXT" } else { "unknown" });
            let types = in_brackets(&types.collect::<Vec<_>>());
            let values = in_brackets(&vec!["NULL"; parameters]);
            let seqscan = if sizes == Sizes::Endless { "off" } else { "on" };
            let explain = format!(
                "SET plan_cache_mode = force_generic_plan;
                SET enable_seqscan = {seqscan};
                PREPARE explained {types} AS {statement};
                EXPLAIN EXECUTE explained {values}"
            );
            let rows = sqlx::raw_sql(AssertSqlSafe(explain))
                .fetch_all(&mut conn)
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
            let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            of_postgres(&lines)
        }
        Db::Sqlite { readers, .. } => {
            let explain = format!("EXPLAIN QUERY PLAN {statement}");
            let rows = sqlx::query(AssertSqlSafe(explain))
                .fetch_all(readers)
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
            let lines: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            of_sqlite(statement, &lines)
        }
    }
}

/// Nothing at all where there is nothing in them.
fn in_brackets(words: &[&str]) -> String {
    if words.is_empty() {
        return String::new();
    }
    format!("({})", words.join(", "))
}

fn parameters(statement: &str) -> usize {
    let numbers = statement.split('$').skip(1).filter_map(|rest| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    });
    numbers.max().unwrap_or(0)
}

/// A table is read whole by a sequential scan, and by an index without a condition, unless only the first rows are
/// wanted of that.
fn of_postgres(lines: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        let Some((scan, table)) = line.split_once(" on ") else {
            continue;
        };
        let table = table.split_whitespace().next().unwrap_or_default();
        let (is_seq, is_index) = (scan.contains("Seq Scan"), scan.contains(" using "));
        let is_limited = place == 1 && lines[0].starts_with("Limit");
        let below = lines.get(place + 1).map_or("", |line| line.trim_start());
        let is_whole = is_seq || (is_index && !is_limited && !below.starts_with("Index Cond"));
        if is_whole && LARGE.contains(&table) {
            found.push(line.trim().to_owned());
        }
    }
    found
}

/// `SCAN` reads all, by an index or not, unless that is the only thing there is to do and a few rows are enough. So does
/// whoever makes an index for the statement alone.
fn of_sqlite(statement: &str, lines: &[String]) -> Vec<String> {
    let scanned = lines.iter().filter_map(|line| {
        let made = line.strip_prefix("SEARCH ");
        let made = made.filter(|rest| rest.contains("USING AUTOMATIC"));
        let name = line.strip_prefix("SCAN ").or(made)?;
        Some((line, name.split_whitespace().next()?))
    });
    let is_limited = lines.len() == 1 && statement.contains("LIMIT");
    let whole = scanned.filter(|(_, name)| !is_limited && is_large(statement, name));
    whole.map(|(line, _)| line.clone()).collect()
}

/// Whether a name in a statement stands for a large table.
fn is_large(statement: &str, name: &str) -> bool {
    let words: Vec<_> = statement.split_whitespace().collect();
    let is_table = |word: &str| LARGE.contains(&word.trim_matches(['(', ')', ',']));
    let named = words.windows(2).filter(|pair| is_table(pair[0]));
    let mut aliases = named.map(|pair| pair[1].trim_matches(['(', ')', ',']));
    LARGE.contains(&name) || aliases.any(|alias| alias == name)
}
