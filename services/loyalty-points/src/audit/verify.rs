//! Replays the ledger and names where it first diverges.

use common::platform::Platform;
use tokio::sync::mpsc;

use super::divergence::{Divergence, Kind, Stop, Where, diverged};
use super::{histories, limits};
use crate::State;
use crate::domain::merkle::Hash;
use crate::domain::program::ProgramId;
use crate::domain::signing::Head;
use crate::store::replay::{self, StrayLine};
use crate::store::seal_blocks;

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

/// A replay under way.
pub(super) struct Replay {
    state: State,
    pub(super) platform: Platform,
    items: mpsc::Sender<Result<Item, common::Error>>,
    pub(super) verified: Progress,
}

impl Replay {
    async fn run(&mut self, known: Option<KnownHead>) -> Result<Success, Stop> {
        let last = seal_blocks::find_last(&mut self.platform.reader().await?).await?;
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

    /// Tells how far it is.
    pub(super) async fn tell(&self) -> Result<(), Stop> {
        let item = Ok(Item::Progress(self.verified));
        let told = self.items.send(item).await;
        told.map_err(|_| Stop::CallerGone)
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
