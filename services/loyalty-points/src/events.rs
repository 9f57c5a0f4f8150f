//! What this service announces in its change feed.

use api::loyalty::v1 as pb;
use common::db::Tx;
use common::ids::CustomerId;

use crate::domain::plan::Holding;
use crate::grpc::present;
use crate::store::entries::EntryRow;
use crate::store::extensions::ExtensionRow;
use crate::store::holds::StoredHold;
use crate::store::members::Member;
use crate::store::merges::MergeRow;
use crate::store::notices::NoticeRow;
use crate::store::postings::PostingRow;
use crate::store::tiers::TierChangeRow;

/// A customer became a member.
pub fn member_enrolled(tx: &mut Tx, revision: i64, member: &Member, tier: &str) {
    let event = pb::MemberEnrolled {
        member: Some(present::member(member)),
        tier: tier.to_owned(),
    };
    tx.emit(&member.customer_id, revision, &event);
}

/// A member was closed.
pub fn member_closed(tx: &mut Tx, revision: i64, member: &Member) {
    let event = pb::MemberClosed {
        member: Some(present::member(member)),
    };
    tx.emit(&member.customer_id, revision, &event);
}

/// A member is one of two that were merged.
pub fn member_merged(
    tx: &mut Tx,
    (customer_id, revision): (&CustomerId, i64),
    merge: &MergeRow,
    moved: Vec<pb::MovedPoints>,
) {
    let event = pb::MemberMerged {
        merge: Some(present::merge(merge)),
        moved,
    };
    tx.emit(customer_id, revision, &event);
}

/// A member is one of two whose merge was undone.
pub fn member_unmerged(
    tx: &mut Tx,
    (customer_id, revision): (&CustomerId, i64),
    merge: &MergeRow,
    (moved, returned): (Vec<pb::MovedPoints>, Vec<pb::MovedPoints>),
) {
    let event = pb::MemberUnmerged {
        merge: Some(present::merge(merge)),
        moved,
        returned,
    };
    tx.emit(customer_id, revision, &event);
}

/// A posting was written.
pub fn points_posted(
    tx: &mut Tx,
    (posting, entries): (&PostingRow, &[EntryRow]),
    after: Holding,
    currency: &str,
) {
    let event = pb::PointsPosted {
        transaction: Some(present::transaction(posting, entries, currency)),
        points_after: after.points,
        debt_after: after.debt,
        held_after: after.held,
    };
    tx.emit(&posting.customer_id, posting.revision, &event);
}

/// A hold was made, captured, voided, or found to have timed out.
pub fn hold_changed(tx: &mut Tx, revision: i64, hold: &StoredHold, currency: &str) {
    let event = pb::HoldChanged {
        hold: Some(present::hold(hold, currency)),
    };
    tx.emit(&hold.customer_id, revision, &event);
}

/// A lot can be spent for longer.
pub fn expiry_extended(tx: &mut Tx, extension: &ExtensionRow, currency: &str) {
    let event = pb::ExpiryExtended {
        extension: Some(present::extension(extension, currency)),
    };
    tx.emit(&extension.customer_id, extension.revision, &event);
}

/// Points of a member expire soon.
pub fn points_expiring(tx: &mut Tx, notice: &NoticeRow, currency: &str) {
    let event = pb::PointsExpiring {
        program_id: notice.program_id.clone(),
        customer_id: notice.customer_id.to_string(),
        lot_id: notice.lot_id.clone(),
        points: notice.points,
        expires_at: Some(notice.expires_at.into()),
        points_currency: currency.to_owned(),
        notice_days: i32::try_from(notice.days).expect("days are at most 365"),
    };
    tx.emit(&notice.customer_id, notice.revision, &event);
}

/// A member moved to another tier.
pub fn tier_changed(tx: &mut Tx, change: &TierChangeRow) {
    let event = pb::TierChanged {
        change: Some(present::tier_change(change)),
    };
    tx.emit(&change.customer_id, change.revision, &event);
}
