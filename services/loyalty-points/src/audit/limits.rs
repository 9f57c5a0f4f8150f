//! Compares what is stored as used of earning limits with what the earnings that they count come to.

use common::time::Timestamp;

use super::verify::{Kind, Stop, Where, diverged};
use crate::State;
use crate::store::limit_usage;

/// All of them in one statement, which sees one instant: of a budget, members in pages would be of different ones.
pub(super) async fn compare(state: &State) -> Result<(), Stop> {
    let mut db = state.platform.reader().await?;
    let Some(astray) = limit_usage::find_astray(&mut db).await? else {
        return Ok(());
    };
    let description = format!(
        "{} is stored as used in the window from {}, {} was counted",
        astray.stored,
        Timestamp::from_micros(astray.key.window_start),
        astray.counted
    );
    let at = Where {
        customer_id: astray.key.customer_id,
        program_id: astray.key.program_id,
        limit_id: astray.key.limit_id,
        ..Where::default()
    };
    Err(diverged(Kind::Limit, at, description))
}
