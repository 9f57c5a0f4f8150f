//! Imports of whole ledgers: cut and resumed, at once, and compared with the ledger they were taken from.

use api::loyalty::v1 as pb;
use chrono::TimeDelta;
use common::time::Timestamp;
use pb::loyalty_service_client::LoyaltyServiceClient;
use pb::{ImportKind, TransactionKind as Kind};
use rstest::rstest;
use testkit::Backend;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::imports::{chunks, header, import, row, send, statuses, verified};
use crate::shop::{Shop, earn};
use crate::sweep::sweep;
use crate::walk::{CUSTOMERS, Dice};

async fn members(backend: Backend) -> Shop {
    let shop = Shop::open(backend).await;
    for customer in CUSTOMERS {
        shop.created(customer).await;
    }
    shop.caught_up().await;
    shop
}

/// Rows of three members in turn: each earns ten and spends three, again and again.
fn rows(count: i64) -> Vec<pb::ImportRow> {
    let start = testkit::time("1996-01-01T00:00:00Z");
    let row = |number: i64| {
        let kind = match number % 2 {
            0 => ImportKind::Redeem,
            _ => ImportKind::Earn,
        };
        let customer = usize::try_from((number - 1) / 2).unwrap() % CUSTOMERS.len();
        let occurred_at = start + TimeDelta::minutes(number);
        pb::ImportRow {
            customer_id: CUSTOMERS[customer].to_owned(),
            points: if number % 2 == 0 { 3 } else { 10 },
            occurred_at: Some(occurred_at.into()),
            expires_at: (number % 2 == 1).then(|| (occurred_at + TimeDelta::days(4000)).into()),
            ..row(number, kind, 0, "1996-01-01T00:00:00Z")
        }
    };
    (1..=count).map(row).collect()
}

async fn balances(shop: &mut Shop) -> Vec<(i64, i64, i64)> {
    let mut balances = Vec::new();
    for customer in CUSTOMERS {
        balances.push(shop.balance(customer).await);
    }
    balances
}

/// The caller goes away after some answers, the server dies and comes back: the caller begins anew, or goes on after
/// the last answer, with the same result.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_stream_is_resumed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(true, false)] from_the_start: bool,
) {
    let mut shop = members(backend).await;
    let rows = rows(120);
    let (sender, receiver) = mpsc::channel(1);
    let mut client = shop.client.clone();
    let stream = ReceiverStream::new(receiver);
    let mut answers = client
        .import_transactions(stream)
        .await
        .unwrap()
        .into_inner();
    let mut all = chunks(header(), &rows, 10).into_iter();
    let mut answered = 0;
    for chunk in all.by_ref().take(4) {
        sender.send(chunk).await.unwrap();
        answered = answers.message().await.unwrap().unwrap().last_row;
    }
    // This one may or may not be committed: nobody hears of it.
    sender.send(all.next().unwrap()).await.unwrap();
    drop(answers);
    shop.server.kill().await;
    shop.server = shop.server.restart().await;
    shop.client = LoyaltyServiceClient::new(shop.server.channel());
    assert_eq!(answered, 40);

    let rest: Vec<_> = rows
        .iter()
        .filter(|row| from_the_start || row.row > answered)
        .cloned()
        .collect();
    let told = send(&shop, chunks(header(), &rest, 10)).await;
    let outcomes: Vec<_> = told
        .into_iter()
        .flat_map(|it| it.unwrap().outcomes)
        .collect();
    assert_eq!(outcomes.len(), rest.len());
    let refused = outcomes.iter().find(|it| !it.reason.is_empty());
    assert_eq!(refused, None);
    if from_the_start {
        let known = statuses(&outcomes[..40]);
        assert_eq!(known, [pb::ImportRowStatus::AlreadyImported; 40]);
    }
    assert_eq!(balances(&mut shop).await, [(140, 0, 0); 3]);
    let again = import(&shop, header(), &rows).await;
    assert_eq!(
        statuses(&again),
        [pb::ImportRowStatus::AlreadyImported; 120]
    );
    verified(&shop).await;
}

