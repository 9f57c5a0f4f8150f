//! Replays the ledger and names where it first diverges.

use common::platform::Platform;
use tokio::sync::mpsc;

use super::{histories, leaf, limits};
use crate::State;
use crate::domain::chain::Block;
use crate::domain::currency::Wallet;
use crate::domain::merkle::{self, Hash, Node, bag, leaf_hash, peaks};
use crate::domain::program::ProgramId;
use crate::domain::signing::Head;
use crate::store::entries::EntryRow;
use crate::store::postings::PostingRow;
use crate::store::replay::{self, LotSums, MemberSums, Members, StrayLine};
use crate::store::seal_nodes;
use crate::store::seals::{self, BlockRow, SealRow};

/// Members replayed in one read.
const MEMBERS_AT_ONCE: i64 = 500;

/// A head from before.
#[derive(Debug, Clone, Copy)]
pub struct KnownHead {
    /// Its blocks, at least one.
    pub blocks: i64,
    /// Its root.
    pub root: Hash,
}

/// How far the replay is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// Blocks.
    pub blocks: i64,
    /// Postings.
    pub postings: i64,
    /// Members.
    pub members: i64,
}

/// What the ledger was found to be.
#[derive(Debug)]
pub struct Success {
    /// All of it.
    pub verified: Progress,
    /// The head as replayed.
    pub head: Option<Head>,
    /// Postings that are still to be sealed.
    pub unsealed: i64,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A sealed posting is gone.
    PostingMissing,
    /// It is not what was sealed.
    PostingChanged,
    /// Its lines do not add up.
    PostingUnbalanced,
    /// It escaped the seal.
    PostingUnsealed,
    /// A block does not follow.
    BlockBroken,
    /// The caller's head is none of this ledger.
    HeadUnknown,
    /// A lot is not what was posted.
    Lot,
    /// A member is not what was posted.
    Balance,
    /// A posting cannot follow from those before it.
    PostingImpossible,
    /// A hold is not what was posted.
    Hold,
    /// A tier is not what was earned.
    Tier,
    /// What is left of a purchase is not what was posted.
    Purchase,
    /// What was returned of lines is not what was posted.
    EarningLines,
    /// What is used of a limit is not what was earned.
    Limit,
}

/// Where the ledger first diverges. Empty or 0 is what does not apply.
#[derive(Debug, Default)]
pub struct Where {
    /// Place in the ledger.
    pub sequence: i64,
    /// Block.
    pub block: i64,
    /// Customer.
    pub customer_id: String,
    /// Posting.
    pub posting_id: String,
    /// Program.
    pub program_id: String,
    /// Lot.
    pub lot_id: String,
    /// Hold.
    pub hold_id: String,
    /// Earning limit.
    pub limit_id: String,
    /// Currency.
    pub wallet: Option<Wallet>,
}

/// A divergence.
#[derive(Debug)]
pub struct Divergence {
    /// What is wrong.
    pub kind: Kind,
    /// Where.
    pub at: Where,
    /// Code of the currency, where one is concerned.
    pub currency: String,
    /// In words.
    pub description: String,
}

/// What the replay tells on its way.
#[derive(Debug)]
pub enum Item {
    /// So far.
    Progress(Progress),
    /// All is well.
    Success(Success),
    /// It is not.
    Divergence(Box<Divergence>),
}

/// Why a replay ends early.
pub(super) enum Stop {
    Diverged(Box<Divergence>),
    CallerGone,
    Failed(common::Error),
}

impl From<common::Error> for Stop {
    fn from(error: common::Error) -> Self {
        Self::Failed(error)
    }
}

pub(super) fn diverged(kind: Kind, at: Where, description: impl Into<String>) -> Stop {
    let description = description.into();
    Stop::Diverged(Box::new(Divergence {
        kind,
        at,
        currency: String::new(),
        description,
    }))
}

/// Replays everything; the last item is the outcome.
pub async fn replay(
    state: State,
    known: Option<KnownHead>,
    items: mpsc::Sender<Result<Item, common::Error>>,
) {
    let mut replay = Replay {
        platform: state.platform.clone(),
        state,
        items,
        verified: Progress::default(),
    };
    let outcome = match replay.run(known).await {
        Ok(success) => Ok(Item::Success(success)),
        Err(Stop::Diverged(mut divergence)) => {
            divergence.currency = currency_of(&replay.state, &divergence.at).await;
            Ok(Item::Divergence(divergence))
        }
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::CallerGone) => return,
    };
    // A caller who left needs no outcome.
    let _ = replay.items.send(outcome).await;
}

/// The code of the currency, if the program can still be read: a divergence is told in any case.
async fn currency_of(state: &State, at: &Where) -> String {
    let (Some(wallet), Ok(program_id)) = (&at.wallet, ProgramId::parse(&at.program_id)) else {
        return String::new();
    };
    let Ok(mut db) = state.platform.reader().await else {
        return String::new();
    };
    let program = state.programs.get(&mut db, &program_id).await;
    program.map_or_else(
        |_| wallet.as_stored().to_owned(),
        |program| program.code_of(wallet).to_owned(),
    )
}

