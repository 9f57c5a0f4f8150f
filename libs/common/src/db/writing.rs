//! A transaction on the only connection that writes a SQLite file.

use sqlx::pool::PoolConnection;
use sqlx::{Executor as _, Sqlite, SqliteConnection, SqlitePool};

/// sqlx's own transaction gives its connection back in a task of its own. Everybody who writes waits for that one
/// connection, and on a busy runtime a new task waits for its turn: here the connection is free as `commit` returns.
pub(super) struct Writing {
    /// Absent once given back.
    conn: Option<PoolConnection<Sqlite>>,
}

impl Writing {
    pub async fn begin(writer: &SqlitePool) -> Result<Self, sqlx::Error> {
        let conn = writer.acquire().await?;
        let mut begun = Self { conn: Some(conn) };
        // IMMEDIATE takes the write lock at once: upgrading a read lock later may fail.
        begun.conn().execute("BEGIN IMMEDIATE").await?;
        Ok(begun)
    }

    pub fn conn(&mut self) -> &mut SqliteConnection {
        self.conn
            .as_mut()
            .expect("it is given back with the last use")
    }

    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.conn().execute("COMMIT").await?;
        if let Some(mut conn) = self.conn.take() {
            conn.return_to_pool().await;
        }
        Ok(())
    }
}

impl Drop for Writing {
    /// Rolls back what was not committed. A connection on which that fails may still be within the transaction, or
    /// SQLite has ended that by itself: another one takes its place.
    fn drop(&mut self) {
        let Some(mut conn) = self.conn.take() else {
            return;
        };
        tokio::spawn(async move {
            if conn.execute("ROLLBACK").await.is_err() {
                let closed = conn.close().await;
                tracing::warn!(
                    ?closed,
                    "a transaction could not be rolled back: its connection is closed"
                );
            }
        });
    }
}
