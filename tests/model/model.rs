//! The ledger as its contract describes it: one thread, no database, the clock handed in.
//!
//! Written from `loyalty/v1/service.proto` and the rules it states, without a line of the service. It is slow and
//! plain on purpose. [`apply`] takes a request and an instant and gives the whole answer, or the refusal; what only
//! the service can know, its ids and revisions, comes from the answer under test as [`Told`].

mod bases;
mod batches;
mod crossing;
mod extensions;
mod forecasts;
mod holds;
mod imports;
mod ledger;
mod limits;
mod lines;
mod lot;
mod member;
mod merges;
mod passing;
mod pending;
mod periods;
mod persons;
mod points;
mod policies;
mod progress;
mod purchases;
mod reads;
mod returns;
mod statements;
mod sweeps;
mod tiers;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use api::loyalty::v1 as pb;
use tonic::Code;

use crate::answers::Refusal;
use crate::operations::{Request, Response, Told};
pub use crossing::is_nameless;
pub use limits::{Around, Counter, Limits, Usage, history_of};
pub use member::Member;
pub use periods::{GRACE, Record, earned, start_of, year_of};
pub use persons::Taken;
pub use policies::{Policies, policies_of};

/// Microseconds since 1970.
pub type Micros = i64;
pub const DAY: Micros = 24 * 3600 * 1_000_000;

/// A customer's memberships by program: one for each currency of it, the first one first. An account knows nothing of
/// the others: as far as points go, each is a member of its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Customer {
    pub members: BTreeMap<String, Vec<Member>>,
    /// The merges by which it took others in, undone or not, by program and id.
    pub merges: BTreeMap<(String, String), Taken>,
    /// The tier policies of programs, as far as they are known where its tiers are decided.
    pub policies: Policies,
}

/// A point currency of a program.
#[derive(Debug, Clone)]
pub struct Currency {
    pub code: String,
    /// How long its points can be spent; absent: for ever.
    pub validity: Option<Micros>,
}

/// The currencies of each program, the first one first.
pub type Programs = Rc<BTreeMap<String, Vec<Currency>>>;

/// Some customers at one moment of their histories.
#[derive(Debug, Clone)]
pub struct World {
    pub programs: Programs,
    pub customers: BTreeMap<String, Customer>,
    pub around: Around,
    /// The tier policies of programs, as far as they are known.
    pub policies: Policies,
}

/// One request at one instant.
struct Step<'a> {
    world: &'a mut World,
    told: &'a Told,
    now: Micros,
}

/// What the request answers at that instant and what it leaves behind. After a refusal the world is of no use: the
/// caller throws its copy away, as the service rolls back.
pub fn apply(
    world: &mut World,
    request: &Request,
    told: &Told,
    now: Micros,
) -> Result<Response, Refusal> {
    let mut step = Step { world, told, now };
    let answer = match request {
        Request::Elsewhere(request) => return apply(world, &request.asked, told, now),
        Request::Enroll(request) => step.enroll(request).map(Response::Enroll),
        Request::Earn(request) => step.earn(request).map(Response::Earn),
        Request::Redeem(request) => step.redeem(request).map(Response::Redeem),
        Request::Adjust(request) => step.adjust(request).map(Response::Adjust),
        Request::Transfer(request) => step.transfer(request).map(Response::Transfer),
        Request::Extend(request) => step.extend(request).map(Response::Extend),
        Request::Reverse(request) => step.reverse(request).map(Response::Reverse),
        Request::Authorize(request) => step.authorize(request).map(Response::Authorize),
        Request::Capture(request) => step.capture(request).map(Response::Capture),
        Request::Void(request) => step.void(request).map(Response::Void),
        Request::Activate(request) => step.activate(request).map(Response::Activate),
        Request::Cancel(request) => step.cancel(request).map(Response::Cancel),
        Request::Batch(request) => Ok(Response::Batch(step.batch(request))),
        Request::Balances(request) => step.balances(request).map(Response::Balances),
        Request::Forecast(request) => step.forecast(request).map(Response::Forecast),
        Request::Balance(request) => step.balance(request).map(Response::Balance),
        Request::Lots(request) => step.lots(request).map(Response::Lots),
        Request::Transactions(request) => step.transactions(request).map(Response::Transactions),
        Request::Statement(request) => step.statement(request).map(Response::Statement),
        Request::Tier(request) => step.tier(request).map(Response::Tier),
        Request::Progress(request) => step.progress(request).map(Response::Progress),
        Request::TierHistory(request) => step.tier_history(request).map(Response::TierHistory),
        Request::Override(request) => step.override_tier(request).map(Response::Override),
        Request::ClearOverride(request) => {
            step.clear_override(request).map(Response::ClearOverride)
        }
        Request::Import(request) => step.import(request).map(Response::Import),
        Request::Announce(request) => step.announce(request).map(Response::Announce),
        Request::MergeMembers(request) => step.merge_members(request).map(Response::MergeMembers),
        Request::UnmergeMembers(request) => step
            .unmerge_members(&request.asked)
            .map(Response::UnmergeMembers),
        Request::Merge(request) => Ok(Response::Merge(step.merge(request))),
        Request::Recalculate(request) => step.recalculate(request).map(Response::Recalculate),
        Request::Publish(request) => step.publish(request).map(Response::Publish),
        Request::Sweep(request) => Ok(Response::Sweep(step.sweep(request))),
        Request::SetLimit(request) => step.set_limit(request).map(Response::SetLimit),
        Request::EndLimit(request) => step.end_limit(request).map(Response::EndLimit),
        Request::Trace(request) => step.trace(request).map(Response::Trace),
        Request::Usage(request) => step.usage(request).map(Response::Usage),
        Request::Hold(request) => step.hold(request).map(Response::Hold),
        Request::Holds(request) => step.holds(request).map(Response::Holds),
    };
    if answer.is_ok() {
        world.settle_tiers(now);
    }
    answer
}

