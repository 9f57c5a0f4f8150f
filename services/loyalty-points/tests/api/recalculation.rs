//! A program's tiers, decided anew in a stream.

use api::loyalty::v1 as pb;
use pb::TierChangeReason::{AgedOut, OverrideEnded};
use rstest::rstest;
use testkit::{Backend, assert_refused, time, violations};
use tonic::{Code, Status};

use crate::shop::{Purchase, Shop};

async fn try_recalculate(
    shop: &mut Shop,
    request: pb::RecalculateTiersRequest,
) -> Result<Vec<pb::RecalculateTiersResponse>, Status> {
    let mut stream = shop.client.recalculate_tiers(request).await?.into_inner();
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await? {
        messages.push(message);
    }
    Ok(messages)
}

fn dry(page_size: i32) -> pb::RecalculateTiersRequest {
    pb::RecalculateTiersRequest {
        page_size,
        dry_run: true,
        ..Default::default()
    }
}

fn real(page_size: i32) -> pb::RecalculateTiersRequest {
    pb::RecalculateTiersRequest {
        dry_run: false,
        ..dry(page_size)
    }
}

/// Who moves, from where, to where, why.
pub fn moves(
    messages: &[pb::RecalculateTiersResponse],
) -> Vec<(&str, &str, &str, pb::TierChangeReason)> {
    let changes = messages.iter().flat_map(|message| &message.changes);
    changes
        .map(|change| {
            (
                change.customer_id.as_str(),
                change.from_tier.as_str(),
                change.to_tier.as_str(),
                change.reason(),
            )
        })
        .collect()
}

/// Five members, a closed one, and a clock at which two tiers have aged out and an override has ended.
pub async fn aged(backend: Backend) -> Shop {
    let mut shop = Shop::open(backend).await;
    for (customer, bought_at, dollars) in [
        ("c1", "1997-08-01T00:00:00Z", 300),
        ("c2", "1998-06-01T00:00:00Z", 300),
        ("c3", "1997-08-02T00:00:00Z", 120),
        ("c4", "1997-08-01T00:00:00Z", 20),
        ("c5", "1998-06-01T00:00:00Z", 20),
        ("c6", "1997-08-01T00:00:00Z", 300),
    ] {
        shop.created(customer).await;
        shop.bought(customer, Purchase::dollars(customer, bought_at, dollars))
            .await;
    }
    shop.deleted("c6").await;
    shop.caught_up().await;
    let give = pb::OverrideTierRequest {
        customer_id: "c5".to_owned(),
        tier: "Gold".to_owned(),
        reason: "test".to_owned(),
        expires_at: crate::shop::at("1998-08-02T00:00:00Z"),
        ..Default::default()
    };
    shop.client.override_tier(give).await.unwrap();
    shop.server.clock.set(time("1998-08-02T00:00:00Z"));
    shop
}

pub const MOVES: [(&str, &str, &str, pb::TierChangeReason); 3] = [
    ("c1", "Gold", "Bronze", AgedOut),
    ("c3", "Silver", "Bronze", AgedOut),
    ("c5", "Gold", "Bronze", OverrideEnded),
];

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_who_would_move_and_moves_nobody(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = aged(backend).await;
    let told = try_recalculate(&mut shop, dry(2)).await.unwrap();
    assert_eq!(moves(&told), MOVES);
    let members: Vec<_> = told.iter().map(|message| message.members).collect();
    assert_eq!(members, [2, 2, 1]);
    assert!(
        told.iter()
            .flat_map(|m| &m.changes)
            .all(|c| c.revision == 0)
    );
    assert_eq!(try_recalculate(&mut shop, dry(2)).await.unwrap(), told);

    // The real thing does what was told, once.
    let made = try_recalculate(&mut shop, real(2)).await.unwrap();
    assert_eq!(moves(&made), MOVES);
    for change in made.iter().flat_map(|message| &message.changes) {
        let history = shop.tier_history(&change.customer_id).await;
        assert_eq!(&history[0], change);
    }
    let again = try_recalculate(&mut shop, real(0)).await.unwrap();
    assert_eq!((again.len(), again[0].members), (1, 5));
    assert_eq!(moves(&again), []);
    for (customer, expected) in [("c1", "Bronze"), ("c2", "Gold"), ("c5", "Bronze")] {
        assert_eq!(shop.tier(customer).await.tier, expected);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_recalculation_goes_on_where_it_was_cut_off(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = aged(backend).await;
    let mut stream = shop
        .client
        .recalculate_tiers(real(2))
        .await
        .unwrap()
        .into_inner();
    let first = stream.message().await.unwrap().unwrap();
    drop(stream);
    let go_on = pb::RecalculateTiersRequest {
        page_token: first.next_page_token.clone(),
        ..dry(2)
    };
    let rest = try_recalculate(&mut shop, go_on.clone()).await.unwrap();
    assert_eq!(rest.len(), 2);
    assert!(
        rest[0]
            .changes
            .iter()
            .all(|change| change.customer_id.as_str() > "c2")
    );
    let go_on = pb::RecalculateTiersRequest {
        dry_run: false,
        ..go_on
    };
    try_recalculate(&mut shop, go_on).await.unwrap();
    for customer in ["c1", "c3", "c5"] {
        let history = shop.tier_history(customer).await;
        assert_eq!(history[0].to_tier, "Bronze");
        assert_eq!(
            history
                .iter()
                .filter(|change| change.to_tier == "Bronze")
                .count(),
            2
        );
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn recalculations_that_make_no_sense_are_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    let nobody = try_recalculate(&mut shop, real(0)).await.unwrap();
    assert_eq!(nobody, [pb::RecalculateTiersResponse::default()]);
    let nowhere = pb::RecalculateTiersRequest {
        program_id: "nowhere".to_owned(),
        ..real(0)
    };
    let refused = try_recalculate(&mut shop, nowhere).await;
    assert_refused(refused, Code::NotFound, "PROGRAM_NOT_FOUND");
    let forged = pb::RecalculateTiersRequest {
        page_token: "forged".to_owned(),
        ..real(0)
    };
    let status = try_recalculate(&mut shop, forged).await.unwrap_err();
    assert_eq!(violations(&status), ["page_token"]);
    let status = try_recalculate(&mut shop, real(-1)).await.unwrap_err();
    assert_eq!(violations(&status), ["page_size"]);
}
