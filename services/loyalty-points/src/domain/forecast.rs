//! Which points expire when, if none is spent before.
//!
//! Invariant: what all buckets and later expire are the points available, pending and held.

use chrono::TimeDelta;
use common::time::Timestamp;

use super::lots::Lot;

/// How far to look ahead, and in which steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    /// How far. Above zero.
    pub horizon: TimeDelta,
    /// Length of a bucket. Above zero.
    pub bucket: TimeDelta,
}

/// Points that expire together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expiring {
    /// Those left in lots.
    pub points: i64,
    /// Those held.
    pub held: i64,
}

/// Points that expire in `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Start.
    pub from: Timestamp,
    /// End.
    pub to: Timestamp,
    /// How many.
    pub expiring: Expiring,
}

/// What expires when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// Every bucket up to the horizon.
    pub buckets: Vec<Bucket>,
    /// What expires at the horizon, later or never.
    pub later: Expiring,
    /// The instant looked ahead from.
    pub as_of: Timestamp,
}

/// Sorts what lots have left into buckets. Holds that have timed out by then have let go before: see
/// [`super::holds::settle`].
pub fn forecast(lots: &[Lot], outlook: Outlook, as_of: Timestamp) -> Forecast {
    let horizon = as_of + outlook.horizon;
    let mut buckets = Vec::new();
    let mut from = as_of;
    while from < horizon {
        let to = (from + outlook.bucket).min(horizon);
        buckets.push(Bucket {
            from,
            to,
            expiring: Expiring::default(),
        });
        from = to;
    }
    let mut later = Expiring::default();
    for lot in lots {
        let expires_at = lot.expires_at.unwrap_or(Timestamp::MAX);
        let position = buckets.partition_point(|bucket| bucket.to <= expires_at);
        let expiring = match buckets.get_mut(position) {
            Some(bucket) if !lot.has_expired(as_of) => &mut bucket.expiring,
            Some(first) => {
                // What is still held of an expired lot expires as soon as it is let go.
                first.expiring.held += lot.held;
                continue;
            }
            None => &mut later,
        };
        expiring.points += lot.remaining;
        expiring.held += lot.held;
    }
    Forecast {
        buckets,
        later,
        as_of,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::balance::Balance;
    use crate::domain::plan::fixtures::{at, lot};

    fn days(horizon: i64, bucket: i64) -> Outlook {
        Outlook {
            horizon: TimeDelta::days(horizon),
            bucket: TimeDelta::days(bucket),
        }
    }

    #[test]
    fn a_lot_falls_into_the_bucket_in_which_it_expires() {
        let until = |lot_id, day| Lot {
            expires_at: Some(at(day)),
            ..lot(lot_id, 10)
        };
        let lots = [until("a", 3), until("b", 4), until("c", 11), lot("d", 10)];
        let told = forecast(&lots, days(10, 3), at(1));
        let buckets: Vec<_> = told
            .buckets
            .iter()
            .map(|bucket| (bucket.from, bucket.to, bucket.expiring.points))
            .collect();
        let expected = [
            (at(1), at(4), 10),
            (at(4), at(7), 10),
            (at(7), at(10), 0),
            (at(10), at(11), 0),
        ];
        assert_eq!(buckets, expected);
        assert_eq!(told.later.points, 20);
    }

    proptest! {
        #[test]
        fn a_forecast_and_the_balance_tell_the_same_points(
            made in prop::collection::vec((1_i64..100, 0_i64..50, 0_i64..20, 1_i64..60), 0..20),
            horizon in 1_i64..40,
            bucket in 1_i64..50,
            day in 0_i64..40,
        ) {
            let lots: Vec<_> = made
                .into_iter()
                .map(|(remaining, held, from, lasts)| Lot {
                    remaining,
                    held,
                    activates_at: Some(at(from)),
                    expires_at: (lasts < 50).then(|| at(from + lasts)),
                    ..lot("a", remaining + held)
                })
                .collect();
            let told = forecast(&lots, days(horizon, bucket), at(day));
            let balance = Balance::of(&lots, 0, at(day));
            let all = told.buckets.iter().map(|bucket| bucket.expiring).chain([told.later]);
            let (points, held) = all.fold((0, 0), |(points, held), expiring| {
                (points + expiring.points, held + expiring.held)
            });
            prop_assert_eq!((points, held), (balance.available + balance.pending, balance.held));
            prop_assert_eq!(told.buckets.first().unwrap().from, at(day));
            prop_assert_eq!(told.buckets.last().unwrap().to, at(day + horizon));
            for pair in told.buckets.windows(2) {
                prop_assert_eq!(pair[0].to, pair[1].from);
            }
        }
    }
}
