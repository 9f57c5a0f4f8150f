//! Random requests. One arm of [`Generator::request`] for each operation.

use api::loyalty::v1 as pb;
use api::r#type::v1::Money;
use pb::TransactionKind::{Capture, Earn, Redeem};
use pb::reverse_transaction_request::Extent;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngCore as _};

use crate::answers::stamp;
use crate::operations::{Request, Response};
use crate::service::{CLUB, CLUB_CURRENCIES};

/// An id that nothing has.
const NOBODY: &str = "01900000-0000-7000-8000-000000000000";
/// A currency that no program has.
const UNKNOWN_CURRENCY: &str = "GOLD";
/// How often each operation comes, out of the sum of all.
const WEIGHTS: [(Operation, u32); 15] = [
    (Operation::Enroll, 5),
    (Operation::Earn, 20),
    (Operation::Redeem, 12),
    (Operation::Adjust, 8),
    (Operation::Transfer, 8),
    (Operation::Extend, 6),
    (Operation::Reverse, 14),
    (Operation::Authorize, 10),
    (Operation::Capture, 8),
    (Operation::Void, 4),
    (Operation::Balance, 8),
    (Operation::Lots, 3),
    (Operation::Transactions, 3),
    (Operation::Hold, 3),
    (Operation::Holds, 2),
];

#[derive(Debug, Clone, Copy)]
enum Operation {
    Enroll,
    Earn,
    Redeem,
    Adjust,
    Transfer,
    Extend,
    Reverse,
    Authorize,
    Capture,
    Void,
    Balance,
    Lots,
    Transactions,
    Hold,
    Holds,
}

/// What callers have seen so far, to come back to.
#[derive(Debug, Default)]
pub struct Seen {
    lots: Vec<Place>,
    holds: Vec<Place>,
    postings: Vec<Place>,
    sources: Vec<String>,
}

/// Something in a member's ledger: program, customer, id.
type Place = (String, String, String);

/// Makes one caller's requests.
pub struct Generator {
    pub rng: StdRng,
    pub customers: Vec<String>,
    /// The length of time that matters, in microseconds: what expires does so after some of these.
    pub unit: i64,
}

/// A list of the club names its currency.
fn listed(program_id: &str, code: String) -> String {
    if program_id == CLUB && code.is_empty() {
        CLUB_CURRENCIES[0].to_owned()
    } else {
        code
    }
}

impl Seen {
    /// Remembers what an answer named.
    pub fn remember(&mut self, request: &Request, response: &Response) {
        if !request.has_effect() {
            return;
        }
        let told = response.told();
        for posting in response.clone().postings() {
            let place = |id: &str| {
                let (program, customer) = (&posting.program_id, &posting.customer_id);
                (program.clone(), customer.clone(), id.to_owned())
            };
            // Of those that cannot be reversed some are enough.
            let can_be_reversed = matches!(posting.kind(), Earn | Redeem | Capture);
            if can_be_reversed || self.postings.len().is_multiple_of(5) {
                self.postings.push(place(&posting.transaction_id));
            }
            if !told.hold_id.is_empty() {
                self.holds.push(place(&told.hold_id));
            }
            let lots = posting.entries.iter().map(|entry| entry.lot_id.as_str());
            let new = lots.filter(|lot_id| told.lot_ids.iter().any(|new| new == lot_id));
            self.lots.extend(new.map(place));
        }
        if let Request::Earn(earn) = request {
            self.sources.push(earn.source_ref.clone());
        }
    }
}

