//! The ledger as its contract describes it: one thread, no database, the clock handed in.
//!
//! Written from `loyalty/v1/service.proto` and the rules it states, without a line of the service. It is slow and
//! plain on purpose. [`apply`] takes a request and an instant and gives the whole answer, or the refusal; what only
//! the service can know, its ids and revisions, comes from the answer under test as [`Told`].

mod holds;
mod member;
mod points;
mod reads;
mod returns;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use api::loyalty::v1 as pb;
use tonic::Code;

use crate::answers::Refusal;
use crate::operations::{Request, Response, Told};
pub use member::Member;

/// Microseconds since 1970.
pub type Micros = i64;
pub const DAY: Micros = 24 * 3600 * 1_000_000;

/// A customer's memberships by program.
#[derive(Debug, Clone, Default)]
pub struct Customer {
    pub members: BTreeMap<String, Member>,
}

/// How long points can be spent, by program; absent: for ever.
pub type Programs = Rc<BTreeMap<String, Option<Micros>>>;

/// Some customers at one moment of their histories.
#[derive(Debug, Clone)]
pub struct World {
    pub programs: Programs,
    pub customers: BTreeMap<String, Customer>,
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
    match request {
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
        Request::Balance(request) => step.balance(request).map(Response::Balance),
        Request::Lots(request) => step.lots(request).map(Response::Lots),
        Request::Transactions(request) => step.transactions(request).map(Response::Transactions),
        Request::Hold(request) => step.hold(request).map(Response::Hold),
        Request::Holds(request) => step.holds(request).map(Response::Holds),
    }
}

impl World {
    /// The instants at which the answer to anything may change without anybody doing anything.
    pub fn turning_points(&self) -> BTreeSet<Micros> {
        let members = self.customers.values().flat_map(|it| it.members.values());
        members.flat_map(Member::turning_points).collect()
    }

    /// Asserts what must hold whatever happened.
    pub fn assert_sound(&self) {
        for customer in self.customers.values() {
            customer.members.values().for_each(Member::assert_sound);
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
        let members = &mut customer.or_default().members;
        let new = || Member::new(program_id, &request.customer_id, self.now);
        let member = members.entry(program_id.to_owned()).or_insert_with(new);
        Ok(pb::EnrollMemberResponse {
            member: Some(member.told()),
            consistency_token: String::new(),
        })
    }

    /// The member as anybody reads it.
    fn find(&mut self, program_id: &str, customer_id: &str) -> Result<&mut Member, Refusal> {
        let program_id = self.known(program_id)?;
        let customer = self.world.customers.get_mut(customer_id);
        let member = customer.and_then(|customer| customer.members.get_mut(program_id));
        member.ok_or_else(|| {
            Refusal::new(Code::NotFound, "MEMBER_NOT_FOUND")
                .with("program_id", program_id)
                .with("customer_id", customer_id)
        })
    }

    /// The member as any decision finds it: holds that have timed out are let go first.
    fn open(&mut self, program_id: &str, customer_id: &str) -> Result<&mut Member, Refusal> {
        let now = self.now;
        let member = self.find(program_id, customer_id)?;
        member.notice(now);
        Ok(member)
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

    /// When points of a program expire that can be spent from an instant on.
    fn expiry(&self, program_id: &str, from: Micros) -> Option<Micros> {
        let validity = self.world.programs[program(program_id)];
        validity.map(|validity| from + validity)
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
