//! PostgreSQL's own benchmark program, running what the service runs for one earning.
//!
//! The statements are those of a transaction per request, in their order: `common::mutation`, the stores of
//! loyalty-points, `common::feed`. Decoding, deciding, encoding, sequencing and sealing are left out: that much
//! less pgbench has to do.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::config::DatabaseConfig;
use common::db::Db;
use common::service::Service as _;
use loyalty_points::Loyalty;
use testkit::Database;
use testkit::postgres::Cluster;

use crate::books::{self, Sizes};
use crate::load::{Load, Measured};
use crate::{Slice, members};

const DATABASE: &str = "pgbench";
/// Threads of pgbench: as many as the machine has cores for, and no fewer clients than threads.
const THREADS: usize = 2;

/// A database for pgbench, and how to run it there.
pub struct Pgbench {
    program: PathBuf,
    socket: PathBuf,
    folder: tempfile::TempDir,
    db: Db,
    sizes: Sizes,
    posted: i64,
}

impl Pgbench {
    /// Makes the database: the same schema, as many members.
    pub async fn create(cluster: &Cluster, members: u64, sizes: Sizes) -> Self {
        let database = Database::create_on(cluster, DATABASE, Loyalty::migrations).await;
        let config = DatabaseConfig {
            pool_max: 1,
            ..DatabaseConfig::default()
        };
        let db = Db::open(&database.url(), &config).await;
        let db = db.expect("the database was just made");
        members::seed(&db, members).await;
        Self {
            program: cluster.program("pgbench"),
            socket: cluster.folder().to_owned(),
            folder: tempfile::tempdir().expect("the temporary folder can be written"),
            db,
            sizes,
            posted: 0,
        }
    }

    /// One slice; afterwards the ledger must hold what pgbench says it posted.
    pub async fn run(&mut self, load: Load, slice: Slice) -> Measured {
        let callers = load.connections * load.in_flight;
        // Warming up takes the longer the more clients there are.
        let seconds = load.length.as_secs() + 1 + callers as u64 / 64;
        let folder = self.folder.path().join(slice.number.to_string());
        std::fs::create_dir(&folder).expect("slices have numbers of their own");
        std::fs::write(folder.join("earn.sql"), script(slice, self.sizes))
            .expect("the temporary folder can be written");
        let mut command = Command::new(&self.program);
        command
            .args(["--no-vacuum", "--protocol=prepared", "--file=earn.sql"])
            .args(["--username=app", "--define=n=0", "--log"])
            .arg(format!("--define=run={}", slice.number))
            .arg(format!("--client={callers}"))
            .arg(format!("--jobs={}", THREADS.min(callers)))
            .arg(format!("--time={seconds}"))
            .arg(format!("--host={}", self.socket.display()))
            .arg(DATABASE)
            .current_dir(&folder)
            .stdin(Stdio::null());
        let output = tokio::task::block_in_place(|| command.output());
        let output = output.expect("pgbench comes with PostgreSQL");
        assert!(
            output.status.success(),
            "pgbench failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let log = Log::read(&folder);
        self.posted += i64::try_from(log.0.len()).expect("a count fits 63 bits");
        books::check(&self.db, "pgbench", self.posted).await;
        log.measured()
    }
}

/// A transaction, as pgbench logs it.
struct Logged {
    client: usize,
    took: Duration,
    /// When it ended, since 1970.
    at: Duration,
}

/// All transactions of a run, in the order of their ends.
struct Log(Vec<Logged>);

impl Log {
    fn read(folder: &Path) -> Self {
        let files = std::fs::read_dir(folder).expect("the folder is ours");
        let mut logged = Vec::new();
        for file in files {
            let path = file.expect("the folder is ours").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("pgbench_log") {
                let text = std::fs::read_to_string(&path).expect("pgbench has ended");
                logged.extend(text.lines().map(line));
            }
        }
        logged.sort_by_key(|logged| logged.at);
        Self(logged)
    }

