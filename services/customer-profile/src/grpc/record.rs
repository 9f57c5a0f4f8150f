//! Purchases and interactions as callers send them.

use api::customer::v1 as pb;
use api::r#type::v1::Money as PbMoney;
use chrono::TimeDelta;
use common::ids::{CustomerId, Ids};
use common::money::Money;
use common::time::Timestamp;
use common::validate::Violations;

use crate::domain::{
    AMOUNT_MICROS_MAX, Channel, Interaction, Key, Line, Transaction, line, trimmed,
};

/// Lines of one purchase.
const LINES_MAX: usize = 1000;
const QUANTITY_MAX: i64 = 1_000_000_000;
/// Clocks differ, and some sources know only the day.
const AHEAD_MAX: TimeDelta = TimeDelta::days(1);

/// Where new facts get their ids and the time of recording.
#[derive(Clone, Copy)]
pub struct Stamp<'a> {
    /// For ids.
    pub ids: &'a Ids,
    /// The present.
    pub now: Timestamp,
}

/// A purchase, or everything that is wrong with it.
pub fn transaction(
    stamp: Stamp<'_>,
    transaction: pb::Transaction,
) -> Result<Transaction, Violations> {
    let mut v = Violations::new();
    let customer_id = v.parse(
        "customer_id",
        transaction.customer_id.as_str(),
        CustomerId::parse,
    );
    let key = key(&mut v, &transaction.source, &transaction.external_id);
    let occurred_at = v.check(
        "occurred_at",
        occurred_at(transaction.occurred_at, stamp.now),
    );
    let priced = priced(&mut v, transaction.total, transaction.lines);
    let (Some(customer_id), Some(key), Some(occurred_at), Some((total, lines))) =
        (customer_id, key, occurred_at, priced)
    else {
        return Err(v);
    };
    Ok(Transaction {
        id: stamp.ids.uuid(),
        customer_id,
        key,
        occurred_at,
        total,
        lines,
        recorded_at: stamp.now,
        voided: None,
    })
}

/// An interaction, or everything that is wrong with it.
pub fn interaction(
    stamp: Stamp<'_>,
    interaction: &pb::Interaction,
) -> Result<Interaction, Violations> {
    let mut v = Violations::new();
    let customer_id = v.parse(
        "customer_id",
        interaction.customer_id.as_str(),
        CustomerId::parse,
    );
    let key = key(&mut v, &interaction.source, &interaction.external_id);
    let channel = v.check("channel", channel(interaction.channel));
    let kind = v.check("type", trimmed(&interaction.r#type, 64));
    let subject = v.check("subject", line(&interaction.subject, 500));
    let occurred_at = v.check(
        "occurred_at",
        occurred_at(interaction.occurred_at, stamp.now),
    );
    let (Some(customer_id), Some(key), Some(channel), Some(kind), Some(subject), Some(occurred_at)) =
        (customer_id, key, channel, kind, subject, occurred_at)
    else {
        return Err(v);
    };
    Ok(Interaction {
        id: stamp.ids.uuid(),
        customer_id,
        key,
        channel,
        kind,
        subject,
        occurred_at,
        recorded_at: stamp.now,
    })
}

/// A natural key; fields are recorded as `source` and `external_id`.
pub fn key(v: &mut Violations, source: &str, external_id: &str) -> Option<Key> {
    let source = v.check("source", trimmed(source, 64));
    let external_id = v.check("external_id", trimmed(external_id, 128));
    Some(Key {
        source: source?,
        external_id: external_id?,
    })
}

/// Total and lines, which must agree.
fn priced(
    v: &mut Violations,
    total: Option<PbMoney>,
    raw: Vec<pb::TransactionLine>,
) -> Option<(Money, Vec<Line>)> {
    if raw.len() > LINES_MAX {
        v.add("lines", format!("must be at most {LINES_MAX}"));
        return None;
    }
    let stated = match total {
        None if !raw.is_empty() => None,
        total => Some(v.check("total", amount(total))?),
    };
    let mut sum: Option<Money> = stated.as_ref().map(|total| Money {
        micros: 0,
        ..total.clone()
    });
    let mut lines = Vec::with_capacity(raw.len());
    let count = raw.len();
    for (i, raw) in raw.into_iter().enumerate() {
        let path = |field: &str| format!("lines[{i}].{field}");
        let sku = v.check(path("sku"), line(&raw.sku, 128));
        let category = v.check(path("category"), line(&raw.category, 128));
        let quantity = v.check(path("quantity"), quantity(raw.quantity));
        let amount = v.check(path("amount"), amount(raw.amount));
        let (Some(sku), Some(category), Some(quantity), Some(amount)) =
            (sku, category, quantity, amount)
        else {
            continue;
        };
        let sum = sum.get_or_insert_with(|| Money {
            micros: 0,
            ..amount.clone()
        });
        if amount.currency != sum.currency {
            let currency = &sum.currency;
            v.add(
                path("amount"),
                format!("CURRENCY_MISMATCH: must be in {currency} as the rest"),
            );
            continue;
        }
        // A thousand amounts of at most 10^15 stay far below 2^63.
        sum.micros += amount.micros;
        lines.push(Line {
            sku,
            category,
            quantity,
            amount_micros: amount.micros,
        });
    }
    if lines.len() < count {
        return None;
    }
    let sum = if lines.is_empty() {
        stated.clone()
    } else {
        sum
    }?;
    if stated.is_some_and(|stated| stated != sum) {
        v.add(
            "total",
            format!(
                "must be the sum of the lines, {} micros, or be left out",
                sum.micros
            ),
        );
        return None;
    }
    if sum.micros > AMOUNT_MICROS_MAX {
        v.add(
            "lines",
            format!("must sum up to at most {AMOUNT_MICROS_MAX} micros"),
        );
        return None;
    }
    Some((sum, lines))
}

fn amount(money: Option<PbMoney>) -> Result<Money, String> {
    let money = Money::try_from(money)?;
    if (0..=AMOUNT_MICROS_MAX).contains(&money.micros) {
        return Ok(money);
    }
    Err(format!("must have micros from 0 to {AMOUNT_MICROS_MAX}"))
}

fn quantity(quantity: i64) -> Result<i64, String> {
    if (1..=QUANTITY_MAX).contains(&quantity) {
        return Ok(quantity);
    }
    Err(format!("must be from 1 to {QUANTITY_MAX}"))
}

fn occurred_at(time: Option<prost_types::Timestamp>, now: Timestamp) -> Result<Timestamp, String> {
    let time = Timestamp::try_from(&time.ok_or("must be given")?)?;
    if time > now + AHEAD_MAX {
        return Err(format!("must be at most one day after now, which is {now}"));
    }
    Ok(time)
}

fn channel(channel: i32) -> Result<Channel, String> {
    match pb::Channel::try_from(channel) {
        Ok(pb::Channel::Email) => Ok(Channel::Email),
        Ok(pb::Channel::Phone) => Ok(Channel::Phone),
        Ok(pb::Channel::Sms) => Ok(Channel::Sms),
        Ok(pb::Channel::Chat) => Ok(Channel::Chat),
        Ok(pb::Channel::Web) => Ok(Channel::Web),
        Ok(pb::Channel::App) => Ok(Channel::App),
        Ok(pb::Channel::Store) => Ok(Channel::Store),
        Ok(pb::Channel::Social) => Ok(Channel::Social),
        Ok(pb::Channel::Mail) => Ok(Channel::Mail),
        Ok(pb::Channel::Other) => Ok(Channel::Other),
        Ok(pb::Channel::Unspecified) | Err(_) => Err("must be a known channel".to_owned()),
    }
}