/// Several callers send the same ledger at once, while the members spend: each row is there once.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_same_import_at_once_is_one(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = members(backend).await;
    for customer in CUSTOMERS {
        shop.earn(customer, 500, &format!("of {customer}")).await;
    }
    let rows = rows(300);
    let mut callers = tokio::task::JoinSet::new();
    for size in [7, 20, 50] {
        let (mut client, chunks) = (shop.client.clone(), chunks(header(), &rows, size));
        callers.spawn(async move {
            let answers = client.import_transactions(tokio_stream::iter(chunks)).await;
            let mut answers = answers.unwrap().into_inner();
            let mut imported = 0;
            while let Some(answer) = answers.message().await.unwrap() {
                for outcome in answer.outcomes {
                    assert_eq!(outcome.reason, "");
                    let is_new = outcome.status() == pb::ImportRowStatus::Imported;
                    imported += usize::from(is_new);
                }
            }
            imported
        });
    }
    for n in 0..20 {
        shop.redeem(CUSTOMERS[n % 3], 5).await.unwrap();
    }
    let imported: usize = callers.join_all().await.into_iter().sum();
    assert_eq!(imported, rows.len());
    let left: i64 = balances(&mut shop).await.iter().map(|it| it.0).sum();
    assert_eq!(left, 3 * 500 + 150 * 7 - 20 * 5);
    verified(&shop).await;
}

/// What is done in the service that the ledger is taken from.
async fn live(shop: &mut Shop, dice: &mut Dice, n: usize) {
    let customer = CUSTOMERS[n % CUSTOMERS.len()].to_owned();
    let now = shop.server.platform.now();
    let number = |dice: &mut Dice, sides| i64::try_from(dice.roll(sides)).unwrap() + 1;
    match dice.roll(9) {
        0..=2 => {
            let activates = now + TimeDelta::days(number(dice, 5) - 3).max(TimeDelta::zero());
            let expires = activates + TimeDelta::days(number(dice, 30));
            let request = pb::EarnPointsRequest {
                activates_at: Some(activates.into()),
                expires_at: (dice.roll(4) > 0).then(|| expires.into()),
                ..earn(&customer, number(dice, 90), &format!("s{n}"))
            };
            shop.try_earn(request).await.unwrap();
        }
        3..=5 => drop(shop.redeem(&customer, number(dice, 70)).await),
        6 | 7 => {
            let request = pb::AdjustPointsRequest {
                customer_id: customer,
                points: number(dice, 60) - 31,
                reason_code: "GOODWILL".to_owned(),
                ..Default::default()
            };
            drop(shop.client.adjust_points(request).await);
        }
        _ => drop(sweep(shop).await),
    }
}

/// A member's ledger as rows: what it tells, and the lots that its postings made.
async fn exported(shop: &mut Shop, customer: &str) -> Vec<pb::ImportRow> {
    let lots = shop.lots(customer).await;
    let mut postings = shop.transactions(customer).await;
    postings.reverse();
    let mut rows = Vec::new();
    for posting in postings {
        let lot = lots
            .iter()
            .find(|lot| lot.transaction_id == posting.transaction_id);
        let kind = match posting.kind() {
            Kind::Earn => ImportKind::Earn,
            Kind::Redeem => ImportKind::Redeem,
            Kind::Expire => ImportKind::Expire,
            Kind::Adjust => ImportKind::Adjust,
            other => panic!("no {other:?} was made"),
        };
        let is_adjusted = kind == ImportKind::Adjust;
        rows.push(pb::ImportRow {
            customer_id: customer.to_owned(),
            external_id: posting.transaction_id,
            kind: kind.into(),
            points: if is_adjusted {
                posting.points
            } else {
                posting.points.abs()
            },
            occurred_at: posting.occurred_at,
            recorded_at: posting.posted_at,
            activates_at: lot
                .filter(|_| !is_adjusted)
                .and_then(|lot| lot.activates_at),
            expires_at: lot.and_then(|lot| lot.expires_at),
            reason_code: posting.reason_code,
            actor: posting.actor,
            ..Default::default()
        });
    }
    rows
}

/// Lots without what a service names by itself.
async fn nameless_lots(shop: &mut Shop, customer: &str) -> Vec<pb::Lot> {
    let nameless = |lot| pb::Lot {
        lot_id: String::new(),
        transaction_id: String::new(),
        ..lot
    };
    shop.lots(customer)
        .await
        .into_iter()
        .map(nameless)
        .collect()
}

