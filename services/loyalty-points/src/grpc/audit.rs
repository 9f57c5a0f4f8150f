//! The audit service: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use api::loyalty::v1::audit_service_server::AuditService;
use common::validate::Violations;
use pb::verify_ledger_response::Item as Told;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Answer, parse, raw_of};
use crate::State;
use crate::audit::verify::{self, Divergence, Item, Kind, KnownHead, Progress, Success};
use crate::audit::{prove, seal};
use crate::domain::chain::Block;
use crate::domain::merkle::{Hash, Proof};
use crate::store::seals::{self, BlockRow, signed};

/// Items that wait for a slow caller; then the replay waits too.
const ITEMS_WAITING_MAX: usize = 16;

/// The gRPC service.
pub struct Audit {
    state: State,
}

impl Audit {
    /// Shares the state of the service.
    pub fn new(state: State) -> Self {
        Self { state }
    }
}

type Items = Box<dyn tokio_stream::Stream<Item = Result<pb::VerifyLedgerResponse, Status>> + Send>;

#[tonic::async_trait]
impl AuditService for Audit {
    type VerifyLedgerStream = std::pin::Pin<Items>;

    async fn seal_now(&self, _: Request<pb::SealNowRequest>) -> Answer<pb::SealNowResponse> {
        let sealed = seal::now(&self.state.platform).await?;
        let mut db = self.state.platform.reader().await?;
        let last = seals::find_last_block(&mut db).await?;
        let head = last.as_ref().map(head);
        Ok(Response::new(pb::SealNowResponse { sealed, head }))
    }

    async fn verify_ledger(
        &self,
        request: Request<pb::VerifyLedgerRequest>,
    ) -> Answer<Self::VerifyLedgerStream> {
        let known = request.into_inner().known_head;
        let known = known.as_ref().map(known_head).transpose()?;
        let (items, receiver) = mpsc::channel(ITEMS_WAITING_MAX);
        tokio::spawn(verify::replay(self.state.platform.clone(), known, items));
        let told =
            ReceiverStream::new(receiver).map(|item| item.map(present).map_err(Status::from));
        Ok(Response::new(Box::pin(told)))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<pb::GetInclusionProofRequest>,
    ) -> Answer<pb::GetInclusionProofResponse> {
        let request = request.into_inner();
        let mut v = Violations::new();
        let of = parse::of(
            &mut v,
            &raw_of(&request.program_id, &request.customer_id, ""),
        );
        let (of,) = v.all((of,))?;
        let (proof, last) = prove::prove(&self.state, &of, &request.transaction_id).await?;
        Ok(Response::new(pb::GetInclusionProofResponse {
            proof: Some(inclusion(proof)),
            head: Some(head(&last)),
        }))
    }
}

fn known_head(raw: &pb::KnownHead) -> Result<KnownHead, common::Error> {
    let mut v = Violations::new();
    let blocks = Some(raw.blocks).filter(|blocks| *blocks > 0);
    if blocks.is_none() {
        v.add("known_head.blocks", "must be at least 1");
    }
    let root = v.check("known_head.root", Hash::parse(&raw.root));
    let (blocks, root) = v.all((blocks, root))?;
    Ok(KnownHead { blocks, root })
}

fn head(last: &BlockRow) -> pb::SealedHead {
    pb::SealedHead {
        blocks: last.block + 1,
        postings: last.last_sequence(),
        root: last.head.clone(),
        sealed_at: Some(last.sealed_at.into()),
    }
}

fn inclusion(proof: Proof) -> pb::InclusionProof {
    let bytes = |path: Vec<Hash>| path.iter().map(|hash| hash.0.to_vec()).collect();
    pb::InclusionProof {
        leaf: proof.leaf,
        leaf_path: bytes(proof.leaf_path),
        block: Some(block(&proof.block)),
        block_path: bytes(proof.block_path),
        head_blocks: signed(proof.head_blocks),
        head_root: proof.head_root.0.to_vec(),
        sequence: signed(proof.sequence),
    }
}

fn block(block: &Block) -> pb::SealedBlock {
    pb::SealedBlock {
        block: signed(block.number),
        first_sequence: signed(block.first_sequence),
        postings: signed(block.postings),
        previous: block.previous.0.to_vec(),
        root: block.root.0.to_vec(),
        link: block.link.0.to_vec(),
    }
}

fn present(item: Item) -> pb::VerifyLedgerResponse {
    let told = match item {
        Item::Progress(so_far) => Told::Progress(progress(so_far)),
        Item::Success(success) => Told::Success(succeeded(&success)),
        Item::Divergence(divergence) => Told::Divergence(diverged(*divergence)),
    };
    pb::VerifyLedgerResponse { item: Some(told) }
}

fn progress(progress: Progress) -> pb::VerifyProgress {
    pb::VerifyProgress {
        blocks: progress.blocks,
        postings: progress.postings,
        members: progress.members,
    }
}

fn succeeded(success: &Success) -> pb::VerifySuccess {
    pb::VerifySuccess {
        verified: Some(progress(success.verified)),
        head: success.last.as_ref().map(head),
        unsealed: success.unsealed,
    }
}

fn diverged(divergence: Divergence) -> pb::Divergence {
    let kind = match divergence.kind {
        Kind::PostingMissing => pb::DivergenceKind::PostingMissing,
        Kind::PostingChanged => pb::DivergenceKind::PostingChanged,
        Kind::PostingUnbalanced => pb::DivergenceKind::PostingUnbalanced,
        Kind::PostingUnsealed => pb::DivergenceKind::PostingUnsealed,
        Kind::BlockBroken => pb::DivergenceKind::BlockBroken,
        Kind::HeadUnknown => pb::DivergenceKind::HeadUnknown,
        Kind::Lot => pb::DivergenceKind::Lot,
        Kind::Balance => pb::DivergenceKind::Balance,
    };
    let at = divergence.at;
    pb::Divergence {
        kind: kind.into(),
        sequence: at.sequence,
        block: at.block,
        customer_id: at.customer_id,
        transaction_id: at.posting_id,
        program_id: at.program_id,
        lot_id: at.lot_id,
        description: divergence.description,
    }
}
