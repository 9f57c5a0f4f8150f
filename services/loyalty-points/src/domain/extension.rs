//! Lots that can be spent for longer.

use common::time::Timestamp;

use super::lots::Lot;

/// Why a lot stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It has expired.
    Expired,
    /// It expires then or later, or never.
    NotLater,
}

/// Moves a lot's expiry to a later instant; returns the one it had.
pub fn extend(lot: &mut Lot, to: Timestamp, now: Timestamp) -> Result<Timestamp, Refused> {
    let Some(from) = lot.expires_at else {
        return Err(Refused::NotLater);
    };
    if lot.has_expired(now) {
        return Err(Refused::Expired);
    }
    if to <= from {
        return Err(Refused::NotLater);
    }
    lot.expires_at = Some(to);
    Ok(from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::fixtures::{at, lot};

    #[test]
    fn expiry_only_ever_moves_later_and_only_before_it_comes() {
        let until_five = || Lot {
            expires_at: Some(at(5)),
            ..lot("a", 10)
        };
        let mut extended = until_five();
        assert_eq!(extend(&mut extended, at(6), at(4)), Ok(at(5)));
        assert_eq!(extended.expires_at, Some(at(6)));
        for (to, now, refused) in [
            (5, 4, Refused::NotLater),
            (4, 3, Refused::NotLater),
            (9, 5, Refused::Expired),
        ] {
            let mut kept = until_five();
            assert_eq!(extend(&mut kept, at(to), at(now)), Err(refused));
            assert_eq!(kept, until_five());
        }
        let mut unlimited = lot("a", 10);
        assert_eq!(extend(&mut unlimited, at(9), at(1)), Err(Refused::NotLater));
    }
}
