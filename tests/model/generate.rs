//! Random requests: which operation comes next, and whose. Each family of operations has a file.

mod batches;
mod holds;
mod imports;
mod limits;
mod members;
mod passing;
mod pending;
mod persons;
mod points;
mod policies;
mod purchases;
mod reads;
mod runs;
mod seen;
mod tiers;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngCore as _};

use crate::operations::Request;
use crate::service::{CLUB, CLUB_CURRENCIES};
pub use limits::is_further;
pub use purchases::Bought;
use seen::Place;
pub use seen::Seen;

/// An id that nothing has.
const NOBODY: &str = "01900000-0000-7000-8000-000000000000";
/// A currency that no program has.
const UNKNOWN_CURRENCY: &str = "GOLD";
/// The type of all sources.
const SOURCE_TYPE: &str = "promotion";
/// How often each operation comes, out of the sum of all.
const WEIGHTS: [(Operation, u32); 36] = [
    (Operation::Enroll, 5),
    (Operation::Earn, 20),
    (Operation::Redeem, 12),
    (Operation::Adjust, 8),
    (Operation::Transfer, 8),
    (Operation::Extend, 6),
    (Operation::Reverse, 14),
    (Operation::Authorize, 14),
    (Operation::Capture, 8),
    (Operation::Void, 7),
    (Operation::Activate, 9),
    (Operation::Cancel, 9),
    (Operation::Batch, 10),
    (Operation::Balance, 7),
    (Operation::Balances, 3),
    (Operation::Forecast, 2),
    (Operation::Lots, 3),
    (Operation::Transactions, 3),
    (Operation::Statement, 3),
    (Operation::Tier, 8),
    (Operation::Progress, 2),
    (Operation::TierHistory, 3),
    (Operation::Publish, 3),
    (Operation::Override, 4),
    (Operation::ClearOverride, 3),
    (Operation::SetLimit, 8),
    (Operation::EndLimit, 6),
    (Operation::Import, 8),
    (Operation::Announce, 18),
    (Operation::Sweep, 12),
    (Operation::Recalculate, 8),
    (Operation::MergeMembers, 8),
    (Operation::UnmergeMembers, 4),
    (Operation::Usage, 4),
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
    Activate,
    Cancel,
    Batch,
    Balance,
    Balances,
    Forecast,
    Lots,
    Transactions,
    Statement,
    Tier,
    Progress,
    TierHistory,
    Publish,
    Override,
    ClearOverride,
    SetLimit,
    EndLimit,
    Import,
    Announce,
    Sweep,
    Recalculate,
    MergeMembers,
    UnmergeMembers,
    Usage,
    Hold,
    Holds,
}

/// Makes one caller's requests.
pub struct Generator {
    pub rng: StdRng,
    pub customers: Vec<String>,
    /// The length of time that matters, in microseconds: what expires does so after some of these.
    pub unit: i64,
    /// Whether the clock obeys: only then is there anything that comes alone.
    pub is_here: bool,
    /// Whether sweeps are asked for; else they go on in the background.
    pub asks_for_sweeps: bool,
    /// Purchases of this caller.
    pub bought: Vec<Bought>,
}

/// Whose account, and in which currency.
#[derive(Debug, Clone)]
struct Whose {
    program_id: String,
    customer_id: String,
    points_currency: String,
}

