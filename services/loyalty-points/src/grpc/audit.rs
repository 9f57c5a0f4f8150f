//! The audit service: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use api::loyalty::v1::audit_service_server::AuditService;
use common::validate::Violations;
use pb::verify_ledger_response::Item as Told;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Answer, parse, raw_of, runs, seal, trace};
use crate::State;
use crate::audit::divergence::{Divergence, Kind};
use crate::audit::signer::Signer;
use crate::audit::verify::{self, Item, KnownHead, Progress, Success};
use crate::audit::{heads, prove};
use crate::domain::chain::Block;
use crate::domain::merkle::{Hash, Proof};
use crate::domain::signing::Head;
use crate::error::Error;
use crate::store::seals::signed;

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

    async fn newest_head(&self) -> Result<Option<pb::SealedHead>, Error> {
        let newest = heads::find_newest(&self.state).await?;
        Ok(newest.map(|newest| self.signed(&newest)))
    }

    fn signed(&self, of: &Head) -> pb::SealedHead {
        head(of, &self.state.signer)
    }
}

type Items = Box<dyn tokio_stream::Stream<Item = Result<pb::VerifyLedgerResponse, Status>> + Send>;

#[tonic::async_trait]
impl AuditService for Audit {
    type VerifyLedgerStream = std::pin::Pin<Items>;

    async fn seal_now(&self, request: Request<pb::SealNowRequest>) -> Answer<pb::SealNowResponse> {
        seal::seal(&self.state, request.into_inner()).await
    }

    async fn list_runs(
        &self,
        request: Request<pb::ListRunsRequest>,
    ) -> Answer<pb::ListRunsResponse> {
        runs::list(&self.state, request.into_inner()).await
    }

    async fn verify_ledger(
        &self,
        request: Request<pb::VerifyLedgerRequest>,
    ) -> Answer<Self::VerifyLedgerStream> {
        let known = request.into_inner().known_head;
        let known = known.as_ref().map(known_head).transpose()?;
        let signer = self.state.signer.clone();
        let (items, receiver) = mpsc::channel(ITEMS_WAITING_MAX);
        tokio::spawn(verify::replay(self.state.clone(), known, items));
        let present = move |item| present(item, &signer);
        let told =
            ReceiverStream::new(receiver).map(move |item| item.map(&present).map_err(Status::from));
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
            &raw_of(&request.program_id, &request.customer_id, &request.at_least),
        );
        let (of,) = v.all((of,))?;
        self.state.platform.at_least(&of.at_least).await?;
        let (proof, newest) = prove::prove(&self.state, &of, &request.transaction_id).await?;
        Ok(Response::new(pb::GetInclusionProofResponse {
            proof: Some(inclusion(proof)),
            head: Some(self.signed(&newest)),
        }))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<pb::GetConsistencyProofRequest>,
    ) -> Answer<pb::GetConsistencyProofResponse> {
        let request = request.into_inner();
        let mut v = Violations::new();
        let first = u64::try_from(request.first_blocks)
            .ok()
            .filter(|blocks| *blocks > 0);
        if first.is_none() {
            v.add("first_blocks", "must be at least 1");
        }
        let second = u64::try_from(request.second_blocks).ok();
        let follows = |first| move |second: &u64| *second == 0 || *second >= first;
        let second = second.filter(follows(first.unwrap_or_default()));
        if second.is_none() {
            v.add(
                "second_blocks",
                "must be 0 (the newest) or at least first_blocks",
            );
        }
        let (first, second) = v.all((first, second))?;
        let proof = heads::prove(&self.state, first, second).await?;
        Ok(Response::new(pb::GetConsistencyProofResponse {
            path: proof.path.iter().map(|hash| hash.0.to_vec()).collect(),
            first: Some(self.signed(&proof.first)),
            second: Some(self.signed(&proof.second)),
        }))
    }

    async fn get_head(&self, request: Request<pb::GetHeadRequest>) -> Answer<pb::GetHeadResponse> {
        let at_least = request.into_inner().at_least;
        self.state.platform.at_least(&at_least).await?;
        let head = self.newest_head().await?;
        Ok(Response::new(pb::GetHeadResponse { head }))
    }

    async fn get_decision_trace(
        &self,
        request: Request<pb::GetDecisionTraceRequest>,
    ) -> Answer<pb::GetDecisionTraceResponse> {
        trace::get(&self.state, request.into_inner()).await
    }

    async fn get_signing_key(
        &self,
        _: Request<pb::GetSigningKeyRequest>,
    ) -> Answer<pb::GetSigningKeyResponse> {
        let key = self.state.signer.public();
        Ok(Response::new(pb::GetSigningKeyResponse {
            public_key: key.map_or(Vec::new(), |key| key.0.to_vec()),
            key_id: key.map_or(String::new(), |key| key.id()),
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

/// A head, signed if there is a key.
pub fn head(head: &Head, signer: &Signer) -> pb::SealedHead {
    let signed_by = signer.sign(head);
    let signed_by = signed_by.map(|(signature, key)| (signature, key.id()));
    let (signature, key_id) = signed_by.unwrap_or_default();
    pb::SealedHead {
        blocks: signed(head.blocks),
        postings: signed(head.postings),
        root: head.root.0.to_vec(),
        sealed_at: Some(head.sealed_at.into()),
        signature,
        key_id,
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

fn present(item: Item, signer: &Signer) -> pb::VerifyLedgerResponse {
    let told = match item {
        Item::Progress(so_far) => Told::Progress(progress(so_far)),
        Item::Success(success) => Told::Success(succeeded(&success, signer)),
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

fn succeeded(success: &Success, signer: &Signer) -> pb::VerifySuccess {
    pb::VerifySuccess {
        verified: Some(progress(success.verified)),
        head: success.head.as_ref().map(|of| head(of, signer)),
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
        Kind::PostingImpossible => pb::DivergenceKind::PostingImpossible,
        Kind::Hold => pb::DivergenceKind::Hold,
        Kind::Tier => pb::DivergenceKind::Tier,
        Kind::Purchase => pb::DivergenceKind::Purchase,
        Kind::EarningLines => pb::DivergenceKind::EarningLines,
        Kind::Limit => pb::DivergenceKind::Limit,
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
        hold_id: at.hold_id,
        limit_id: at.limit_id,
        description: divergence.description,
        points_currency: divergence.currency,
    }
}
