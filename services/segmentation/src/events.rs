//! What this service says in its change feed.

use api::segmentation::v1 as pb;
use common::db::Tx;
use common::ids::CustomerId;

use crate::grpc::responses::{rating, small};
use crate::store::rating_writes::NewRating;

/// Tells of new stars; the caller has stored them.
pub fn rating_changed(tx: &mut Tx, new: &NewRating) {
    let customer = &new.rating.customer_id;
    let event = pb::RatingChanged {
        customer_id: customer.to_string(),
        rating: Some(rating(&new.rating)),
        previous_stars: small(new.previous_stars),
    };
    tx.emit(customer, new.rating.revision, &event);
}

/// Tells that a customer's stars are gone with the customer.
pub fn rating_removed(tx: &mut Tx, customer: &CustomerId, previous_stars: i64, revision: i64) {
    let event = pb::RatingRemoved {
        customer_id: customer.to_string(),
        previous_stars: small(previous_stars),
    };
    tx.emit(customer, revision, &event);
}
