//! A random walk through everything that can be done to points, the same for every shop with the same seed.

use api::loyalty::v1 as pb;
use api::r#type::v1::Money;
use chrono::TimeDelta;
use common::time::Timestamp;
use tonic::Status;

use crate::shop::{Purchase, Shop};

/// The members who take part.
pub const CUSTOMERS: [&str; 3] = ["c0", "c1", "c2"];

/// What is done in one step. Numbers that name something count what was made so far, round and round.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    Advance {
        hours: i64,
    },
    Buy {
        dollars: i64,
        days_ago: i64,
    },
    Void {
        nth: usize,
    },
    Earn {
        points: i64,
        pending_days: i64,
        valid_days: i64,
    },
    Redeem {
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
    VoidHold {
        nth: usize,
    },
    Reverse {
        nth: usize,
        share: i64,
        policy: i32,
    },
    Refund {
        nth: usize,
        share: i64,
        grace_days: i32,
    },
    Adjust {
        points: i64,
    },
    Transfer {
        to: usize,
        points: i64,
    },
    Extend {
        nth: usize,
        days: i64,
    },
}

/// Numbers from a seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn up_to(&mut self, most: u64) -> i64 {
        i64::try_from(self.roll(most)).unwrap() + 1
    }

    fn nth(&mut self) -> usize {
        usize::try_from(self.roll(1000)).unwrap()
    }

    /// Whose turn it is, and what is done.
    pub fn step(&mut self) -> (usize, Step) {
        let who = self.nth() % CUSTOMERS.len();
        let step = match self.roll(16) {
            0 | 1 => Step::Advance {
                hours: self.up_to(80),
            },
            2 => Step::Buy {
                dollars: self.up_to(120),
                days_ago: self.up_to(20),
            },
            3 => Step::Void { nth: self.nth() },
            4 | 5 => Step::Earn {
                points: self.up_to(100),
                pending_days: self.up_to(6) - 4,
                valid_days: self.up_to(12),
            },
            6 | 7 => Step::Redeem {
                points: self.up_to(60),
            },
            8 | 9 => Step::Hold {
                points: self.up_to(60),
                hours: self.up_to(150),
            },
            10 => Step::Capture {
                nth: self.nth(),
                points: self.up_to(30),
                is_final: self.roll(2) == 0,
            },
            11 => Step::VoidHold { nth: self.nth() },
            12 => Step::Reverse {
                nth: self.nth(),
                share: self.up_to(4),
                policy: i32::try_from(self.roll(4)).unwrap(),
            },
            13 => Step::Refund {
                nth: self.nth(),
                share: self.up_to(4),
                grace_days: i32::try_from(self.roll(5)).unwrap(),
            },
            14 => match self.roll(2) {
                0 => Step::Adjust {
                    points: self.up_to(80) - 40,
                },
                _ => Step::Transfer {
                    to: self.nth() % CUSTOMERS.len(),
                    points: self.up_to(40),
                },
            },
            _ => Step::Extend {
                nth: self.nth(),
                days: self.up_to(10),
            },
        };
        (who, step)
    }
}

/// A shop on its way.
pub struct Walk {
    pub shop: Shop,
    bought: Vec<(usize, String, i64)>,
    earned: Vec<(usize, String)>,
    spent: Vec<(usize, String)>,
    holds: Vec<(usize, String)>,
}

