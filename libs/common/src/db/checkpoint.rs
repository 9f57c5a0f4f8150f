//! SQLite's log is copied to the file beside the work of those who write, not within the commit of one of them.

use sqlx::{SqliteConnection, SqlitePool};

/// Pages in the log, 32 MiB of them, from which on they are copied. Copied sooner, most of them would be pages that the
/// next transactions change again.
const COPIED_FROM: i64 = 8192;

/// The log as SQLite tells it.
#[derive(sqlx::FromRow)]
struct Log {
    /// Pages in it; -1 where there is none.
    log: i64,
    /// Those of them that are in the file.
    checkpointed: i64,
}

/// Copies the log to the file if there is much of it.
pub(super) async fn copy_log(writer: &SqlitePool, readers: &SqlitePool) -> Result<(), sqlx::Error> {
    let mut beside = readers.acquire().await?;
    let log = look(&mut beside).await?;
    if log.log - log.checkpointed < COPIED_FROM {
        return Ok(());
    }
    // Nearly all of it while others go on writing, the second time what they wrote during the first.
    copy(&mut beside).await?;
    copy(&mut beside).await?;
    drop(beside);
    // The little that is left while nobody writes: only a log that is copied whole is written anew from its beginning.
    let mut alone = writer.acquire().await?;
    let copied = copy(&mut alone).await;
    alone.return_to_pool().await;
    copied
}

async fn look(conn: &mut SqliteConnection) -> Result<Log, sqlx::Error> {
    let look = sqlx::query_as("PRAGMA wal_checkpoint(NOOP)");
    look.fetch_one(conn).await
}

async fn copy(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let copy = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)");
    copy.execute(conn).await.map(drop)
}

#[cfg(test)]
mod tests {
    use sqlx::query;

    use super::*;
    use crate::config::DatabaseConfig;
    use crate::db::Db;

    #[tokio::test]
    async fn a_long_log_is_copied_and_begun_anew_and_a_short_one_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/file.sqlite", folder.path().display());
        let db = Db::open(&url, &DatabaseConfig::default()).await.unwrap();
        let Db::Sqlite { writer, readers } = &db else {
            unreachable!("the URL says otherwise");
        };
        let log = async || look(&mut readers.acquire().await.unwrap()).await.unwrap();
        query("CREATE TABLE filled (bytes BLOB)")
            .execute(writer)
            .await
            .unwrap();
        let fill = async |pages: i64| {
            query("INSERT INTO filled VALUES (zeroblob(4096 * $1))")
                .bind(pages)
                .execute(writer)
                .await
                .unwrap();
        };
        db.copy_log().await.unwrap();
        assert_eq!(log().await.checkpointed, 0);

        fill(COPIED_FROM).await;
        db.copy_log().await.unwrap();
        let copied = log().await;
        assert!(copied.log >= COPIED_FROM && copied.checkpointed == copied.log);

        fill(1).await;
        assert!(log().await.log < COPIED_FROM);
        db.close().await;
    }
}