impl Generator {
    /// The next request, at about this time.
    pub fn request(&mut self, seen: &Seen, now: i64) -> Request {
        let whose = self.whose();
        match self.operation() {
            Operation::Enroll => Request::Enroll(self.enroll(whose)),
            Operation::Earn => Request::Earn(self.earn(whose, seen, now)),
            Operation::Redeem => Request::Redeem(self.redeem(whose)),
            Operation::Adjust => Request::Adjust(self.adjust(whose, now)),
            Operation::Transfer => Request::Transfer(self.transfer(whose)),
            Operation::Extend => Request::Extend(self.extend(seen, now).into()),
            Operation::Reverse => {
                let asked = Request::Reverse(self.reverse(seen));
                self.elsewhere(asked, seen)
            }
            Operation::Authorize => Request::Authorize(self.authorize(whose)),
            Operation::Capture => {
                let asked = Request::Capture(self.capture(seen));
                self.of_held(asked)
            }
            Operation::Void => {
                let asked = Request::Void(self.void(seen));
                self.of_held(asked)
            }
            Operation::Activate => {
                let asked = Request::Activate(self.activate(seen));
                self.elsewhere(asked, seen)
            }
            Operation::Cancel => {
                let asked = Request::Cancel(self.cancel(seen));
                self.elsewhere(asked, seen)
            }
            Operation::Batch => self.several(whose, seen, now),
            Operation::Balance => Request::Balance(self.balance(whose, now)),
            Operation::Balances => Request::Balances(self.balances(whose, now)),
            Operation::Forecast => Request::Forecast(self.forecast(whose, now)),
            Operation::Lots => Request::Lots(reads::lots(whose)),
            Operation::Transactions => Request::Transactions(reads::transactions(whose)),
            Operation::Statement => Request::Statement(self.statement(whose, now)),
            Operation::Tier => Request::Tier(self.tier(whose, now)),
            Operation::Progress => Request::Progress(self.progress(whose, now)),
            Operation::TierHistory => Request::TierHistory(reads::tier_history(whose)),
            Operation::Publish => Request::Publish(self.publish(whose, now)),
            Operation::Override => Request::Override(self.override_tier(whose, now)),
            Operation::ClearOverride => Request::ClearOverride(self.clear_override(whose)),
            Operation::SetLimit => Request::SetLimit(self.set_limit(seen)),
            Operation::EndLimit => Request::EndLimit(self.end_limit(seen)),
            Operation::Import => Request::Import(self.import(&whose, seen, now)),
            Operation::Announce => Request::Announce(self.announce(&whose, now)),
            Operation::Sweep => Request::Sweep(self.sweep()),
            Operation::Recalculate => Request::Recalculate(self.recalculate(whose, now)),
            Operation::MergeMembers => Request::MergeMembers(self.merge_members(whose)),
            Operation::UnmergeMembers => Request::UnmergeMembers(self.unmerge_members(seen)),
            Operation::Usage => Request::Usage(self.usage(whose, now)),
            Operation::Hold => Request::Hold(self.hold(seen)),
            Operation::Holds => Request::Holds(reads::holds(whose)),
        }
    }

    fn operation(&mut self) -> Operation {
        let (is_here, asks_for_sweeps) = (self.is_here, self.asks_for_sweeps);
        let chosen =
            WEIGHTS.choose_weighted(&mut self.rng, |(operation, weight)| match operation {
                Operation::Publish if !is_here => 0,
                Operation::Sweep if !asks_for_sweeps => 0,
                _ => *weight,
            });
        chosen.expect("there are operations").0
    }

    fn whose(&mut self) -> Whose {
        let (program_id, customer_id) = self.member();
        let points_currency = self.currency(&program_id);
        Whose {
            program_id,
            customer_id,
            points_currency,
        }
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

    /// Another customer.
    fn other_than(&mut self, customer_id: &str) -> String {
        let others = self.customers.iter().filter(|it| *it != customer_id);
        let others: Vec<_> = others.collect();
        let other = others.choose(&mut self.rng);
        (*other.expect("there are several customers")).clone()
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
        let (program_id, mut customer_id) = self.member();
        if let Some((_, whose, _)) = &place
            && self.may_be_merged(whose)
            && !self.may_be_merged(&customer_id)
        {
            customer_id.clone_from(whose);
        }
        match place {
            Some((_, _, id)) if self.rng.random_bool(0.03) => (program_id, customer_id, id),
            Some(place) if self.rng.random_bool(0.97) => place,
            _ => (program_id, customer_id, NOBODY.to_owned()),
        }
    }

    fn reason(&mut self) -> String {
        let given = self.rng.random_bool(0.2);
        if given { "why not" } else { "" }.to_owned()
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
