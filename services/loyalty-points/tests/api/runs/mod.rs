//! What is asked for and takes many transactions: repeated, cut off, and asked for by several at once.

mod kept;
mod recalculated;
mod sealed;
mod swept;

use api::loyalty::v1 as pb;
use common::db::Dialect;
use common::on;
use pb::audit_service_client::AuditServiceClient;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use crate::shop::Shop;

/// Whoever calls a server without authentication.
const CALLER: &str = "anonymous";

/// All that a call tells.
#[derive(Debug, Clone, PartialEq)]
struct Told<T> {
    /// Whether all of it is marked as told again.
    replayed: bool,
    messages: Vec<T>,
}

async fn told<T>(answer: Result<Response<Streaming<T>>, Status>) -> Result<Told<T>, Status> {
    let answer = answer?;
    let replayed = answer.metadata().contains_key("asterism-replayed");
    let mut stream = answer.into_inner();
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await? {
        messages.push(message);
    }
    Ok(Told { replayed, messages })
}

/// Six callers at once, three of each of two replicas; all that each is told.
async fn at_once<T, F>(shop: &Shop, call: impl Fn(Channel) -> F) -> Vec<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<Told<T>, Status>> + Send + 'static,
{
    let replica = shop.server.replica().await;
    let mut calls = JoinSet::new();
    for _ in 0..3 {
        for channel in [shop.server.channel(), replica.channel()] {
            calls.spawn(call(channel));
        }
    }
    let all = calls.join_all().await.into_iter();
    all.map(|told| told.unwrap().messages).collect()
}

/// Takes one message and goes away.
async fn cut<T>(answer: Result<Response<Streaming<T>>, Status>) -> T {
    let mut stream = answer.unwrap().into_inner();
    stream.message().await.unwrap().unwrap()
}

async fn runs(shop: &Shop) -> Vec<pb::Run> {
    let mut client = AuditServiceClient::new(shop.server.channel());
    let request = pb::ListRunsRequest::default();
    let answer = client.list_runs(request).await.unwrap();
    answer.into_inner().runs
}

/// Nothing of this customer can be written into a table from now on.
async fn damage(shop: &Shop, table: &str, customer_id: &str) {
    let when = format!("NEW.customer_id = '{customer_id}'");
    match shop.server.platform.db.dialect() {
        Dialect::Postgres => {
            let function = "
                CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN RAISE EXCEPTION 'damaged'; END $$";
            execute(shop, function.to_owned()).await;
            let trigger = format!(
                "CREATE TRIGGER damaged BEFORE INSERT ON {table}
                 FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse()"
            );
            execute(shop, trigger).await;
        }
        Dialect::Sqlite => {
            let trigger = format!(
                "CREATE TRIGGER damaged BEFORE INSERT ON {table}
                 WHEN {when} BEGIN SELECT RAISE(ABORT, 'damaged'); END"
            );
            execute(shop, trigger).await;
        }
    }
}

async fn repair(shop: &Shop, table: &str) {
    let drop = match shop.server.platform.db.dialect() {
        Dialect::Postgres => format!("DROP TRIGGER damaged ON {table}"),
        Dialect::Sqlite => "DROP TRIGGER damaged".to_owned(),
    };
    execute(shop, drop).await;
}

async fn execute(shop: &Shop, statement: String) {
    let mut tx = shop.server.platform.tx().await.unwrap();
    on!(&mut tx, |conn| sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(conn)
        .await
        .map(drop))
    .unwrap();
    tx.commit().await.unwrap();
}
