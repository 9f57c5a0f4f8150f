//! How many customers have how many stars, and what share of the spend is theirs.

use common::db::Access;
use common::time::Timestamp;

use crate::domain::day::Day;
use crate::error::Error;
use crate::features::span;
use crate::frozen::FrozenCache;
use crate::ratings::Moment;
use crate::store;
use crate::store::distribution::{self as rows, StarRow};

const SHARE_TOTAL: i128 = 10_000;

/// The customers of one star and their share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub row: StarRow,
    pub share_basis_points: i64,
}

/// Customers by star, five stars first.
pub(crate) struct Distribution {
    pub buckets: Vec<Bucket>,
    pub unrated_customers: i64,
}

/// Counts the stars and the spend as of a moment.
pub(crate) async fn get(
    db: &mut impl Access,
    cache: &FrozenCache,
    moment: Moment,
    window_days: i64,
    now: Timestamp,
) -> Result<Distribution, Error> {
    cache.get_current(db).await?;
    let rows = match moment {
        Moment::Stored => rows::list_now(db, span(Day::of(now), window_days)).await?,
        Moment::AsOf(as_of) => rows::list_at(db, span(Day::of(as_of), window_days), as_of).await?,
    };
    let rated: i64 = rows.iter().map(|row| row.customers).sum();
    let unrated_customers = store::count_customers(db).await? - rated;
    Ok(Distribution {
        buckets: buckets(&rows),
        unrated_customers,
    })
}

/// Adds the stars that nobody has, and shares that sum to the whole.
fn buckets(rows: &[StarRow]) -> Vec<Bucket> {
    let total: i128 = rows.iter().map(|row| i128::from(row.spend_micros)).sum();
    let (mut spent, mut shared) = (0_i128, 0_i128);
    (1..=5)
        .rev()
        .map(|stars| {
            let found = rows.iter().find(|row| row.stars == stars).copied();
            let row = found.unwrap_or(StarRow {
                stars,
                customers: 0,
                spend_micros: 0,
            });
            spent += i128::from(row.spend_micros);
            // Running totals, rounded, so that the shares add up.
            let up_to = if total == 0 {
                0
            } else {
                (spent * SHARE_TOTAL + total / 2) / total
            };
            let share = up_to - shared;
            shared = up_to;
            Bucket {
                row,
                share_basis_points: i64::try_from(share).expect("at most 10,000"),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_stars_without_customers_are_listed() {
        let row = |stars| StarRow {
            stars,
            customers: 1,
            spend_micros: 1,
        };
        let buckets = buckets(&[row(1), row(3), row(4)]);
        let stars: Vec<_> = buckets.iter().map(|bucket| bucket.row.stars).collect();
        assert_eq!(stars, [5, 4, 3, 2, 1]);
        let shares: Vec<_> = buckets
            .iter()
            .map(|bucket| bucket.share_basis_points)
            .collect();
        assert_eq!(shares, [0, 3_333, 3_334, 0, 3_333]);
    }

    #[test]
    fn where_nobody_spent_nobody_has_a_share() {
        let shares = buckets(&[StarRow {
            stars: 1,
            customers: 2,
            spend_micros: 0,
        }]);
        assert!(shares.iter().all(|bucket| bucket.share_basis_points == 0));
    }
}