impl Generator {
    /// The next request, at about this time.
    pub fn request(&mut self, seen: &Seen, now: i64) -> Request {
        let (program_id, customer_id) = self.member();
        let points_currency = self.currency(&program_id);
        let request_id = self.id();
        let reason = if self.rng.random_bool(0.2) {
            "why not"
        } else {
            ""
        }
        .to_owned();
        match self.operation() {
            Operation::Enroll => Request::Enroll(pb::EnrollMemberRequest {
                request_id,
                program_id: CLUB.to_owned(),
                customer_id,
                ..Default::default()
            }),
            Operation::Earn => {
                let occurred_at = self.sometimes(0.3, now, -5..5);
                let from = occurred_at.map_or(now, |at| at.max(now));
                let activates_at = self.sometimes(0.3, from, 0..10);
                let from = activates_at.or(occurred_at).unwrap_or(now);
                Request::Earn(pb::EarnPointsRequest {
                    request_id,
                    program_id,
                    customer_id,
                    points_currency,
                    points: self.rng.random_range(1..=150),
                    source_type: "promotion".to_owned(),
                    source_ref: self.source(seen),
                    reason,
                    expires_at: self.sometimes(0.6, from, 0..30).map(stamp),
                    occurred_at: occurred_at.map(stamp),
                    activates_at: activates_at.map(stamp),
                    dry_run: self.dry(),
                    ..Default::default()
                })
            }
            Operation::Redeem => Request::Redeem(pb::RedeemPointsRequest {
                request_id,
                program_id,
                customer_id,
                points_currency,
                points: self.rng.random_range(1..=120),
                reason,
                dry_run: self.dry(),
                ..Default::default()
            }),
            Operation::Adjust => {
                let points = self.rng.random_range(1..=60);
                let given = self.rng.random_bool(0.5);
                let expires_at = self.sometimes(0.4, now, 0..20).filter(|_| given);
                Request::Adjust(pb::AdjustPointsRequest {
                    request_id,
                    program_id,
                    customer_id,
                    points_currency,
                    points: if given { points } else { -points },
                    reason_code: "GOODWILL".to_owned(),
                    reason,
                    expires_at: expires_at.map(stamp),
                    dry_run: self.dry(),
                    ..Default::default()
                })
            }
            Operation::Transfer => {
                let others: Vec<_> = self
                    .customers
                    .iter()
                    .filter(|it| **it != customer_id)
                    .collect();
                let to = others
                    .choose(&mut self.rng)
                    .expect("there are several customers");
                Request::Transfer(pb::TransferPointsRequest {
                    request_id,
                    program_id,
                    customer_id,
                    points_currency,
                    to_customer_id: (*to).clone(),
                    points: self.rng.random_range(1..=60),
                    reason,
                    dry_run: self.dry(),
                    ..Default::default()
                })
            }
            Operation::Extend => {
                let (program_id, customer_id, lot_id) = self.of(&seen.lots);
                Request::Extend(pb::ExtendExpiryRequest {
                    request_id,
                    program_id,
                    customer_id,
                    lot_id,
                    expires_at: Some(stamp(now + self.units(1..40))),
                    reason: "for longer".to_owned(),
                    dry_run: self.dry(),
                    ..Default::default()
                })
            }
            Operation::Reverse => {
                let (program_id, customer_id, transaction_id) = self.of(&seen.postings);
                let grace = self.rng.random_bool(0.5);
                let (refund_policy, grace_days) = if grace {
                    (pb::RefundPolicy::Grace, self.rng.random_range(1..=3))
                } else {
                    (pb::RefundPolicy::Expire, 0)
                };
                Request::Reverse(pb::ReverseTransactionRequest {
                    request_id,
                    program_id,
                    customer_id,
                    transaction_id,
                    reason,
                    dry_run: self.dry(),
                    extent: self.extent(),
                    policy: self.rng.random_range(0..=3),
                    refund_policy: refund_policy.into(),
                    grace_days,
                    ..Default::default()
                })
            }
            Operation::Authorize => {
                let timeout = self.units(1..12);
                Request::Authorize(pb::AuthorizeHoldRequest {
                    request_id,
                    program_id,
                    customer_id,
                    points_currency,
                    points: self.rng.random_range(1..=60),
                    timeout: Some(prost_types::Duration {
                        seconds: timeout / 1_000_000,
                        nanos: i32::try_from(timeout % 1_000_000).expect("below a second") * 1_000,
                    }),
                    reason,
                    dry_run: self.dry(),
                    ..Default::default()
                })
            }
            Operation::Capture => {
                let (program_id, customer_id, hold_id) = self.of(&seen.holds);
                Request::Capture(pb::CaptureHoldRequest {
                    request_id,
                    program_id,
                    customer_id,
                    hold_id,
                    points: self.rng.random_range(1..=40),
                    r#final: self.rng.random_bool(0.3),
                    reason,
                    dry_run: self.dry(),
                    ..Default::default()
                })
            }
            Operation::Void => {
                let (program_id, customer_id, hold_id) = self.of(&seen.holds);
                Request::Void(pb::VoidHoldRequest {
                    request_id,
                    program_id,
                    customer_id,
                    hold_id,
                    reason,
                    dry_run: self.dry(),
                    ..Default::default()
                })
            }
            Operation::Balance => {
                // Far ahead of whatever the clock does meanwhile.
                let ahead = 3_600_000_000.max(self.unit * 60);
                let as_of = self.rng.random_bool(0.3).then(|| stamp(now + ahead));
                Request::Balance(pb::GetBalanceRequest {
                    program_id,
                    customer_id,
                    points_currency,
                    as_of,
                    ..Default::default()
                })
            }
            Operation::Lots => Request::Lots(pb::ListLotsRequest {
                points_currency: listed(&program_id, points_currency),
                program_id,
                customer_id,
                page_size: 1000,
                ..Default::default()
            }),
            Operation::Transactions => Request::Transactions(pb::ListTransactionsRequest {
                points_currency: listed(&program_id, points_currency),
                program_id,
                customer_id,
                page_size: 20,
                ..Default::default()
            }),
            Operation::Hold => {
                let (program_id, customer_id, hold_id) = self.of(&seen.holds);
                Request::Hold(pb::GetHoldRequest {
                    program_id,
                    customer_id,
                    hold_id,
                    ..Default::default()
                })
            }
            Operation::Holds => Request::Holds(pb::ListHoldsRequest {
                points_currency: listed(&program_id, points_currency),
                program_id,
                customer_id,
                page_size: 20,
                ..Default::default()
            }),
        }
    }

