//! The lines of what was bought, by which an earning can be taken back in parts.
//!
//! Invariant: of no line more is returned than there is, in whatever parts; once all of every line is returned, so is
//! all of the earning.

use super::reversal::Extent;

/// Lines that one earning has at most.
pub const LINES_MAX: usize = 1000;
/// The most that one line weighs: a thousand of them stay far below the range of `i64`.
pub const WEIGHT_MAX: i64 = 1_000_000_000_000_000;
/// The most pieces in one line.
pub const QUANTITY_MAX: i64 = 1_000_000_000;

/// One line, and what of it was returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its identifier, unique in the earning.
    pub line_id: String,
    /// What it counts beside the others: its amount, or its points. At least 1.
    pub weight: i64,
    /// Pieces; at least 1.
    pub quantity: i64,
    /// Weight returned.
    pub returned_weight: i64,
    /// Pieces returned, as far as returns were told in pieces.
    pub returned_quantity: i64,
}

/// How much of a line is returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// All that was not returned yet.
    Rest,
    /// So much of its weight; at least 1.
    Weight(i64),
    /// So many of its pieces; at least 1.
    Quantity(i64),
}

/// A return of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Return {
    /// The line.
    pub line_id: String,
    /// How much of it.
    pub share: Share,
}

/// Why nothing is returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// There is no such line.
    Unknown {
        /// Which.
        line_id: String,
    },
    /// All of it was returned before.
    Already {
        /// Which.
        line_id: String,
    },
    /// Less of it is left.
    Exceeded {
        /// Which.
        line_id: String,
        /// So much weight, or so many pieces: as was asked for.
        left: i64,
    },
}

impl Line {
    fn give_back(&mut self, share: Share) -> Result<(), Refused> {
        let line_id = || self.line_id.clone();
        let left = self.weight - self.returned_weight;
        let pieces_left = self.quantity - self.returned_quantity;
        if left == 0 {
            return Err(Refused::Already { line_id: line_id() });
        }
        match share {
            Share::Weight(weight) if weight > left => Err(Refused::Exceeded {
                line_id: line_id(),
                left,
            }),
            Share::Quantity(pieces) if pieces > pieces_left => Err(Refused::Exceeded {
                line_id: line_id(),
                left: pieces_left,
            }),
            Share::Weight(weight) => {
                self.returned_weight += weight;
                Ok(())
            }
            Share::Quantity(pieces) => {
                self.returned_quantity += pieces;
                let by_pieces = self.weight_of(self.returned_quantity);
                self.returned_weight = self.returned_weight.max(by_pieces);
                Ok(())
            }
            Share::Rest => {
                self.returned_weight = self.weight;
                self.returned_quantity = self.quantity;
                Ok(())
            }
        }
    }

    /// The weight of so many pieces, rounded down: all of them weigh what the line does.
    fn weight_of(&self, pieces: i64) -> i64 {
        let share = i128::from(self.weight) * i128::from(pieces) / i128::from(self.quantity);
        i64::try_from(share).unwrap_or(self.weight)
    }
}

/// Returns parts of lines, each line named at most once.
pub fn give_back(lines: &mut [Line], returns: &[Return]) -> Result<(), Refused> {
    for asked in returns {
        let line = lines.iter_mut().find(|line| line.line_id == asked.line_id);
        let Some(line) = line else {
            let line_id = asked.line_id.clone();
            return Err(Refused::Unknown { line_id });
        };
        line.give_back(asked.share)?;
    }
    Ok(())
}

