//! Members.

use api::loyalty::v1 as pb;

use super::{Generator, Whose};
use crate::service::CLUB;

impl Generator {
    pub(super) fn enroll(&mut self, whose: Whose) -> pb::EnrollMemberRequest {
        pb::EnrollMemberRequest {
            request_id: self.id(),
            program_id: CLUB.to_owned(),
            customer_id: whose.customer_id,
            ..Default::default()
        }
    }
}
