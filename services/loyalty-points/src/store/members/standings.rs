//! What a member's tier is decided on.

use common::db::{Access, Sql, Tx, json_rows};
use common::ids::CustomerId;
use common::time::Timestamp;
use common::{all, on};
use serde::{Deserialize, Serialize};

use super::Member;
use super::customers::ids;
use crate::domain::currency::Wallet;
use crate::domain::plan::Holding;
use crate::domain::tiers::Qualification;
use crate::store::absorbed;
use crate::store::accounts::AccountKey;
use crate::store::tier_overrides::OpenColumns;

/// A membership with what its tier is decided on. Where something is posted, also with the account that it is posted
/// to: see [`crate::work::Work::standing`].
#[derive(Debug, Clone, sqlx::FromRow, Deserialize)]
pub struct Standing {
    /// The membership.
    #[sqlx(flatten)]
    pub member: Member,
    /// The tier as stored.
    pub tier: String,
    /// Since when.
    pub tier_since: Timestamp,
    /// The points it was decided on.
    pub tier_points: i64,
    /// Until when that stands.
    pub tier_valid_until: Option<Timestamp>,
    /// The version of the policy it was decided under.
    pub tier_policy: i64,
    /// The tier earned then.
    pub earned_tier: Option<String>,
    /// The version that holds at the instant it was read for.
    pub policy_version: i64,
    /// The latest change of the program's limits; 0: it has none.
    pub limits_version: i64,
    /// The tier given by hand, if any.
    #[sqlx(flatten)]
    pub tier_override: OpenColumns,
    /// Whether it stands for other members too.
    #[sqlx(default)]
    pub absorbs: bool,
    qualified: i64,
    oldest: Option<Timestamp>,
    upcoming: Option<Timestamp>,
    #[sqlx(skip)]
    #[serde(skip)]
    account: (Wallet, Holding),
}

impl Standing {
    /// The account that is posted to.
    pub fn key(&self) -> AccountKey<'_> {
        AccountKey {
            customer_id: &self.member.customer_id,
            program_id: &self.member.program_id,
            wallet: &self.account.0,
        }
    }

    /// Its currency.
    pub fn wallet(&self) -> &Wallet {
        &self.account.0
    }

    /// What the member has in it.
    pub fn holding(&self) -> Holding {
        self.account.1
    }

    /// Turns to an account, or notes what is in it after a change.
    pub fn turn_to(&mut self, wallet: Wallet, holding: Holding) {
        self.account = (wallet, holding);
    }

    /// Whether the same tier is stored, for the same reasons.
    pub fn is_in_same_tier(&self, other: &Self) -> bool {
        let stored = |of: &Self| {
            let times = (of.tier_since, of.tier_valid_until);
            (times, of.tier_points, of.tier_policy)
        };
        stored(self) == stored(other)
            && (&self.tier, &self.earned_tier) == (&other.tier, &other.earned_tier)
    }

    /// What counts for the tier at the instant it was read for, by a policy that the database can add up for.
    pub fn qualification(&self) -> Qualification {
        Qualification {
            points: self.qualified,
            oldest: self.oldest,
            upcoming: self.upcoming,
        }
    }

    /// Notes what counts for the tier after a change.
    pub fn qualifies_by(&mut self, qualification: Qualification) {
        self.qualified = qualification.points;
        self.oldest = qualification.oldest;
        self.upcoming = qualification.upcoming;
    }
}

