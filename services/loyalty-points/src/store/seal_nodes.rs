//! The complete subtrees over the hashes of blocks: append-only.

use std::collections::BTreeMap;

use common::db::{Access, Sql, Tx, json_rows};
use common::on;
use serde::Serialize;

use super::seals::signed;
use crate::domain::merkle::{Hash, Node};

/// Appends subtrees that are complete; a block completes two on average.
pub async fn insert(tx: &mut Tx, nodes: &[(Node, Hash)]) -> Result<(), common::Error> {
    const INSERT: &str = "INSERT INTO seal_nodes (level, place, hash) VALUES ($1, $2, $3)";
    for (node, hash) in nodes {
        on!(tx, |conn| sqlx::query(INSERT)
            .bind(i64::from(node.level))
            .bind(signed(node.place))
            .bind(hash.0.as_slice())
            .execute(conn)
            .await
            .map(drop))?;
    }
    Ok(())
}

/// Subtrees, as far as they are there; a path needs a few dozen.
pub async fn list(
    db: &mut impl Access,
    nodes: &[Node],
) -> Result<BTreeMap<Node, Hash>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT n.level, n.place, n.hash
            FROM json_to_recordset(CAST($1 AS json)) AS wanted (level BIGINT, place BIGINT)
            CROSS JOIN LATERAL (
                SELECT level, place, hash
                FROM seal_nodes
                WHERE level = wanted.level AND place = wanted.place
                OFFSET 0
            ) AS n",
        sqlite: "
            SELECT n.level, n.place, n.hash
            FROM jsonb_each($1) AS wanted
            JOIN seal_nodes n
                ON n.level = wanted.value ->> 0
                AND n.place = wanted.value ->> 1",
    };
    #[derive(Serialize)]
    struct Wanted {
        level: i64,
        place: i64,
    }
    let known: BTreeMap<_, _> = nodes
        .iter()
        .map(|node| ((i64::from(node.level), signed(node.place)), *node))
        .collect();
    let wanted = known.keys().map(|(level, place)| Wanted {
        level: *level,
        place: *place,
    });
    let wanted: Vec<_> = wanted.collect();
    let text = SELECT.text(db.dialect());
    let wanted = json_rows(db.dialect(), &wanted);
    let rows = on!(db, |conn| sqlx::query_as::<_, (i64, i64, Vec<u8>)>(text)
        .bind(wanted)
        .fetch_all(conn)
        .await)?;
    let found = rows.into_iter().filter_map(|(level, place, hash)| {
        let node = known.get(&(level, place))?;
        Some((*node, Hash::parse(&hash).ok()?))
    });
    Ok(found.collect())
}

/// The hash of a block as it was appended.
pub async fn find_leaf(db: &mut impl Access, block: i64) -> Result<Option<Hash>, common::Error> {
    let place = u64::try_from(block).unwrap_or_default();
    let node = Node { level: 0, place };
    Ok(list(db, &[node]).await?.remove(&node))
}
