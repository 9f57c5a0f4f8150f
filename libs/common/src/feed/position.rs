//! Positions as callers see them: opaque, versioned, bound to a feed and its epoch.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::Error;

const VERSION: &str = "1";

/// A place in the feed of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Whose feed.
    pub source: String,
    /// Which life of the database.
    pub epoch: String,
    /// Everything up to and with this number has been read.
    pub number: i64,
}

impl Position {
    /// As the text that callers pass around.
    pub fn encode(&self) -> String {
        let Self {
            source,
            epoch,
            number,
        } = self;
        URL_SAFE_NO_PAD.encode(format!("{VERSION}:{source}:{epoch}:{number}"))
    }

    /// Reads the text back.
    pub fn decode(text: &str) -> Result<Self, Error> {
        Self::parse(text).ok_or(Error::InvalidPosition)
    }

    fn parse(text: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = text.split(':');
        let (version, source, epoch, number) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let number = number.parse().ok().filter(|number| *number >= 0)?;
        if version != VERSION || parts.next().is_some() {
            return None;
        }
        Some(Self {
            source: source.to_owned(),
            epoch: epoch.to_owned(),
            number,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_survive_the_round_trip() {
        let position = Position {
            source: "customer".to_owned(),
            epoch: "e-1".to_owned(),
            number: 42,
        };
        assert_eq!(Position::decode(&position.encode()).unwrap(), position);
    }

    #[test]
    fn foreign_text_is_no_position() {
        for bad in [
            "",
            "x",
            "!!",
            &URL_SAFE_NO_PAD.encode("1:a:b:-1"),
            &URL_SAFE_NO_PAD.encode("2:a:b:1"),
        ] {
            assert!(Position::decode(bad).is_err(), "{bad}");
        }
    }
}
