//! The lines of earnings, and reversals by them.

use common::ids::CustomerId;

use super::Asked;
use crate::domain::lines::{self, Line};
use crate::domain::lots::Lot;
use crate::domain::reversal::{self, Before, Extent};
use crate::error::Error;
use crate::store::earning_lines;
use crate::store::postings::PostingRow;
use crate::work::Work;

/// Writes the lines of an earning, if it has any.
pub(super) async fn insert(
    work: &mut Work<'_>,
    posting: &PostingRow,
    lines: &[Line],
) -> Result<(), Error> {
    if lines.is_empty() {
        return Ok(());
    }
    let PostingRow {
        customer_id,
        posting_id,
        ..
    } = posting;
    Ok(earning_lines::insert(work.direct(), customer_id, posting_id, lines).await?)
}

/// What a reversal is to take back.
pub(super) struct Due {
    /// How much of the earning was asked for.
    pub extent: Extent,
    /// The points to take back now.
    pub points: i64,
    /// The lines as they are afterwards, where the earning is taken back by lines.
    pub lines: Vec<Line>,
}

/// What is to be taken back now.
pub(super) async fn due(
    work: &mut Work<'_>,
    (customer_id, posting_id): (&CustomerId, &str),
    (asked, lot, before): (Asked, &Lot, Before),
) -> Result<Due, Error> {
    let returns = match asked {
        Asked::Extent(extent) => {
            return Ok(Due {
                extent,
                points: reversal::due(extent, lot, before)?,
                lines: Vec::new(),
            });
        }
        Asked::Lines(returns) => returns,
    };
    let mut lines = earning_lines::list(work.tx(), customer_id, posting_id).await?;
    lines::give_back(&mut lines, &returns)?;
    let extent = lines::extent(&lines);
    let points = match reversal::due(extent, lot, before) {
        // Lines too light for a point of their own are returned all the same: later ones make up for them.
        Err(reversal::Refused::Nothing) => 0,
        due => due?,
    };
    Ok(Due {
        extent,
        points,
        lines,
    })
}
