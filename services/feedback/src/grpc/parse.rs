//! Raw fields as domain values; each error says what the field must be.

use std::ops::RangeInclusive;

use api::feedback::v1 as pb;
use common::ids::CustomerId;
use common::time::Timestamp;

use crate::domain::metric::Confidence;
use crate::domain::survey::{Channel, SurveyState, SurveyType};
use crate::domain::ticket::{Priority, State, TicketType};

/// Text of so many characters. Where one is the least, blanks alone do not count.
pub(crate) fn text(raw: &str, length: RangeInclusive<usize>) -> Result<String, String> {
    if raw.contains('\0') {
        return Err("must not contain the NUL character".to_owned());
    }
    let enough = *length.start() == 0 || !raw.trim().is_empty();
    if !enough || !length.contains(&raw.chars().count()) {
        return Err(format!(
            "must have {} to {} characters",
            length.start(),
            length.end()
        ));
    }
    Ok(raw.to_owned())
}

/// A customer to select, or none when empty.
pub(crate) fn any_customer(raw: &str) -> Result<Option<CustomerId>, String> {
    (!raw.is_empty())
        .then(|| CustomerId::parse(raw))
        .transpose()
}

/// A code such as "REFUNDED".
pub(crate) fn resolution_code(raw: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let begins = raw.starts_with(|c: char| c.is_ascii_uppercase());
    if !begins || raw.len() > 64 || !raw.chars().all(allowed) {
        return Err("must be 1 to 64 of A-Z 0-9 _, beginning with a letter".to_owned());
    }
    Ok(raw.to_owned())
}

pub(crate) fn required_time(raw: Option<&prost_types::Timestamp>) -> Result<Timestamp, String> {
    Timestamp::try_from(raw.ok_or("must be given")?)
}

pub(crate) fn optional_time(
    raw: Option<&prost_types::Timestamp>,
) -> Result<Option<Timestamp>, String> {
    raw.map(Timestamp::try_from).transpose()
}

pub(crate) fn survey_type(raw: i32) -> Result<SurveyType, &'static str> {
    match pb::SurveyType::try_from(raw) {
        Ok(pb::SurveyType::Nps) => Ok(SurveyType::Nps),
        Ok(pb::SurveyType::Csat) => Ok(SurveyType::Csat),
        Ok(pb::SurveyType::Unspecified) | Err(_) => Err("must be a known survey type"),
    }
}

pub(crate) fn any_survey_state(raw: i32) -> Result<Option<SurveyState>, &'static str> {
    match pb::SurveyState::try_from(raw) {
        Ok(pb::SurveyState::Unspecified) => Ok(None),
        Ok(pb::SurveyState::Open) => Ok(Some(SurveyState::Open)),
        Ok(pb::SurveyState::Closed) => Ok(Some(SurveyState::Closed)),
        Err(_) => Err("must be a known survey state"),
    }
}

pub(crate) fn channel(raw: i32) -> Result<Channel, &'static str> {
    match pb::InvitationChannel::try_from(raw) {
        Ok(pb::InvitationChannel::Email) => Ok(Channel::Email),
        Ok(pb::InvitationChannel::Sms) => Ok(Channel::Sms),
        Ok(pb::InvitationChannel::App) => Ok(Channel::App),
        Ok(pb::InvitationChannel::Web) => Ok(Channel::Web),
        Ok(pb::InvitationChannel::Phone) => Ok(Channel::Phone),
        Ok(pb::InvitationChannel::Unspecified) | Err(_) => Err("must be a known channel"),
    }
}

pub(crate) fn confidence(raw: i32) -> Result<Confidence, &'static str> {
    match pb::ConfidenceLevel::try_from(raw) {
        Ok(pb::ConfidenceLevel::Unspecified) => Ok(Confidence::default()),
        Ok(pb::ConfidenceLevel::ConfidenceLevel90) => Ok(Confidence::P90),
        Ok(pb::ConfidenceLevel::ConfidenceLevel95) => Ok(Confidence::P95),
        Ok(pb::ConfidenceLevel::ConfidenceLevel99) => Ok(Confidence::P99),
        Err(_) => Err("must be a known confidence level"),
    }
}

pub(crate) fn ticket_type(raw: i32) -> Result<TicketType, &'static str> {
    any_ticket_type(raw)?.ok_or("must be given")
}

pub(crate) fn any_ticket_type(raw: i32) -> Result<Option<TicketType>, &'static str> {
    match pb::TicketType::try_from(raw) {
        Ok(pb::TicketType::Unspecified) => Ok(None),
        Ok(pb::TicketType::Complaint) => Ok(Some(TicketType::Complaint)),
        Ok(pb::TicketType::Suggestion) => Ok(Some(TicketType::Suggestion)),
        Ok(pb::TicketType::Consultation) => Ok(Some(TicketType::Consultation)),
        Err(_) => Err("must be a known ticket type"),
    }
}

pub(crate) fn priority(raw: i32) -> Result<Priority, &'static str> {
    match pb::TicketPriority::try_from(raw) {
        Ok(pb::TicketPriority::Unspecified | pb::TicketPriority::Normal) => Ok(Priority::Normal),
        Ok(pb::TicketPriority::Low) => Ok(Priority::Low),
        Ok(pb::TicketPriority::High) => Ok(Priority::High),
        Ok(pb::TicketPriority::Urgent) => Ok(Priority::Urgent),
        Err(_) => Err("must be a known priority"),
    }
}

pub(crate) fn any_ticket_state(raw: i32) -> Result<Option<State>, &'static str> {
    match pb::TicketState::try_from(raw) {
        Ok(pb::TicketState::Unspecified) => Ok(None),
        Ok(pb::TicketState::New) => Ok(Some(State::New)),
        Ok(pb::TicketState::Assigned) => Ok(Some(State::Assigned)),
        Ok(pb::TicketState::InProgress) => Ok(Some(State::InProgress)),
        Ok(pb::TicketState::Resolved) => Ok(Some(State::Resolved)),
        Ok(pb::TicketState::Closed) => Ok(Some(State::Closed)),
        Err(_) => Err("must be a known ticket state"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_counted_in_characters_and_never_blank_where_required() {
        assert_eq!(text("满意", 1..=2).as_deref(), Ok("满意"));
        for bad in ["", "   ", "abc", "\0"] {
            assert!(text(bad, 1..=2).is_err(), "{bad:?}");
        }
        assert_eq!(text("", 0..=2).as_deref(), Ok(""));
    }

    #[test]
    fn resolution_codes_are_upper_snake() {
        assert!(resolution_code("REFUNDED_2").is_ok());
        for bad in ["", "_A", "refunded", "2A", "A B", &"A".repeat(65)] {
            assert!(resolution_code(bad).is_err(), "{bad:?}");
        }
    }
}
