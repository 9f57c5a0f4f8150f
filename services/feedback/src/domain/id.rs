use std::fmt;
use std::marker::PhantomData;

use common::ids::Ids;

/// A UUID in canonical text form that names one kind of thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id<Of> {
    text: String,
    of: PhantomData<Of>,
}

/// What a [`SurveyId`] names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Survey {}
/// What an [`InvitationId`] names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invitation {}
/// What a [`ResponseId`] names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Response {}
/// What a [`TicketId`] names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ticket {}

/// Names a survey.
pub type SurveyId = Id<Survey>;
/// Names an invitation.
pub type InvitationId = Id<Invitation>;
/// Names a response.
pub type ResponseId = Id<Response>;
/// Names a ticket.
pub type TicketId = Id<Ticket>;

impl<Of> Id<Of> {
    /// A new one.
    pub fn new(ids: &Ids) -> Self {
        Self::parse(&ids.uuid()).expect("our own UUIDs have the canonical form")
    }

    /// Checks the form: 36 characters, lower-case hexadecimal with hyphens.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fits = |(at, byte): (usize, u8)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        };
        if text.len() != 36 || !text.bytes().enumerate().all(fits) {
            return Err("must be a UUID as the server returned it".to_owned());
        }
        Ok(Self {
            text: text.to_owned(),
            of: PhantomData,
        })
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl<Of> fmt::Display for Id<Of> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// For rows read from the database.
impl<Of> TryFrom<String> for Id<Of> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_uuids_are_ids() {
        let good = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(SurveyId::parse(good).unwrap().as_str(), good);
        for bad in [
            "",
            "x",
            &good[1..],
            &good.to_uppercase(),
            &good.replace('-', "0"),
        ] {
            assert!(SurveyId::parse(bad).is_err(), "{bad}");
        }
    }
}