/// How much of an earning belongs to what of its lines was returned so far.
pub fn extent(lines: &[Line]) -> Extent {
    Extent::Returned {
        original: lines.iter().map(|line| line.weight).sum(),
        returned: lines.iter().map(|line| line.returned_weight).sum(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::plan::fixtures::lot;
    use crate::domain::reversal::{Before, Refused as Undue, due};

    fn line(line_id: &str, weight: i64, quantity: i64) -> Line {
        Line {
            line_id: line_id.to_owned(),
            weight,
            quantity,
            returned_weight: 0,
            returned_quantity: 0,
        }
    }

    fn give(line: &mut Line, share: Share) -> Result<i64, Refused> {
        let before = line.returned_weight;
        line.give_back(share)?;
        Ok(line.returned_weight - before)
    }

    #[test]
    fn pieces_weigh_together_what_their_line_does() {
        let mut three = line("a", 100, 3);
        let weights = [1, 1, 1].map(|pieces| give(&mut three, Share::Quantity(pieces)));
        assert_eq!(weights, [Ok(33), Ok(33), Ok(34)]);
        let already = Refused::Already {
            line_id: "a".to_owned(),
        };
        assert_eq!(give(&mut three, Share::Rest), Err(already));
    }

    #[test]
    fn no_more_is_returned_than_is_left() {
        let exceeded = |left| {
            Err(Refused::Exceeded {
                line_id: "a".to_owned(),
                left,
            })
        };
        let mut some = line("a", 100, 4);
        assert_eq!(give(&mut some, Share::Weight(101)), exceeded(100));
        assert_eq!(give(&mut some, Share::Quantity(5)), exceeded(4));
        assert_eq!(give(&mut some, Share::Weight(30)), Ok(30));
        assert_eq!(give(&mut some, Share::Weight(71)), exceeded(70));
        // The weight of the first piece is among what was returned by weight.
        assert_eq!(give(&mut some, Share::Quantity(1)), Ok(0));
        assert_eq!(give(&mut some, Share::Quantity(1)), Ok(20));
        assert_eq!(give(&mut some, Share::Quantity(3)), exceeded(2));
        assert_eq!(give(&mut some, Share::Rest), Ok(50));
        let unknown = Return {
            line_id: "b".to_owned(),
            share: Share::Rest,
        };
        let refused = give_back(&mut [some], &[unknown]);
        assert_eq!(
            refused,
            Err(Refused::Unknown {
                line_id: "b".to_owned()
            })
        );
    }

    fn share() -> impl Strategy<Value = Share> {
        prop_oneof![
            Just(Share::Rest),
            (1_i64..60).prop_map(Share::Weight),
            (1_i64..6).prop_map(Share::Quantity),
        ]
    }

    proptest! {
        /// L6: whichever parts of whichever lines are returned in whichever order, what was taken back is always
        /// `floor(earned * returned / original)`, never more than was earned, and in the end exactly that.
        #[test]
        fn lines_returned_in_any_order_take_back_exactly_what_was_earned(
            earned in 1_i64..5_000,
            sizes in prop::collection::vec((1_i64..200, 1_i64..8), 1..8),
            steps in prop::collection::vec((any::<prop::sample::Index>(), share()), 0..40),
            rest in any::<prop::sample::Index>(),
            by_points in 0_i64..50,
        ) {
            let mut lines: Vec<_> = (0..).zip(&sizes)
                .map(|(n, (weight, quantity))| line(&format!("{n}"), *weight, *quantity))
                .collect();
            let lot = lot("a", earned);
            let original: i64 = sizes.iter().map(|(weight, _)| weight).sum();
            // What was taken back by number of points counts against the lines.
            let first = by_points.min(earned);
            let mut reversed = first;
            let begin = rest.index(lines.len());
            let count = lines.len();
            let finish = (0..count).map(|n| ((begin + n) % count, Share::Rest));
            let steps = steps.into_iter().map(|(which, share)| (which.index(count), share));
            for (n, share) in steps.chain(finish) {
                let before = lines[n].clone();
                let asked = Return { line_id: before.line_id.clone(), share };
                if give_back(&mut lines, &[asked]).is_err() {
                    prop_assert_eq!(&lines[n], &before);
                    continue;
                }
                prop_assert!(lines[n].returned_weight >= before.returned_weight);
                prop_assert!((0..=lines[n].weight).contains(&lines[n].returned_weight));
                prop_assert!((0..=lines[n].quantity).contains(&lines[n].returned_quantity));
                let so_far = Before { reversed, adjusted: 0 };
                reversed += match due(extent(&lines), &lot, so_far) {
                    Ok(points) => points,
                    Err(refused) => {
                        prop_assert_eq!(refused, Undue::Nothing);
                        0
                    }
                };
                let returned: i64 = lines.iter().map(|line| line.returned_weight).sum();
                prop_assert_eq!(reversed, (earned * returned / original).max(first));
                prop_assert!(reversed <= earned);
            }
            prop_assert_eq!(reversed, earned);
            for line in &mut lines {
                let refused = line.give_back(Share::Rest);
                prop_assert!(matches!(refused, Err(Refused::Already { .. })), "{:?}", refused);
            }
        }
    }
}
