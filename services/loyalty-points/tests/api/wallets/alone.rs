//! An account in one of two currencies is what it would be if there were no other.
//!
//! `both` does random things in two currencies, `c1` and `c2` the same ones in one currency each. Whatever is asked of
//! `both` must be answered as it is answered to the one of them who has that currency alone.

use std::collections::HashMap;

use api::loyalty::v1 as pb;
use chrono::TimeDelta;
use pb::reverse_transaction_request::Extent;
use rstest::rstest;
use testkit::Backend;
use tonic::{Response, Status};

use super::travel::{COINS, MILES, TRAVEL, Travel};
use crate::audit::{seal, success};
use crate::walk::Dice;

const STEPS: usize = 120;

/// What is done in one currency. Numbers that name something count what was made so far in it, round and round.
#[derive(Debug, Clone)]
enum Step {
    Earn {
        points: i64,
        days: i64,
    },
    Redeem {
        points: i64,
    },
    Adjust {
        points: i64,
    },
    Hold {
        points: i64,
        hours: i64,
    },
    Capture {
        nth: usize,
        points: i64,
        is_final: bool,
    },
    Void {
        nth: usize,
    },
    Reverse {
        nth: usize,
        points: i64,
    },
}

impl Step {
    fn roll(dice: &mut Dice) -> Self {
        let points = i64::try_from(dice.roll(60)).unwrap() + 1;
        let nth = usize::try_from(dice.roll(100)).unwrap();
        let time = i64::try_from(dice.roll(30)).unwrap() + 1;
        match dice.roll(10) {
            0..3 => Self::Earn { points, days: time },
            3 => Self::Redeem { points },
            4 => Self::Adjust {
                points: points - 40,
            },
            5 => Self::Hold {
                points,
                hours: time,
            },
            6 => Self::Capture {
                nth,
                points,
                is_final: dice.roll(2) == 0,
            },
            7 => Self::Void { nth },
            _ => Self::Reverse { nth, points },
        }
    }
}

/// What was made so far, by customer and currency: ids of postings and holds.
#[derive(Default)]
struct Made {
    postings: Vec<String>,
    holds: Vec<String>,
}

type Whose = (&'static str, &'static str);

struct Walk {
    travel: Travel,
    made: HashMap<Whose, Made>,
    steps: usize,
}

/// What can be compared of an answer: points moved and the balance, or why it is refused.
type Told = Result<(i64, pb::Balance), (String, String)>;

impl Walk {
    async fn take(&mut self, (customer_id, currency): Whose, step: &Step) -> Told {
        let made = self.made.entry((customer_id, currency)).or_default();
        let of = |ids: &Vec<String>, nth: usize| match ids.len() {
            0 => "none".to_owned(),
            count => ids[nth % count].clone(),
        };
        let (program_id, whose) = (TRAVEL.to_owned(), customer_id.to_owned());
        let points_currency = currency.to_owned();
        let client = &mut self.travel.shop.client;
        let now = self.travel.shop.server.platform.now();
        let (posting, balance) = match *step {
            Step::Earn { points, days } => {
                let earn = pb::EarnPointsRequest {
                    expires_at: Some((now + TimeDelta::days(days)).into()),
                    source_ref: format!("{customer_id} {}", self.steps),
                    source_type: "promotion".to_owned(),
                    program_id,
                    customer_id: whose,
                    points,
                    points_currency,
                    ..Default::default()
                };
                let answer = told(client.earn_points(earn).await)?;
                (answer.transaction, answer.balance)
            }
            Step::Redeem { points } => {
                let redeem = pb::RedeemPointsRequest {
                    program_id,
                    customer_id: whose,
                    points,
                    points_currency,
                    ..Default::default()
                };
                let answer = told(client.redeem_points(redeem).await)?;
                (answer.transaction, answer.balance)
            }
            Step::Adjust { points } => {
                let adjust = pb::AdjustPointsRequest {
                    program_id,
                    customer_id: whose,
                    points,
                    reason_code: "GOODWILL".to_owned(),
                    points_currency,
                    ..Default::default()
                };
                let answer = told(client.adjust_points(adjust).await)?;
                (answer.transaction, answer.balance)
            }
            Step::Hold { points, hours } => {
                let hold = pb::AuthorizeHoldRequest {
                    program_id,
                    customer_id: whose,
                    points,
                    points_currency,
                    timeout: Some(prost_types::Duration {
                        seconds: hours * 3600,
                        nanos: 0,
                    }),
                    ..Default::default()
                };
                let answer = told(client.authorize_hold(hold).await)?;
                made.holds.push(answer.hold.unwrap().hold_id);
                (answer.transaction, answer.balance)
            }
            Step::Capture {
                nth,
                points,
                is_final,
            } => {
                let capture = pb::CaptureHoldRequest {
                    program_id,
                    customer_id: whose,
                    hold_id: of(&made.holds, nth),
                    points,
                    r#final: is_final,
                    ..Default::default()
                };
                let answer = told(client.capture_hold(capture).await)?;
                (answer.transaction, answer.balance)
            }
            Step::Void { nth } => {
                let void = pb::VoidHoldRequest {
                    program_id,
                    customer_id: whose,
                    hold_id: of(&made.holds, nth),
                    ..Default::default()
                };
                let answer = told(client.void_hold(void).await)?;
                (answer.transaction, answer.balance)
            }
            Step::Reverse { nth, points } => {
                let reverse = pb::ReverseTransactionRequest {
                    program_id,
                    customer_id: whose,
                    transaction_id: of(&made.postings, nth),
                    extent: Some(Extent::Points(points)),
                    ..Default::default()
                };
                let answer = told(client.reverse_transaction(reverse).await)?;
                (answer.transaction, answer.balance)
            }
        };
        let posting = posting.unwrap();
        assert_eq!(posting.points_currency, currency);
        made.postings.push(posting.transaction_id);
        Ok((posting.points, balance.unwrap()))
    }