impl Customer {
    /// Takes new accounts in a program, where there are none, under the policy that holds.
    pub fn join(&mut self, program_id: &str, accounts: Vec<Member>) -> &[Member] {
        let is_new = !self.members.contains_key(program_id);
        let entry = self.members.entry(program_id.to_owned());
        entry.or_insert(accounts);
        if is_new {
            self.follow_policies();
        }
        let accounts = self.members.get_mut(program_id).expect("they are there");
        for account in accounts.iter_mut().filter(|_| is_new) {
            account.end_given(account.enrolled_at);
            account.tiers[0].policy_version = account.decided_by;
            account.settle_tier(account.enrolled_at);
        }
        accounts
    }

    pub fn accounts(&self) -> impl Iterator<Item = &Member> {
        self.members.values().flatten()
    }
}

impl World {
    /// New accounts of a customer in a program.
    pub fn enrolled(
        programs: &Programs,
        program_id: &str,
        customer: (&str, Micros),
    ) -> Vec<Member> {
        let (customer_id, since) = customer;
        let currencies = programs[program_id].iter().enumerate();
        let account = |(n, currency): (usize, &Currency)| Member {
            currency: currency.code.clone(),
            is_first: n == 0,
            ..Member::new(program_id, customer_id, since)
        };
        currencies.map(account).collect()
    }

    /// A currency by its place in the program; the first one where none is named.
    pub fn place(&self, program_id: &str, code: &str) -> Option<usize> {
        let currencies = self.programs.get(program_id)?;
        let mut codes = currencies.iter().map(|currency| &currency.code);
        match code {
            "" => Some(0),
            code => codes.position(|known| known == code),
        }
    }

    /// The instants at which the answer to anything may change without anybody doing anything.
    pub fn turning_points(&self) -> BTreeSet<Micros> {
        let accounts = self.customers.values().flat_map(Customer::accounts);
        accounts.flat_map(Member::turning_points).collect()
    }

    /// Decides the tiers that something was done for.
    fn settle_tiers(&mut self, now: Micros) {
        let customers = self.customers.values_mut();
        let accounts = customers.flat_map(|customer| customer.members.values_mut().flatten());
        accounts.for_each(|account| account.settle_tier(now));
    }

    /// Asserts what must hold whatever happened.
    pub fn assert_sound(&self) {
        for customer in self.customers.values() {
            customer.accounts().for_each(Member::assert_sound);
        }
    }
}

