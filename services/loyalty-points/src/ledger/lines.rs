//! Reversals by lines.

use common::db::Tx;
use common::ids::CustomerId;

use super::Asked;
use crate::domain::lines::{self, Line};
use crate::domain::lots::Lot;
use crate::domain::reversal::{self, Before};
use crate::error::Error;
use crate::store::earning_lines;

/// The points to take back now, and the lines as they are afterwards, where the earning is taken back by lines.
pub(super) async fn due(
    tx: &mut Tx,
    (customer_id, posting_id): (&CustomerId, &str),
    (asked, lot, before): (Asked, &Lot, Before),
) -> Result<(i64, Vec<Line>), Error> {
    let returns = match asked {
        Asked::Extent(extent) => return Ok((reversal::due(extent, lot, before)?, Vec::new())),
        Asked::Lines(returns) => returns,
    };
    let mut lines = earning_lines::list(tx, customer_id, posting_id).await?;
    lines::give_back(&mut lines, &returns)?;
    match reversal::due(lines::extent(&lines), lot, before) {
        // Lines too light for a point of their own are returned all the same: later ones make up for them.
        Err(reversal::Refused::Nothing) => Ok((0, lines)),
        due => Ok((due?, lines)),
    }
}