    /// The lots of a member in one currency, without what makes them this member's.
    async fn lots(&mut self, (customer_id, currency): Whose) -> Vec<pb::Lot> {
        let lots = self.travel.lots(customer_id, currency).await;
        let anybodys = |lot: pb::Lot| pb::Lot {
            lot_id: String::new(),
            transaction_id: String::new(),
            customer_id: String::new(),
            ..lot
        };
        lots.into_iter().map(anybodys).collect()
    }
}

fn told<T>(answer: Result<Response<T>, Status>) -> Result<T, (String, String)> {
    answer.map(Response::into_inner).map_err(|status| {
        let info = common::error::ErrorInfo::of(&status);
        let amounts = ["available", "reversible", "held"];
        let amount = amounts.iter().find_map(|name| info.metadata.get(*name));
        (info.reason, amount.cloned().unwrap_or_default())
    })
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn each_of_two_wallets_is_what_it_would_be_alone(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(1, 2)] seed: u64,
) {
    let mut travel = Travel::open(backend).await;
    travel.enroll("both").await;
    let mut walk = Walk {
        travel,
        made: HashMap::new(),
        steps: 0,
    };
    let mut dice = Dice::new(seed);
    let mut reasons = std::collections::BTreeSet::new();
    for number in 0..STEPS {
        walk.steps = number;
        // Never the same instant: lots that are alike in all but their random ids would be spent in any order.
        let hours = i64::try_from(dice.roll(16)).unwrap() + 1;
        walk.travel
            .shop
            .server
            .clock
            .advance(TimeDelta::hours(hours));
        let (alone, currency) = match dice.roll(2) {
            0 => ("c1", COINS),
            _ => ("c2", MILES),
        };
        let step = Step::roll(&mut dice);
        let expected = walk.take((alone, currency), &step).await;
        let told = walk.take(("both", currency), &step).await;
        assert_eq!(
            told, expected,
            "seed {seed}, step {number} in {currency}: {step:?}"
        );
        if let Err((reason, _)) = told {
            reasons.insert(reason);
        }
    }
    for (alone, currency, place) in [("c1", COINS, 0), ("c2", MILES, 1)] {
        let expected = walk.travel.balances_of(alone).await.swap_remove(place);
        let told = walk.travel.balances_of("both").await.swap_remove(place);
        assert_eq!(told, expected, "seed {seed}");
        let expected = walk.lots((alone, currency)).await;
        let told = walk.lots(("both", currency)).await;
        let sorted = |mut lots: Vec<pb::Lot>| {
            lots.sort_by_key(|lot| format!("{lot:?}"));
            lots
        };
        assert_eq!(sorted(told), sorted(expected), "seed {seed}");
    }
    // A walk that meets none of these proves nothing about them.
    assert!(reasons.contains("INSUFFICIENT_POINTS"), "{reasons:?}");
    assert!(reasons.len() > 2, "{reasons:?}");
    seal(&walk.travel.shop).await;
    success(&walk.travel.shop).await;
}