impl Step<'_> {
    fn enroll(
        &mut self,
        request: &pb::EnrollMemberRequest,
    ) -> Result<pb::EnrollMemberResponse, Refusal> {
        let program_id = self.known(&request.program_id)?;
        let customer = self.world.customers.entry(request.customer_id.clone());
        let customer = customer.or_default();
        let whose = (request.customer_id.as_str(), self.now);
        let accounts = World::enrolled(&self.world.programs, program_id, whose);
        let accounts = customer.join(program_id, accounts);
        Ok(pb::EnrollMemberResponse {
            member: Some(accounts[0].told()),
            consistency_token: String::new(),
        })
    }

    /// All accounts of a member as anybody reads them.
    fn accounts(&mut self, of: Of<'_>) -> Result<&mut Vec<Member>, Refusal> {
        let program_id = self.known(of.program_id)?;
        let customer = self.world.customers.get_mut(of.customer_id);
        let accounts = customer.and_then(|customer| customer.members.get_mut(program_id));
        accounts.ok_or_else(|| {
            Refusal::new(Code::NotFound, "MEMBER_NOT_FOUND")
                .with("program_id", program_id)
                .with("customer_id", of.customer_id)
        })
    }

    /// One of them, by its currency.
    fn find(&mut self, of: Of<'_>, code: &str) -> Result<&mut Member, Refusal> {
        let program_id = self.known(of.program_id)?;
        let place = self.world.place(program_id, code).ok_or_else(|| {
            Refusal::new(Code::NotFound, "CURRENCY_NOT_FOUND")
                .with("program_id", program_id)
                .with("points_currency", code)
        })?;
        Ok(&mut self.accounts(of)?[place])
    }

    /// The one that has something, else the first.
    fn find_with(
        &mut self,
        of: Of<'_>,
        has: impl Fn(&Member) -> bool,
    ) -> Result<&mut Member, Refusal> {
        let accounts = self.accounts(of)?;
        let place = accounts.iter().position(has).unwrap_or(0);
        Ok(&mut accounts[place])
    }

    /// The account as any decision finds it: holds of the member that have timed out are let go first.
    fn open(&mut self, of: Of<'_>, code: &str) -> Result<&mut Member, Refusal> {
        self.find_standing(of, code)?;
        self.notice(of)?;
        self.find(of, code)
    }

    /// One of them, if nobody else stands for the member.
    fn find_standing(&mut self, of: Of<'_>, code: &str) -> Result<&mut Member, Refusal> {
        self.find(of, code)?;
        self.stands(of)?;
        self.find(of, code)
    }

    fn open_with(
        &mut self,
        of: Of<'_>,
        has: impl Fn(&Member) -> bool,
    ) -> Result<&mut Member, Refusal> {
        self.stands(of)?;
        self.open_begun(of, has)
    }

    /// Also of a member for whom another one stands: what began before goes on.
    fn open_begun(
        &mut self,
        of: Of<'_>,
        has: impl Fn(&Member) -> bool,
    ) -> Result<&mut Member, Refusal> {
        self.notice(of)?;
        self.find_with(of, has)
    }

    fn notice(&mut self, of: Of<'_>) -> Result<(), Refusal> {
        let now = self.now;
        for account in self.accounts(of)? {
            account.notice(now);
            account.end_given(now);
        }
        Ok(())
    }

    /// The program, if there is one.
    fn known<'a>(&self, program_id: &'a str) -> Result<&'a str, Refusal> {
        let program_id = program(program_id);
        if self.world.programs.contains_key(program_id) {
            return Ok(program_id);
        }
        let refusal = Refusal::new(Code::NotFound, "PROGRAM_NOT_FOUND");
        Err(refusal.with("program_id", program_id))
    }

    /// When points of a known currency expire that can be spent from an instant on.
    fn expiry(&self, program_id: &str, code: &str, from: Micros) -> Option<Micros> {
        let program_id = program(program_id);
        let place = self.world.place(program_id, code)?;
        let validity = self.world.programs[program_id][place].validity;
        validity.map(|validity| from + validity)
    }
}

/// Whose accounts.
#[derive(Clone, Copy)]
struct Of<'a> {
    program_id: &'a str,
    customer_id: &'a str,
}

fn of<'a>(program_id: &'a str, customer_id: &'a str) -> Of<'a> {
    Of {
        program_id,
        customer_id,
    }
}

/// Empty means "default".
pub fn program(program_id: &str) -> &str {
    if program_id.is_empty() {
        "default"
    } else {
        program_id
    }
}
