//! Surveys, and whether an invitation may still be answered.

use std::ops::RangeInclusive;

use common::time::Timestamp;

use super::Named;

/// What a survey measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SurveyType {
    /// Net promoter score.
    Nps,
    /// Customer satisfaction.
    Csat,
}

impl Named for SurveyType {
    const NAMES: &'static [(Self, &'static str)] = &[(Self::Nps, "NPS"), (Self::Csat, "CSAT")];
}

impl SurveyType {
    /// The scores it takes.
    pub fn scores(self) -> RangeInclusive<i32> {
        match self {
            Self::Nps => 0..=10,
            Self::Csat => 1..=5,
        }
    }
}

/// Whether a survey takes responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SurveyState {
    /// It does.
    Open,
    /// No more.
    Closed,
}

/// How an invitation reaches the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// By e-mail.
    Email,
    /// By text message.
    Sms,
    /// In the enterprise's app.
    App,
    /// On a web page.
    Web,
    /// On the telephone.
    Phone,
}

impl Named for Channel {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::Email, "EMAIL"),
        (Self::Sms, "SMS"),
        (Self::App, "APP"),
        (Self::Web, "WEB"),
        (Self::Phone, "PHONE"),
    ];
}

/// What decides whether an invitation may be answered.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// It has its response.
    pub completed: bool,
    /// It was taken back.
    pub revoked: bool,
    /// When its time is up.
    pub expires_at: Timestamp,
}

/// Where an invitation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvitationState {
    /// It may be answered.
    Issued,
    /// It was answered.
    Completed,
    /// It was taken back.
    Revoked,
    /// Its time is up.
    Expired,
}

/// An answer outlasts expiry, and what was taken back stays so. The moment of expiry is already too
/// late.
pub fn state(standing: Standing, now: Timestamp) -> InvitationState {
    if standing.completed {
        InvitationState::Completed
    } else if standing.revoked {
        InvitationState::Revoked
    } else if now >= standing.expires_at {
        InvitationState::Expired
    } else {
        InvitationState::Issued
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_expires_at_its_very_moment() {
        let standing = Standing {
            completed: false,
            revoked: false,
            expires_at: Timestamp::from_micros(10),
        };
        assert_eq!(
            state(standing, Timestamp::from_micros(9)),
            InvitationState::Issued
        );
        assert_eq!(
            state(standing, Timestamp::from_micros(10)),
            InvitationState::Expired
        );
        let completed = Standing {
            completed: true,
            ..standing
        };
        assert_eq!(
            state(completed, Timestamp::from_micros(11)),
            InvitationState::Completed
        );
        let revoked = Standing {
            revoked: true,
            ..standing
        };
        assert_eq!(
            state(revoked, Timestamp::from_micros(11)),
            InvitationState::Revoked
        );
    }

    #[test]
    fn every_value_has_a_name() {
        for survey in [SurveyType::Nps, SurveyType::Csat] {
            assert_eq!(SurveyType::named(survey.name()), Some(survey));
        }
        for channel in [
            Channel::Email,
            Channel::Sms,
            Channel::App,
            Channel::Web,
            Channel::Phone,
        ] {
            assert_eq!(Channel::named(channel.name()), Some(channel));
        }
        assert_eq!(Channel::named("PIGEON"), None);
    }
}
