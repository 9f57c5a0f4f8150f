//! Refunds: what a redemption or capture took returns to its lots.

use super::{Asked, Change, Origin, ReverseTransaction};
use crate::State;
use crate::domain::decision::{Decision, grace_days};
use crate::domain::program::Program;
use crate::domain::refund::{self, Refunded};
use crate::error::Error;
use crate::store::members::Standing;
use crate::store::postings::PostingRow;
use crate::store::{refunds, reversals};
use crate::work::Work;

/// Decides a refund of what was spent from the account that the member is turned to.
pub(super) async fn plan<'a>(
    state: &State,
    work: &mut Work<'_>,
    (program, standing): (&'a Program, Standing),
    spending: PostingRow,
    request: ReverseTransaction,
) -> Result<(Change<'a>, Refunded), Error> {
    let PostingRow {
        customer_id,
        program_id,
        posting_id,
        ..
    } = spending;
    let extent = match request.asked {
        Asked::Extent(extent) => extent,
        Asked::Lines(lines) => {
            let named = lines.into_iter().next();
            let line_id = named.map(|named| named.line_id).unwrap_or_default();
            return Err(Error::LineNotFound(line_id));
        }
    };
    let spent = refunds::list_spent(work.tx(), &customer_id, &posting_id).await?;
    if refund::left_of(&spent) == 0 {
        let earlier = reversals::get(work.tx(), &customer_id, &posting_id).await?;
        // Of what was forced all may have become debt, which comes from no lot.
        return Err(earlier
            .latest
            .map_or(Error::NothingToReverse, Error::AlreadyReversed));
    }
    let lot_ids: Vec<_> = spent.iter().map(|spent| spent.lot_id.as_str()).collect();
    let mut lots = refunds::list_lots(work.tx(), &customer_id, &program_id, &lot_ids).await?;
    lots.retain(|lot| lot.wallet == *standing.wallet());
    let points = refund::due(extent, &spent)?;
    let left = refund::left_of(&spent);
    let total = spent.iter().map(|spent| spent.points).sum();
    let decision = Decision::Refund {
        asked: extent.into(),
        grace_days: grace_days(request.late),
        spent: total,
        refunded: total - left,
        lots: Vec::new(),
    };
    let parts = refund::parts(spent, points);
    let ids = || state.platform.ids.uuid();
    let holding = standing.holding();
    let (plan, refunded) = refund::refund(holding, lots, &parts, (request.late, ids), work.now())?;
    let origin = Origin {
        reason: request.reason,
        reverses: Some(posting_id),
        actor: request.account.actor,
        decision: Some(decision),
        ..Origin::default()
    };
    let change = Change {
        program,
        standing,
        plan,
        origin,
    };
    Ok((change, refunded))
}