/// The standings of the customers in the list $1, which the databases take apart each in its way.
macro_rules! select_standings {
    ($customers:literal, $lots:literal) => {
        concat!(
            "
            SELECT m.customer_id, m.program_id, m.state, m.enrolled_at, m.merged_into, m.survivor,
                   EXISTS (
                       SELECT 1 FROM members f
                       WHERE f.program_id = m.program_id AND f.survivor = m.customer_id
                   ) AS absorbs,
                   m.tier, m.tier_since,
                   m.tier_points, m.tier_valid_until, m.tier_policy, m.earned_tier,
                   v.version AS policy_version,
                   (SELECT limits_version FROM programs r WHERE r.program_id = m.program_id) AS limits_version,
                   o.revision AS override_revision, o.tier AS override_tier, o.actor AS override_actor,
                   o.reason AS override_reason, o.created_at AS override_created_at,
                   o.expires_at AS override_expires_at,
                   CAST(COALESCE(SUM(l.qualifying) FILTER (WHERE l.earned_at <= $2), 0) AS BIGINT) AS qualified,
                   MIN(l.earned_at) FILTER (WHERE l.earned_at <= $2) AS oldest,
                   MIN(l.earned_at) FILTER (WHERE l.earned_at > $2) AS upcoming
            FROM members m
            JOIN tier_policies v
                ON v.program_id = m.program_id
                AND v.version = (
                    SELECT COALESCE(MAX(p.version), 1)
                    FROM tier_policies p
                    WHERE p.program_id = m.program_id AND p.effective_at <= $2
                )
            LEFT JOIN ",
            $lots,
            "
            LEFT JOIN tier_overrides o
                ON o.customer_id = m.customer_id
                AND o.program_id = m.program_id
                AND o.ended_at IS NULL
            WHERE m.customer_id IN (",
            $customers,
            ")
                AND ($3 = '' OR m.program_id = $3)
            GROUP BY m.customer_id, m.program_id, v.version, o.customer_id, o.revision
            ORDER BY m.customer_id, m.program_id"
        )
    };
}

/// Customers' memberships in all programs or in one (`program_id` not empty), by customer and program.
pub async fn list_standings(
    db: &mut impl Access,
    customer_ids: &[&CustomerId],
    program_id: &str,
    as_of: Timestamp,
) -> Result<Vec<Standing>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: select_standings!(
            "SELECT json_array_elements_text(CAST($1 AS json))",
            "LATERAL (
                SELECT qualifying, earned_at
                FROM lots
                WHERE lots.customer_id = m.customer_id
                    AND lots.program_id = m.program_id
                    AND lots.earned_at > $2 - v.window_micros
                    AND lots.qualifying > 0
                OFFSET 0
            ) l ON TRUE"
        ),
        // The fields of a standing by their places.
        sqlite: concat!(
            "
            SELECT json_group_array(
                       json_array(
                           json_array(customer_id, program_id, state, enrolled_at, merged_into, survivor),
                           tier, tier_since, tier_points, tier_valid_until, tier_policy, earned_tier,
                           policy_version, limits_version,
                           json_array(override_revision, override_tier, override_actor, override_reason,
                                      override_created_at, override_expires_at),
                           json(iif(absorbs, 'true', 'false')), qualified, oldest, upcoming)
                       ORDER BY customer_id, program_id)
            FROM (",
            select_standings!(
                "SELECT value FROM json_each($1)",
                "lots l
                    ON l.customer_id = m.customer_id
                    AND l.program_id = m.program_id
                    AND l.earned_at > $2 - v.window_micros
                    AND l.qualifying > 0"
            ),
            ")"
        ),
    };
    let mut standings = all!(db, SELECT, Standing, ids(customer_ids), as_of, program_id)?;
    absorbed::count(db, &mut standings, as_of).await?;
    Ok(standings)
}

/// Which members of a program.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The program.
    pub program_id: &'a str,
    /// Those after this customer.
    pub after: &'a str,
    /// At most so many.
    pub limit: i64,
}

/// Active members who stand for themselves, by customer.
pub async fn list_batch(
    db: &mut impl Access,
    batch: Batch<'_>,
    as_of: Timestamp,
) -> Result<Vec<Standing>, common::Error> {
    const SELECT: &str = "
        SELECT customer_id
        FROM members
        WHERE program_id = $1
            AND customer_id > $2
            AND state = 'active'
            AND survivor IS NULL
        ORDER BY customer_id
        LIMIT $3";
    let found = on!(db, |conn| sqlx::query_scalar::<_, CustomerId>(SELECT)
        .bind(batch.program_id)
        .bind(batch.after)
        .bind(batch.limit)
        .fetch_all(conn)
        .await)?;
    let found: Vec<_> = found.iter().collect();
    list_standings(db, &found, batch.program_id, as_of).await
}

/// Writes members' tiers.
pub async fn update(tx: &mut Tx, standings: &[&Standing]) -> Result<(), common::Error> {
    const UPDATE: Sql = Sql {
        postgres: "
            UPDATE members AS m
            SET tier = new.tier,
                tier_since = new.tier_since,
                tier_points = new.tier_points,
                tier_valid_until = new.tier_valid_until,
                tier_policy = new.tier_policy,
                earned_tier = new.earned_tier
            FROM json_to_recordset(CAST($1 AS json))
                AS new (customer_id TEXT, program_id TEXT, tier TEXT, tier_since BIGINT,
                        tier_points BIGINT, tier_valid_until BIGINT, tier_policy BIGINT,
                        earned_tier TEXT)
            WHERE m.customer_id = new.customer_id AND m.program_id = new.program_id",
        sqlite: "
            UPDATE members AS m
            SET tier = new.value ->> 2,
                tier_since = new.value ->> 3,
                tier_points = new.value ->> 4,
                tier_valid_until = new.value ->> 5,
                tier_policy = new.value ->> 6,
                earned_tier = new.value ->> 7
            FROM jsonb_each($1) AS new
            WHERE m.customer_id = new.value ->> 0 AND m.program_id = new.value ->> 1",
    };
    #[derive(Serialize)]
    struct Row<'a> {
        customer_id: &'a str,
        program_id: &'a str,
        tier: &'a str,
        tier_since: i64,
        tier_points: i64,
        tier_valid_until: Option<i64>,
        tier_policy: i64,
        earned_tier: Option<&'a str>,
    }
    let rows: Vec<_> = standings
        .iter()
        .map(|standing| Row {
            customer_id: standing.member.customer_id.as_str(),
            program_id: &standing.member.program_id,
            tier: &standing.tier,
            tier_since: standing.tier_since.micros(),
            tier_points: standing.tier_points,
            tier_valid_until: standing.tier_valid_until.map(Timestamp::micros),
            tier_policy: standing.tier_policy,
            earned_tier: standing.earned_tier.as_deref(),
        })
        .collect();
    let text = UPDATE.text(tx.dialect());
    let rows = json_rows(tx.dialect(), &rows);
    Ok(on!(tx, |conn| sqlx::query(text)
        .bind(rows)
        .execute(conn)
        .await
        .map(drop))?)
}
