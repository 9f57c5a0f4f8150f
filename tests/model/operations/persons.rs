//! Merges of members that callers ask for, and undoing them.

use api::loyalty::v1 as pb;

use super::Response;

/// A merge to undo. What is asked names the merge alone: whose it is, if it is anybody's, the caller remembers.
#[derive(Debug, Clone, PartialEq)]
pub struct Unmerge {
    pub asked: pb::UnmergeMembersRequest,
    /// The survivor and the absorbed member.
    pub whose: Vec<String>,
}

/// Of the customers of a round the later half may be merged into the others, so that there are no chains.
pub fn may_be_merged(customers: &[String], customer_id: &str) -> bool {
    let place = customers.iter().position(|it| it == customer_id);
    place.is_some_and(|place| place >= customers.len() / 2)
}

/// What went over, or came back, in an answer: which lot is told first is nobody's business.
pub fn sort_moved(response: &mut Response) {
    let moved: Vec<_> = match response {
        Response::MergeMembers(it) => it.moved.iter_mut().collect(),
        Response::UnmergeMembers(it) => it.moved.iter_mut().chain(&mut it.returned).collect(),
        _ => {
            let steps = response.steps_mut().into_iter();
            steps.flat_map(|it| &mut it.moved).collect()
        }
    };
    for moved in moved {
        moved.lots.sort_by(|a, b| a.from_lot_id.cmp(&b.from_lot_id));
    }
}

/// The lots of it.
pub(super) fn lots(moved: &[pb::MovedPoints]) -> Vec<pb::MovedLot> {
    moved.iter().flat_map(|it| it.lots.clone()).collect()
}
