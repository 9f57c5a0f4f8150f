//! Lines of earnings, and what belongs to those that are returned.

use api::loyalty::v1 as pb;
use pb::returned_line::Share;
use tonic::Code;

use super::member::Line;
use crate::answers::Refusal;

/// Notes what is returned.
pub fn give_back(lines: &mut [Line], returned: &pb::ReturnedLines) -> Result<(), Refusal> {
    for asked in &returned.lines {
        let line = lines.iter_mut().find(|line| line.id == asked.line_id);
        let line = line.ok_or_else(|| unknown(&asked.line_id))?;
        let left = (line.weight - line.returned.0, line.pieces - line.returned.1);
        if left.0 == 0 {
            let refusal = Refusal::new(Code::FailedPrecondition, "LINE_ALREADY_REVERSED");
            return Err(refusal.with("line_id", &line.id));
        }
        let too_few = |left: i64| {
            let refusal = Refusal::new(Code::FailedPrecondition, "LINE_EXCEEDED");
            refusal.with("line_id", &asked.line_id).with("left", left)
        };
        match asked.share {
            None => line.returned = (line.weight, line.pieces),
            Some(Share::Weight(weight)) if weight > left.0 => return Err(too_few(left.0)),
            Some(Share::Weight(weight)) => line.returned.0 += weight,
            Some(Share::Quantity(pieces)) if pieces > left.1 => return Err(too_few(left.1)),
            Some(Share::Quantity(pieces)) => {
                line.returned.1 += pieces;
                // All pieces together weigh what the line does.
                let weight = line.weight * line.returned.1 / line.pieces;
                line.returned.0 = line.returned.0.max(weight);
            }
        }
    }
    Ok(())
}

/// The part of an earning that belongs to all that was returned so far, rounded down.
pub fn share(lines: &[Line], earned: i64) -> i64 {
    let (returned, whole) = returned(lines);
    let share = i128::from(earned) * returned / whole;
    i64::try_from(share).expect("not more than was earned")
}

/// The weight of all that was returned so far, and that of all lines.
pub fn returned(lines: &[Line]) -> (i128, i128) {
    let returned = lines.iter().map(|line| i128::from(line.returned.0));
    let whole = lines.iter().map(|line| i128::from(line.weight));
    (returned.sum(), whole.sum())
}

pub fn unknown(line_id: &str) -> Refusal {
    Refusal::new(Code::NotFound, "LINE_NOT_FOUND").with("line_id", line_id)
}

pub fn shown(line: &Line) -> pb::EarningLine {
    pb::EarningLine {
        line_id: line.id.clone(),
        weight: line.weight,
        quantity: line.pieces,
        returned_weight: line.returned.0,
        returned_quantity: line.returned.1,
    }
}