/// A ledger that is imported row by row is the one that the same calls made at those instants.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_imported_ledger_is_the_one_it_was_taken_from(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(1, 2, 3)] seed: u64,
) {
    let mut theirs = members(backend).await;
    let mut dice = Dice::new(seed);
    for n in 0..120 {
        theirs.server.clock.advance(TimeDelta::hours(7));
        live(&mut theirs, &mut dice, n).await;
    }
    let mut rows = Vec::new();
    for customer in CUSTOMERS {
        rows.extend(exported(&mut theirs, customer).await);
    }
    let when = |row: &pb::ImportRow| Timestamp::try_from(&row.occurred_at.unwrap()).unwrap();
    rows.sort_by_key(when);
    for (number, row) in (1..).zip(&mut rows) {
        row.row = number;
    }

    let mut ours = members(backend).await;
    let now = theirs.server.platform.now();
    ours.server.clock.set(now);
    let answers = send(&ours, chunks(header(), &rows, 17)).await;
    let outcomes: Vec<_> = answers
        .into_iter()
        .flat_map(|it| it.unwrap().outcomes)
        .collect();
    let refused: Vec<_> = outcomes.iter().filter(|it| !it.reason.is_empty()).collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert!(outcomes.len() > 60);
    verified(&ours).await;

    let start = testkit::time(crate::shop::NOW);
    for customer in CUSTOMERS {
        for days in 0..45 {
            let as_of = Some(start + TimeDelta::days(days));
            let told = theirs.balance_at(customer, as_of).await;
            assert_eq!(
                ours.balance_at(customer, as_of).await,
                told,
                "{customer} {days}"
            );
        }
        let (our_tier, their_tier) = (ours.tier(customer).await, theirs.tier(customer).await);
        assert_eq!(
            (
                our_tier.tier,
                our_tier.qualifying_points,
                our_tier.valid_until
            ),
            (
                their_tier.tier,
                their_tier.qualifying_points,
                their_tier.valid_until
            )
        );
    }
    // Theirs may have noticed more of what time has done.
    for shop in [&theirs, &ours] {
        sweep(shop).await;
    }
    for customer in CUSTOMERS {
        let told = nameless_lots(&mut theirs, customer).await;
        assert_eq!(nameless_lots(&mut ours, customer).await, told, "{customer}");
    }
}

/// Rows out of order are refused or taken by what was there, and every ledger stays sound.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn rows_in_any_order_keep_every_running_balance(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(5, 6)] seed: u64,
) {
    let mut shop = members(backend).await;
    shop.server.clock.set(testkit::time("1998-09-01T00:00:00Z"));
    let mut dice = Dice::new(seed);
    let start = testkit::time("1998-07-02T00:00:00Z");
    let mut rows = Vec::new();
    for number in 1..=150 {
        let number_below = |dice: &mut Dice, sides| i64::try_from(dice.roll(sides)).unwrap();
        let occurred_at = start + TimeDelta::hours(number_below(&mut dice, 1400));
        let customer = CUSTOMERS[usize::try_from(dice.roll(3)).unwrap()];
        let points = number_below(&mut dice, 60) + 1;
        let made = match dice.roll(6) {
            0..=2 => pb::ImportRow {
                expires_at: (dice.roll(3) > 0).then(|| (occurred_at + TimeDelta::days(12)).into()),
                ..row(number, ImportKind::Earn, points, crate::shop::NOW)
            },
            3 => pb::ImportRow {
                force: true,
                reason: "their books are right".to_owned(),
                ..row(number, ImportKind::Redeem, points, crate::shop::NOW)
            },
            4 => row(number, ImportKind::Redeem, points, crate::shop::NOW),
            _ => row(number, ImportKind::Adjust, -points, crate::shop::NOW),
        };
        rows.push(pb::ImportRow {
            customer_id: customer.to_owned(),
            occurred_at: Some(occurred_at.into()),
            ..made
        });
    }
    let answers = send(&shop, chunks(header(), &rows, 25)).await;
    let outcomes: Vec<_> = answers
        .into_iter()
        .flat_map(|it| it.unwrap().outcomes)
        .collect();
    let imported = statuses(&outcomes);
    let imported = imported
        .iter()
        .filter(|it| **it == pb::ImportRowStatus::Imported);
    assert!(imported.count() > 50);
    verified(&shop).await;
    for customer in CUSTOMERS {
        for days in 0..70 {
            let as_of = Some(start + TimeDelta::days(days));
            let (available, pending, debt) = shop.balance_at(customer, as_of).await;
            assert!(
                available >= 0 && pending >= 0 && debt >= 0,
                "{customer} {days}"
            );
        }
        assert!(shop.balance(customer).await.0 == 0 || shop.balance(customer).await.2 == 0);
    }
}
