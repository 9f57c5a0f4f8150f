//! What the rules refuse, as callers are refused it.

use super::Error;
use crate::domain::adjust::Unapproved;
use crate::domain::extension;
use crate::domain::holds;
use crate::domain::lines;
use crate::domain::plan::Refused;
use crate::domain::reversal;

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Insufficient { available } => Self::InsufficientPoints { available },
            Refused::TooManyPoints => Self::PointsLimit,
        }
    }
}

impl From<Unapproved> for Error {
    fn from(unapproved: Unapproved) -> Self {
        match unapproved {
            Unapproved::Missing { limit } => Self::ApprovalRequired { limit },
            Unapproved::BySelf => Self::SelfApproval,
        }
    }
}

impl From<reversal::Refused> for Error {
    fn from(refused: reversal::Refused) -> Self {
        match refused {
            reversal::Refused::Nothing => Self::NothingToReverse,
            reversal::Refused::Exceeded { reversible } => Self::ReversalExceeded { reversible },
            reversal::Refused::NotCovered { reversible } => Self::ReversalNotCovered { reversible },
        }
    }
}

impl From<lines::Refused> for Error {
    fn from(refused: lines::Refused) -> Self {
        match refused {
            lines::Refused::Unknown { line_id } => Self::LineNotFound(line_id),
            lines::Refused::Already { line_id } => Self::LineAlreadyReversed(line_id),
            lines::Refused::Exceeded { line_id, left } => Self::LineExceeded { line_id, left },
        }
    }
}

impl From<extension::Refused> for Error {
    fn from(refused: extension::Refused) -> Self {
        match refused {
            extension::Refused::Expired => Self::LotExpired,
            extension::Refused::NotLater => Self::ExpiryNotLater,
        }
    }
}

impl From<holds::Refused> for Error {
    fn from(refused: holds::Refused) -> Self {
        match refused {
            holds::Refused::Captured => Self::HoldCaptured,
            holds::Refused::Voided => Self::HoldVoided,
            holds::Refused::Expired => Self::HoldExpired,
            holds::Refused::Exceeded { held } => Self::HoldExceeded { held },
        }
    }
}