struct Replay {
    state: State,
    platform: Platform,
    items: mpsc::Sender<Result<Item, common::Error>>,
    verified: Progress,
}

impl Replay {
    async fn run(&mut self, known: Option<KnownHead>) -> Result<Success, Stop> {
        let last = seals::find_last_block(&mut self.platform.reader().await?).await?;
        let head = self.blocks(last.as_ref(), known).await?;
        let mut db = self.platform.reader().await?;
        if let Some(key) = replay::find_unsealed(&mut db).await? {
            let at = Where {
                customer_id: key.customer_id,
                posting_id: key.posting_id,
                ..Where::default()
            };
            let description = "a later posting of the customer is sealed, this one is not";
            return Err(diverged(Kind::PostingUnsealed, at, description));
        }
        let unsealed = replay::count_unsealed(&mut db).await?;
        if let Some(line) = replay::find_stray_line(&mut db).await? {
            return Err(stray(line));
        }
        drop(db);
        self.members().await?;
        let mut after = String::new();
        while let Some(last) = histories::compare(&self.state, &after).await? {
            after = last;
            self.tell().await?;
        }
        limits::compare(&self.state).await?;
        Ok(Success {
            verified: self.verified,
            head,
            unsealed,
        })
    }

    /// Replays the chain up to the block that was the last when the replay began.
    async fn blocks(
        &mut self,
        last: Option<&BlockRow>,
        known: Option<KnownHead>,
    ) -> Result<Option<Head>, Stop> {
        let blocks = last.map_or(0, |last| last.block + 1);
        if let Some(known) = known.filter(|known| known.blocks > blocks) {
            let description = format!("it has {} blocks, the ledger {blocks}", known.blocks);
            return Err(diverged(Kind::HeadUnknown, Where::default(), description));
        }
        let (mut before, mut newest) = (None, None);
        // The complete subtrees that the tree of blocks consists of so far.
        let mut tree = Vec::new();
        for number in 0..blocks {
            let (block, row) = self.block(number, before.as_ref()).await?;
            let (head, made) = grow(&mut tree, &block);
            let at = || at_block(number, row.first_sequence);
            let wanted: Vec<_> = made.iter().map(|(node, _)| *node).collect();
            let stored = seal_nodes::list(&mut self.platform.reader().await?, &wanted).await?;
            if made
                .iter()
                .any(|(node, hash)| stored.get(node) != Some(hash))
            {
                let description =
                    "the subtrees that the block completes are not stored as they are";
                return Err(diverged(Kind::BlockBroken, at(), description));
            }
            if row.head != head.0 {
                let description = "the head is not the root over the blocks up to here";
                return Err(diverged(Kind::BlockBroken, at(), description));
            }
            if let Some(known) = known
                && known.blocks == number + 1
                && known.root != head
            {
                let description = format!("after so many blocks the root is {head}");
                return Err(diverged(Kind::HeadUnknown, at(), description));
            }
            self.verified.blocks += 1;
            self.verified.postings += row.postings;
            self.tell().await?;
            newest = Some(Head {
                blocks: block.number + 1,
                postings: block.first_sequence + block.postings - 1,
                root: head,
                sealed_at: row.sealed_at,
            });
            before = Some(block);
        }
        Ok(newest)
    }

    /// Replays one block with its postings.
    async fn block(&self, number: i64, before: Option<&Block>) -> Result<(Block, BlockRow), Stop> {
        let mut db = self.platform.reader().await?;
        let first = before.map_or(1, |block| {
            seals::signed(block.first_sequence + block.postings)
        });
        let Some(row) = seals::find_block(&mut db, number).await? else {
            let description = "the block is gone";
            return Err(diverged(
                Kind::BlockBroken,
                at_block(number, first),
                description,
            ));
        };
        let sealed = seals::list(&mut db, number).await?;
        let postings = seals::list_postings(&mut db, number).await?;
        let keys: Vec<_> = sealed.iter().map(|seal| seal.key.clone()).collect();
        let entries = seals::list_entries(&mut db, &keys).await?;
        drop(db);

        let mut leaves = Vec::with_capacity(sealed.len());
        for (sequence, seal) in (first..).zip(&sealed) {
            if seal.sequence != sequence {
                let description = format!("there is no seal {sequence}");
                let at = at_block(number, sequence);
                return Err(diverged(Kind::BlockBroken, at, description));
            }
            let Some(posting) = postings.get(&seal.key) else {
                let description = "the posting was sealed and is gone";
                return Err(diverged(Kind::PostingMissing, at_seal(seal), description));
            };
            let lines = entries.get(&seal.key).map_or(&[][..], Vec::as_slice);
            leaves.push(check(seal, posting, lines)?);
        }
        let block = Block::after(before, &leaves);
        if row.parse().as_ref() != Ok(&block) {
            let description = "the block is not what follows from its postings and the one before";
            let at = at_block(number, first);
            return Err(diverged(Kind::BlockBroken, at, description));
        }
        Ok((block, row))
    }