impl Walk {
    pub async fn begin(shop: Shop) -> Self {
        for customer in CUSTOMERS {
            shop.created(customer).await;
        }
        shop.caught_up().await;
        Self {
            shop,
            bought: Vec::new(),
            earned: Vec::new(),
            spent: Vec::new(),
            holds: Vec::new(),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.shop.server.platform.now()
    }

    /// Takes a step; returns why it was refused.
    pub async fn take(&mut self, (who, step): (usize, Step)) -> Option<String> {
        // No two steps are at one instant: which lot comes first is the same in every shop.
        let moment = TimeDelta::milliseconds(1);
        self.shop.server.clock.advance(moment);
        let refused = self.try_take(who, step).await.err()?;
        assert_ne!(refused.code(), tonic::Code::Internal, "{step:?}: {refused}");
        // Ids differ from shop to shop.
        let words = refused.message().split(' ').filter(|word| word.len() != 36);
        Some(words.collect::<Vec<_>>().join(" "))
    }

    async fn try_take(&mut self, who: usize, step: Step) -> Result<(), Status> {
        let customer_id = CUSTOMERS[who].to_owned();
        let now = self.now();
        let stamp = |at: Timestamp| Some(prost_types::Timestamp::from(at));
        match step {
            Step::Advance { hours } => self.shop.server.clock.advance(TimeDelta::hours(hours)),
            Step::Buy { dollars, days_ago } => {
                let id = format!("t{}", self.bought.len());
                let at = (now - TimeDelta::days(days_ago)).to_chrono().to_rfc3339();
                let purchase = Purchase::dollars(&id, &at, dollars);
                self.shop.bought(&customer_id, purchase).await;
                self.shop.caught_up().await;
                self.bought.push((who, id, dollars));
            }
            Step::Void { nth } => {
                let Some((who, id, dollars)) = pick(&self.bought, nth) else {
                    return Ok(());
                };
                let purchase = Purchase::dollars(&id, crate::shop::NOW, dollars);
                self.shop.voided(CUSTOMERS[who], purchase).await;
                self.shop.caught_up().await;
            }
            Step::Earn {
                points,
                pending_days,
                valid_days,
            } => {
                let source = format!("s{}", self.earned.len());
                let activates_at = now + TimeDelta::days(pending_days.max(0));
                let request = pb::EarnPointsRequest {
                    activates_at: stamp(activates_at),
                    expires_at: stamp(activates_at + TimeDelta::days(valid_days)),
                    ..crate::shop::earn(&customer_id, points, &source)
                };
                let earned = self.shop.try_earn(request).await?;
                self.earned
                    .push((who, earned.transaction.unwrap().transaction_id));
            }
            Step::Redeem { points } => {
                let redeemed = self.shop.redeem(&customer_id, points).await?;
                self.spent
                    .push((who, redeemed.transaction.unwrap().transaction_id));
            }
            Step::Hold { points, hours } => {
                let request = pb::AuthorizeHoldRequest {
                    customer_id,
                    points,
                    timeout: Some(prost_types::Duration {
                        seconds: hours * 3600,
                        nanos: 0,
                    }),
                    ..Default::default()
                };
                let held = self.shop.client.authorize_hold(request).await?.into_inner();
                self.holds.push((who, held.hold.unwrap().hold_id));
            }
            Step::Capture {
                nth,
                points,
                is_final,
            } => {
                let Some((who, hold_id)) = pick(&self.holds, nth) else {
                    return Ok(());
                };
                let request = pb::CaptureHoldRequest {
                    customer_id: CUSTOMERS[who].to_owned(),
                    hold_id,
                    points,
                    r#final: is_final,
                    ..Default::default()
                };
                let captured = self.shop.client.capture_hold(request).await?.into_inner();
                self.spent
                    .push((who, captured.transaction.unwrap().transaction_id));
            }
            Step::VoidHold { nth } => {
                let Some((who, hold_id)) = pick(&self.holds, nth) else {
                    return Ok(());
                };
                let request = pb::VoidHoldRequest {
                    customer_id: CUSTOMERS[who].to_owned(),
                    hold_id,
                    ..Default::default()
                };
                self.shop.client.void_hold(request).await?;
            }
            Step::Reverse { nth, share, policy } => {
                let Some((who, transaction_id)) = pick(&self.earned, nth) else {
                    return Ok(());
                };
                let request = pb::ReverseTransactionRequest {
                    customer_id: CUSTOMERS[who].to_owned(),
                    transaction_id,
                    reason: "returned".to_owned(),
                    extent: Some(returned(share)),
                    policy,
                    ..Default::default()
                };
                self.shop.client.reverse_transaction(request).await?;
            }
            Step::Refund {
                nth,
                share,
                grace_days,
            } => {
                let Some((who, transaction_id)) = pick(&self.spent, nth) else {
                    return Ok(());
                };
                let policy = match grace_days {
                    0 => pb::RefundPolicy::Expire,
                    _ => pb::RefundPolicy::Grace,
                };
                let request = pb::ReverseTransactionRequest {
                    customer_id: CUSTOMERS[who].to_owned(),
                    transaction_id,
                    reason: "returned".to_owned(),
                    extent: Some(returned(share)),
                    refund_policy: policy.into(),
                    grace_days,
                    ..Default::default()
                };
                self.shop.client.reverse_transaction(request).await?;
            }
            Step::Adjust { points } => {
                let request = pb::AdjustPointsRequest {
                    customer_id,
                    points,
                    reason_code: "GOODWILL".to_owned(),
                    expires_at: (points > 0).then(|| (now + TimeDelta::days(6)).into()),
                    ..Default::default()
                };
                self.shop.client.adjust_points(request).await?;
            }
            Step::Transfer { to, points } => {
                let request = pb::TransferPointsRequest {
                    customer_id,
                    to_customer_id: CUSTOMERS[to].to_owned(),
                    points,
                    ..Default::default()
                };
                self.shop.client.transfer_points(request).await?;
            }
            Step::Extend { nth, days } => {
                let lots = self.shop.lots(&customer_id).await;
                let left: Vec<_> = lots
                    .iter()
                    .filter(|lot| lot.remaining > 0 && lot.state() != pb::LotState::Expired)
                    .collect();
                let Some(lot) = left.get(nth % left.len().max(1)) else {
                    return Ok(());
                };
                let request = pb::ExtendExpiryRequest {
                    customer_id,
                    lot_id: lot.lot_id.clone(),
                    expires_at: stamp(now + TimeDelta::days(days)),
                    reason: "a strike at the post".to_owned(),
                    ..Default::default()
                };
                self.shop.client.extend_expiry(request).await?;
            }
        }
        Ok(())
    }
}

fn pick<T: Clone>(made: &[T], nth: usize) -> Option<T> {
    made.get(nth % made.len().max(1)).cloned()
}

/// So many quarters; more than a whole is one.
fn returned(share: i64) -> pb::reverse_transaction_request::Extent {
    let dollars = |dollars: i64| {
        Some(Money {
            currency_code: "USD".to_owned(),
            micros: dollars * 1_000_000,
        })
    };
    pb::reverse_transaction_request::Extent::Returned(pb::ReturnedAmount {
        original: dollars(4),
        returned: dollars(share),
    })
}
