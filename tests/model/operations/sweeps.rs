//! Sweeps: what time has done is posted, whoever it concerns.

use std::collections::BTreeMap;

use api::loyalty::v1 as pb;
use pb::loyalty_service_client::LoyaltyServiceClient;
use tonic::transport::Channel;
use tonic::{Response as Reply, Status};

use super::{Request, Response, may_be_merged, passing, token};
use crate::answers::{Answer, micros};
use crate::model::program;
use crate::service::{CLUB, CLUB_CURRENCIES};

/// A sweep, or the part of it that is about one member.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    pub asked: pb::SweepExpiryRequest,
    /// Those that are looked into; there may be others.
    pub customers: Vec<String>,
    /// The member that this part is about, by program and customer; absent: it is all of it.
    pub of: Option<Membership>,
    /// Who may stand for that member, and receive what its holds let go.
    pub others: Vec<String>,
    /// Whether it went on in the background, where nobody asked for it, and nobody is told of notices.
    pub is_unasked: bool,
}

pub type Membership = (String, String);

/// What it has done.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Swept {
    /// All that was told, in the order in which it came; of a part the member it is about, if anything was done.
    pub messages: Vec<pb::SweepExpiryResponse>,
    /// When it was posted, of those that are looked into and had anything to be posted. It is read.
    pub posted_at: BTreeMap<Membership, i64>,
}

impl Sweep {
    pub fn of_all(asked: pb::SweepExpiryRequest, customers: &[String]) -> Self {
        Self {
            asked,
            customers: customers.to_vec(),
            of: None,
            others: Vec::new(),
            is_unasked: false,
        }
    }

    /// Who it is about, and who may receive something by it.
    pub(super) fn customers(&self) -> Vec<&str> {
        let of = self.of.iter().map(|(_, whose)| whose);
        of.chain(&self.others).map(String::as_str).collect()
    }

    /// Sweeps to the end, and reads when. Whoever is cut off asks again, and is told what was done before as well.
    pub(super) async fn call(&self, channel: &Channel) -> Result<Reply<Swept>, Status> {
        let mut to = LoyaltyServiceClient::new(channel.clone());
        let reply = to.sweep_expiry(self.asked.clone()).await?;
        let (metadata, mut stream, extensions) = reply.into_parts();
        let mut told = Swept::default();
        while let Some(message) = stream.message().await? {
            told.messages.push(message);
        }
        let members = told.messages.iter().flat_map(|message| &message.swept);
        let is_posted = |it: &&pb::SweptMember| it.holds_expired > 0 || it.points_expired > 0;
        for member in members.filter(is_posted).filter(|_| !self.asked.dry_run) {
            if self.customers.contains(&member.customer_id) {
                let at = posted_at(&mut to, member).await?;
                told.posted_at.insert(membership(member), at);
            }
        }
        Ok(Reply::from_parts(metadata, told, extensions))
    }
}

/// When the latest posting was made that came with it: there is none between the sweep's own and its end.
async fn posted_at(
    to: &mut LoyaltyServiceClient<Channel>,
    member: &pb::SweptMember,
) -> Result<i64, Status> {
    let revision = token(&member.consistency_token).1;
    let codes: &[&str] = match member.program_id.as_str() {
        CLUB => &CLUB_CURRENCIES,
        _ => &[""],
    };
    let mut postings = Vec::new();
    for code in codes {
        let request = pb::ListTransactionsRequest {
            program_id: member.program_id.clone(),
            customer_id: member.customer_id.clone(),
            points_currency: (*code).to_owned(),
            page_size: 1000,
            at_least: member.consistency_token.clone(),
            ..Default::default()
        };
        let page = to.list_transactions(request).await?.into_inner();
        let own = page.transactions.into_iter();
        postings.extend(own.filter(|posting| posting.revision <= revision));
    }
    let latest = postings.iter().max_by_key(|posting| posting.revision);
    let at = latest.and_then(|posting| posting.posted_at.as_ref());
    Ok(micros(at.unwrap_or_else(|| {
        panic!("nothing was posted: {member:#?}")
    })))
}

/// All that was told, and what it says of each member that is looked into: those have places of their own in the
/// histories.
pub(super) fn placed(sweep: &Sweep, swept: &Swept) -> Vec<(Request, Answer)> {
    let mut parts = vec![(sweep.clone(), swept.clone())];
    for customer_id in &sweep.customers {
        for program_id in ["default", CLUB] {
            let of = (program(program_id).to_owned(), customer_id.clone());
            let members = swept.messages.iter().flat_map(|message| &message.swept);
            let own = members.filter(|member| membership(member) == of);
            let message = |member: &pb::SweptMember| pb::SweepExpiryResponse {
                swept: vec![member.clone()],
                ..Default::default()
            };
            let posted_at = swept.posted_at.iter().filter(|(whose, _)| **whose == of);
            let told = Swept {
                messages: own.map(message).collect(),
                posted_at: posted_at.map(|(whose, at)| (whose.clone(), *at)).collect(),
            };
            let let_go = told.member().is_some_and(|member| member.holds_expired > 0);
            let passes = let_go && may_be_merged(&sweep.customers, customer_id);
            let others = sweep.customers.iter().filter(|_| passes);
            let others = others.filter(|it| !may_be_merged(&sweep.customers, it));
            let part = Sweep {
                of: Some(of),
                others: others.cloned().collect(),
                ..sweep.clone()
            };
            parts.push((part, told));
        }
    }
    let placed = |(sweep, swept)| (Request::Sweep(sweep), Ok(Response::Sweep(swept)));
    parts.into_iter().map(placed).collect()
}

impl Swept {
    pub(super) fn tokens<'a>(&'a mut self) -> Vec<&'a mut String> {
        let members = self.messages.iter_mut().flat_map(|it| &mut it.swept);
        let tokens = |it: &'a mut pb::SweptMember| {
            passing::tokens(&mut it.consistency_token, &mut it.passed_on)
        };
        members.flat_map(tokens).collect()
    }

    /// What went on from the member that a part is about.
    pub(super) fn passed_on(&mut self) -> Option<&mut Vec<pb::PassedOn>> {
        let member = self.messages.first_mut()?.swept.first_mut()?;
        Some(&mut member.passed_on)
    }

    /// What is told of the member that a part is about.
    pub fn member(&self) -> Option<&pb::SweptMember> {
        self.messages.first()?.swept.first()
    }
}

fn membership(member: &pb::SweptMember) -> Membership {
    (member.program_id.clone(), member.customer_id.clone())
}