    /// Replays members and their lots.
    async fn members(&mut self) -> Result<(), Stop> {
        let mut after = (String::new(), String::new());
        loop {
            let mut db = self.platform.reader().await?;
            let page = Members {
                after: (&after.0, &after.1),
                limit: MEMBERS_AT_ONCE,
            };
            // Lots first: they tell more than the sum of them.
            if let Some(lot) = replay::find_lot_astray(&mut db, page).await? {
                return Err(lot_astray(lot));
            }
            let members = replay::list_members(&mut db, page).await?;
            drop(db);
            let Some(last) = members.last() else {
                return Ok(());
            };
            after = (last.customer_id.clone(), last.program_id.clone());
            let mut told: Vec<_> = members.iter().map(MemberSums::member).collect();
            told.dedup();
            self.verified.members += seals::signed(told.len() as u64);
            for member in members {
                balanced(member)?;
            }
            self.tell().await?;
        }
    }

    async fn tell(&self) -> Result<(), Stop> {
        let item = Ok(Item::Progress(self.verified));
        let told = self.items.send(item).await;
        told.map_err(|_| Stop::CallerGone)
    }
}

/// Compares a posting with its seal; returns its leaf.
fn check(seal: &SealRow, posting: &PostingRow, lines: &[EntryRow]) -> Result<Hash, Stop> {
    let leaf = leaf_hash(&leaf::bytes(seal.sequence, posting, lines));
    if seal.leaf != leaf.0 {
        let description = format!("the posting as it is has the leaf {leaf}, another was sealed");
        return Err(diverged(Kind::PostingChanged, at_seal(seal), description));
    }
    let sum: i64 = lines.iter().map(|line| line.points).sum();
    let own = |line: &&EntryRow| matches!(line.account.as_str(), "member" | "held" | "debt");
    let points: i64 = lines.iter().filter(own).map(|line| line.points).sum();
    if sum != 0 || points != posting.points {
        let description = format!(
            "the lines add up to {sum} and give the member {points}, told are {}",
            posting.points
        );
        let at = at_seal(seal);
        return Err(diverged(Kind::PostingUnbalanced, at, description));
    }
    Ok(leaf)
}

/// Adds a block to a tree of which only the edge is kept; returns the new root and the subtrees it completes.
fn grow(edge: &mut Vec<(Node, Hash)>, block: &Block) -> (Hash, Vec<(Node, Hash)>) {
    let find = |wanted| {
        let found = edge.iter().find(|(node, _)| *node == wanted);
        found.map(|(_, hash)| *hash)
    };
    let made = merkle::completed(block.number, block.hash(), find)
        .expect("the edge holds every subtree that is complete and not part of another");
    edge.extend(made.iter().copied());
    let wanted = peaks(block.number + 1);
    edge.retain(|(node, _)| wanted.contains(node));
    (bag(edge.iter().map(|(_, hash)| *hash)), made)
}

fn at_block(block: i64, sequence: i64) -> Where {
    Where {
        sequence,
        block,
        ..Where::default()
    }
}

fn at_seal(seal: &SealRow) -> Where {
    Where {
        sequence: seal.sequence,
        block: seal.block,
        customer_id: seal.key.customer_id.clone(),
        posting_id: seal.key.posting_id.clone(),
        ..Where::default()
    }
}

fn stray(line: StrayLine) -> Stop {
    let kind = if line.lot_id.is_some() {
        Kind::Lot
    } else {
        Kind::Balance
    };
    let at = Where {
        customer_id: line.posting.customer_id,
        posting_id: line.posting.posting_id,
        program_id: line.program_id,
        lot_id: line.lot_id.unwrap_or_default(),
        ..Where::default()
    };
    diverged(kind, at, "an entry is of a posting that there is not")
}

fn lot_astray(lot: LotSums) -> Stop {
    let description = format!(
        "original {}, remaining {}, held {} are stored; posted were {}, {}, {}",
        lot.original,
        lot.remaining,
        lot.held,
        lot.original_posted,
        lot.remaining_posted,
        lot.held_posted
    );
    let at = Where {
        customer_id: lot.customer_id,
        program_id: lot.program_id,
        lot_id: lot.lot_id,
        wallet: lot.wallet,
        ..Where::default()
    };
    diverged(Kind::Lot, at, description)
}

fn balanced(member: MemberSums) -> Result<(), Stop> {
    let stored = (member.points, member.held, member.debt);
    let posted = (member.points_posted, member.held_posted, member.debt_posted);
    let is_passed_on = !member.merged || (member.points == 0 && member.debt == 0);
    let description = if stored != posted {
        format!("(points, held, debt) {stored:?} are stored, {posted:?} were posted")
    } else if !is_passed_on {
        format!("(points, held, debt) {stored:?} are of a member who was merged")
    } else {
        return Ok(());
    };
    let at = Where {
        customer_id: member.customer_id,
        program_id: member.program_id,
        wallet: Some(member.wallet),
        ..Where::default()
    };
    Err(diverged(Kind::Balance, at, description))
}
