//! The lines of earnings, as earned and as returned; every violation is collected.

use std::collections::HashSet;

use api::loyalty::v1 as pb;
use common::validate::Violations;

use super::parse;
use crate::domain::lines::{LINES_MAX, Line, QUANTITY_MAX, Return, Share, WEIGHT_MAX};

/// What an earning is for.
pub fn earned(v: &mut Violations, raw: Vec<pb::EarnedLine>) -> Option<Vec<Line>> {
    if raw.len() > LINES_MAX {
        v.add("lines", format!("must be at most {LINES_MAX}"));
        return None;
    }
    let (mut lines, mut seen) = (Vec::with_capacity(raw.len()), HashSet::new());
    for (n, raw) in raw.into_iter().enumerate() {
        let line_id = line_id(v, &format!("lines[{n}].line_id"), raw.line_id, &mut seen);
        let weight = number(v, &format!("lines[{n}].weight"), raw.weight, 1..=WEIGHT_MAX);
        let field = format!("lines[{n}].quantity");
        let quantity = number(v, &field, raw.quantity, 0..=QUANTITY_MAX);
        if let (Some(line_id), Some(weight), Some(quantity)) = (line_id, weight, quantity) {
            lines.push(Line {
                line_id,
                weight,
                quantity: quantity.max(1),
                returned_weight: 0,
                returned_quantity: 0,
            });
        }
    }
    Some(lines)
}

/// What of an earning is returned.
pub fn returned(v: &mut Violations, raw: Vec<pb::ReturnedLine>) -> Option<Vec<Return>> {
    use pb::returned_line::Share as Raw;
    if !(1..=LINES_MAX).contains(&raw.len()) {
        v.add("lines.lines", format!("must be 1 to {LINES_MAX}"));
        return None;
    }
    let (mut returns, mut seen) = (Vec::with_capacity(raw.len()), HashSet::new());
    for (n, raw) in raw.into_iter().enumerate() {
        let of_line = |field: &str| format!("lines.lines[{n}].{field}");
        let line_id = line_id(v, &of_line("line_id"), raw.line_id, &mut seen);
        let share = match raw.share {
            None => Some(Share::Rest),
            Some(Raw::Quantity(pieces)) => {
                number(v, &of_line("quantity"), pieces, 1..=QUANTITY_MAX).map(Share::Quantity)
            }
            Some(Raw::Weight(weight)) => {
                number(v, &of_line("weight"), weight, 1..=WEIGHT_MAX).map(Share::Weight)
            }
        };
        if let (Some(line_id), Some(share)) = (line_id, share) {
            returns.push(Return { line_id, share });
        }
    }
    Some(returns)
}

/// A line as the caller sees it.
pub fn present(line: Line) -> pb::EarningLine {
    pb::EarningLine {
        line_id: line.line_id,
        weight: line.weight,
        quantity: line.quantity,
        returned_weight: line.returned_weight,
        returned_quantity: line.returned_quantity,
    }
}

fn line_id(
    v: &mut Violations,
    field: &str,
    raw: String,
    seen: &mut HashSet<String>,
) -> Option<String> {
    let line_id = parse::text(v, field, raw, 1..=128)?;
    if !seen.insert(line_id.clone()) {
        v.add(field, "must be named once");
        return None;
    }
    Some(line_id)
}

fn number(
    v: &mut Violations,
    field: &str,
    raw: i64,
    range: std::ops::RangeInclusive<i64>,
) -> Option<i64> {
    if range.contains(&raw) {
        return Some(raw);
    }
    let (from, to) = range.into_inner();
    v.add(field, format!("must be {from} to {to}"));
    None
}
