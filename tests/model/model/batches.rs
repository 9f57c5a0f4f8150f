//! Batches: one item after the other, each for itself, or all or none.

use api::loyalty::v1 as pb;
use pb::batch_post_result::Outcome;
use tonic::Code;

use super::{Step, apply};
use crate::answers::Refusal;
use crate::operations::batches::{outcome, requests};

impl Step<'_> {
    pub fn batch(&mut self, request: &pb::BatchPostRequest) -> pb::BatchPostResponse {
        let is_linked = request.mode() == pb::BatchMode::Linked;
        let whole = self.world.clone();
        let mut answer = pb::BatchPostResponse::default();
        for (n, item) in requests(request).iter().enumerate() {
            for (_, program_id, limits) in self
                .world
                .around
                .then
                .clone()
                .into_iter()
                .filter(|it| it.0 == n)
            {
                self.world.around.limits.insert(program_id, limits);
            }
            let mut after = self.world.clone();
            let told = self.told.items.get(n).cloned().unwrap_or_default();
            let outcome = match apply(&mut after, item, &told, self.now) {
                Ok(response) => {
                    *self.world = after;
                    answer.posted += 1;
                    outcome(response)
                }
                Err(refusal) if is_linked => {
                    *self.world = whole;
                    return fallen(request.items.len(), n, refusal);
                }
                Err(refusal) => Outcome::Refusal(told_of(refusal)),
            };
            answer.results.push(result(outcome));
        }
        answer
    }
}

/// One item of a linked batch is refused.
fn fallen(count: usize, culprit: usize, refusal: Refusal) -> pb::BatchPostResponse {
    let linked = Refusal::new(Code::Aborted, "LINKED_ITEM_FAILED").with("culprit", culprit);
    let mut results = vec![result(Outcome::Refusal(told_of(linked))); count];
    results[culprit] = result(Outcome::Refusal(told_of(refusal)));
    pb::BatchPostResponse { results, posted: 0 }
}

fn result(outcome: Outcome) -> pb::BatchPostResult {
    pb::BatchPostResult {
        outcome: Some(outcome),
    }
}

fn told_of(refusal: Refusal) -> pb::BatchPostRefusal {
    pb::BatchPostRefusal {
        code: refusal.code.into(),
        reason: refusal.reason,
        message: String::new(),
        metadata: refusal.metadata.into_iter().collect(),
    }
}