    /// Of the time when every client has its first transaction behind it: until then statements are being
    /// prepared and backends warm up, as those of the service have done long before.
    fn measured(&self) -> Measured {
        let mut seen = HashSet::new();
        let firsts = self.0.iter().filter(|logged| seen.insert(logged.client));
        let warm = firsts.map(|logged| logged.at).max();
        let (Some(warm), Some(last)) = (warm, self.0.last()) else {
            panic!("pgbench did nothing: the machine is too busy");
        };
        let counted = self.0.iter().filter(|logged| logged.at > warm);
        let took: Vec<_> = counted.map(|logged| logged.took).collect();
        assert!(
            !took.is_empty(),
            "pgbench did too little: the machine is too busy"
        );
        Measured::of(took, last.at.saturating_sub(warm))
    }
}

/// Client, number, microseconds taken, script, and the end in seconds and microseconds.
fn line(text: &str) -> Logged {
    let words: Vec<u64> = text
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    let [client, _, took, _, seconds, micros] = words[..] else {
        panic!("pgbench logs another way: {text}");
    };
    Logged {
        client: usize::try_from(client).expect("clients are few"),
        took: Duration::from_micros(took),
        at: Duration::from_secs(seconds) + Duration::from_micros(micros),
    }
}

/// One earning of one point. A colon before a letter names a variable, hence the spaces within the JSON.
fn script(slice: Slice, sizes: Sizes) -> String {
    let Sizes {
        fingerprint,
        response,
        payload,
    } = sizes;
    let last = slice.members - 1;
    let member = match slice.hot() {
        None => format!("\\set member random(0, {last})"),
        Some(hot) => format!(
            "\\set half random(0, 1)
\\if :half
\\set member random(0, {last})
\\else
\\set member {hot}
\\endif"
        ),
    };
    format!(
        "{member}
\\set n :n + 1
\\set id (:run * 1000 + :client_id) * 10000000 + :n
\\set now 1767225600000000 + :run * 60000000 + :n * 500
BEGIN;
INSERT INTO idempotency (method, request_id, fingerprint, created_at)
    VALUES ('asterism.loyalty.v1.LoyaltyService/EarnPoints', {posting}, '{fingerprint}', :now)
    ON CONFLICT (method, request_id) DO NOTHING;
SAVEPOINT mark;
UPDATE customers SET revision = revision + 1 WHERE customer_id = {customer}
    RETURNING revision, deleted_at IS NOT NULL AS deleted \\gset
SELECT m.customer_id, m.program_id, m.state, m.enrolled_at, m.tier,
       m.tier_since, m.tier_points, m.tier_valid_until,
       o.revision AS override_revision, o.tier AS override_tier, o.actor AS override_actor,
       o.reason AS override_reason, o.created_at AS override_created_at,
       o.expires_at AS override_expires_at,
       CAST(COALESCE(SUM(l.qualifying) FILTER (WHERE l.earned_at <= :now), 0) AS BIGINT) AS qualified,
       MIN(l.earned_at) FILTER (WHERE l.earned_at <= :now) AS oldest,
       MIN(l.earned_at) FILTER (WHERE l.earned_at > :now) AS upcoming
    FROM members m
    JOIN programs p ON p.program_id = m.program_id
    LEFT JOIN lots l
        ON l.customer_id = m.customer_id
        AND l.program_id = m.program_id
        AND l.earned_at > :now - p.tier_window_micros
        AND l.qualifying > 0
    LEFT JOIN tier_overrides o
        ON o.customer_id = m.customer_id
        AND o.program_id = m.program_id
        AND o.ended_at IS NULL
    WHERE m.customer_id = {customer}
        AND ('default' = '' OR m.program_id = 'default')
    GROUP BY m.customer_id, m.program_id, o.customer_id, o.revision
    ORDER BY m.program_id \\gset was_
SELECT points, held, debt FROM accounts
    WHERE customer_id = {customer} AND program_id = 'default' AND currency = '' \\gset was_
INSERT INTO postings
    (customer_id, posting_id, program_id, revision, kind, points, source_type, source_ref,
     rule, reason_code, reason, reverses, counterparty, occurred_at, posted_at)
    VALUES ({customer}, {posting}, 'default', :revision, 'earn', 1, 'promotion', {posting},
            'direct', NULL, '', NULL, NULL, :now, :now)
    ON CONFLICT (program_id, source_type, source_ref, rule) DO NOTHING;
INSERT INTO entries
    (customer_id, program_id, posting_id, line, account, lot_id, hold_id, points, effective_at)
    SELECT {customer}, 'default', {posting}, line, account, lot_id, hold_id, points, effective_at
    FROM json_to_recordset(CAST(
        '[{{\"line\": 0, \"account\": \"member\", \"lot_id\": \"' || {lot}
            || '\", \"hold_id\": null, \"points\": 1, \"effective_at\": ' || CAST(:now AS TEXT)
            || '}}, {{\"line\": 1, \"account\": \"issuance\", \"lot_id\": null, \"hold_id\": null, '
            || '\"points\": -1, \"effective_at\": ' || CAST(:now AS TEXT) || '}}]' AS json))
        AS entry (line BIGINT, account TEXT, lot_id TEXT, hold_id TEXT, points BIGINT,
                  effective_at BIGINT);
INSERT INTO lots
    (customer_id, lot_id, program_id, posting_id, original, remaining, held, consumed, expired,
     reversed, qualifying, earned_at, activates_at, expires_at)
    VALUES ({customer}, {lot}, 'default', {posting}, 1, 1, 0, 0, 0, 0, 1, :now, :now,
            CAST(:now AS BIGINT) + 63072000000000);
UPDATE members
    SET tier = :was_tier,
        tier_since = :was_tier_since,
        tier_points = CAST(:was_qualified AS BIGINT) + 1,
        tier_valid_until = CAST(:now AS BIGINT) + 31536000000000
    WHERE customer_id = {customer} AND program_id = 'default';
UPDATE accounts
    SET points = CAST(:was_points AS BIGINT) + 1,
        held = :was_held,
        debt = :was_debt
    WHERE customer_id = {customer} AND program_id = 'default' AND currency = '';
SELECT lot_id, original, remaining, held, consumed, expired, reversed, qualifying,
       earned_at, activates_at, expires_at
    FROM lots
    WHERE customer_id = {customer}
        AND program_id = 'default'
        AND (remaining > 0 OR held > 0 OR posting_id = '')
    ORDER BY lot_id;
SELECT debt FROM accounts
    WHERE customer_id = {customer} AND program_id = 'default' AND currency = '';
UPDATE idempotency
    SET code = 0, response = '{response}', message = NULL, details = NULL
    WHERE method = 'asterism.loyalty.v1.LoyaltyService/EarnPoints' AND request_id = {posting};
INSERT INTO outbox
    (event_id, customer_id, revision, recorded_at, type_url, payload, traceparent)
    SELECT event_id, customer_id, revision, recorded_at, type_url, payload, traceparent
    FROM UNNEST(ARRAY[{event}]::TEXT[], ARRAY[{customer}]::TEXT[], ARRAY[:revision]::BIGINT[],
                ARRAY[:now]::BIGINT[], ARRAY['/asterism.loyalty.v1.PointsPosted']::TEXT[],
                ARRAY['{payload}']::BYTEA[], ARRAY['']::TEXT[])
        WITH ORDINALITY
        AS event (event_id, customer_id, revision, recorded_at, type_url, payload, traceparent, place)
    ORDER BY place;
COMMIT;
",
        customer = "('m-' || CAST(:member AS TEXT))",
        posting = id("01900000"),
        lot = id("01900001"),
        event = id("01900002"),
        fingerprint = bytes(fingerprint),
        response = bytes(response),
        payload = bytes(payload),
    )
}

/// An identifier as long as a UUID, another one for each transaction.
fn id(prefix: &str) -> String {
    format!("('{prefix}-' || lpad(CAST(:id AS TEXT), 27, '0'))")
}

/// So many bytes as text for a BYTEA: each letter is one.
fn bytes(count: i64) -> String {
    "x".repeat(usize::try_from(count).expect("sizes are not negative"))
}