    fn operation(&mut self) -> Operation {
        let chosen = WEIGHTS.choose_weighted(&mut self.rng, |(_, weight)| *weight);
        chosen.expect("there are operations").0
    }

    fn member(&mut self) -> (String, String) {
        let program_id = match self.rng.random_range(0..100) {
            0 => "nowhere",
            1..35 => CLUB,
            _ => "",
        };
        let customer_id = self.customers.choose(&mut self.rng);
        (
            program_id.to_owned(),
            customer_id.expect("there are customers").clone(),
        )
    }

    /// Mostly one that the program has.
    fn currency(&mut self, program_id: &str) -> String {
        let further = CLUB_CURRENCIES[1];
        let code = match self.rng.random_range(0..100) {
            0..2 => UNKNOWN_CURRENCY,
            2..60 if program_id == CLUB => further,
            60..70 if program_id == CLUB => CLUB_CURRENCIES[0],
            60..70 if program_id.is_empty() => "PTS",
            _ => "",
        };
        code.to_owned()
    }

    /// Mostly something lately seen where it belongs; now and then somewhere else, or nothing that there is.
    fn of(&mut self, places: &[Place]) -> Place {
        let recent = &places[places.len().saturating_sub(40)..];
        let place = recent.choose(&mut self.rng).cloned();
        let (program_id, customer_id) = self.member();
        match place {
            Some((_, _, id)) if self.rng.random_bool(0.03) => (program_id, customer_id, id),
            Some(place) if self.rng.random_bool(0.97) => place,
            _ => (program_id, customer_id, NOBODY.to_owned()),
        }
    }

    fn extent(&mut self) -> Option<Extent> {
        let money = |micros| {
            Some(Money {
                currency_code: "USD".to_owned(),
                micros,
            })
        };
        match self.rng.random_range(0..3) {
            0 => None,
            1 => Some(Extent::Points(self.rng.random_range(1..=60))),
            _ => {
                let original = self.rng.random_range(1..=97);
                Some(Extent::Returned(pb::ReturnedAmount {
                    original: money(original),
                    returned: money(self.rng.random_range(0..=original)),
                }))
            }
        }
    }

    /// Nearly always a new one.
    fn source(&mut self, seen: &Seen) -> String {
        match seen.sources.choose(&mut self.rng) {
            Some(source) if self.rng.random_bool(0.08) => source.clone(),
            _ => self.id(),
        }
    }

    fn sometimes(&mut self, often: f64, from: i64, units: std::ops::Range<i64>) -> Option<i64> {
        let at = from + self.units(units);
        self.rng.random_bool(often).then_some(at)
    }

    fn units(&mut self, units: std::ops::Range<i64>) -> i64 {
        self.rng
            .random_range(units.start * self.unit..units.end * self.unit)
    }

    fn dry(&mut self) -> bool {
        self.rng.random_bool(0.1)
    }

    fn id(&mut self) -> String {
        format!("{:016x}", self.rng.next_u64())
    }
}
