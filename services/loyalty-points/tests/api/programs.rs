//! Programs and their sums.

use api::loyalty::v1 as pb;
use api::r#type::v1::Money;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::Code;

use crate::shop::{Purchase, Shop, at, earn};

pub fn program(program_id: &str) -> pb::Program {
    let tier = |name: &str, rank, threshold| pb::Tier {
        name: name.to_owned(),
        rank,
        threshold,
        ..Default::default()
    };
    pb::Program {
        program_id: program_id.to_owned(),
        display_name: "Miles".to_owned(),
        points_currency: "MILES".to_owned(),
        earning_rule: Some(pb::EarningRule {
            unit: Some(Money {
                currency_code: "EUR".to_owned(),
                micros: 2_000_000,
            }),
            points_per_unit: 3,
        }),
        validity_days: 0,
        tier_policy: Some(pb::TierPolicy {
            window_days: 0,
            tiers: vec![tier("Blue", 1, 0), tier("Senator", 2, 50)],
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn create(program: pb::Program) -> pb::CreateProgramRequest {
    pb::CreateProgramRequest {
        program: Some(program),
        ..Default::default()
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_default_program_exists(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    let got = shop
        .client
        .get_program(pb::GetProgramRequest::default())
        .await
        .unwrap();
    let program = got.into_inner().program.unwrap();
    assert_eq!(
        (program.program_id.as_str(), program.validity_days),
        ("default", 730)
    );
    let policy = program.tier_policy.unwrap();
    let tiers: Vec<_> = policy
        .tiers
        .iter()
        .map(|t| (t.name.as_str(), t.threshold))
        .collect();
    assert_eq!(policy.window_days, 365);
    assert_eq!(tiers, [("Bronze", 0), ("Silver", 100), ("Gold", 250)]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn programs_are_created_once_and_listed_in_pages(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    let created = shop
        .client
        .create_program(create(program("miles")))
        .await
        .unwrap();
    let created = created.into_inner().program.unwrap();
    assert_eq!(created.tier_policy.as_ref().unwrap().window_days, 365);
    let request = pb::GetProgramRequest {
        program_id: "miles".to_owned(),
    };
    let got = shop.client.get_program(request).await.unwrap().into_inner();
    assert_eq!(got.program, Some(created));
    let again = shop.client.create_program(create(program("miles"))).await;
    assert_refused(again, Code::AlreadyExists, "PROGRAM_ALREADY_EXISTS");

    let mut ids = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListProgramsRequest {
            page_size: 1,
            page_token,
        };
        let page = shop
            .client
            .list_programs(request)
            .await
            .unwrap()
            .into_inner();
        ids.extend(page.programs.into_iter().map(|program| program.program_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(ids, ["default", "miles"]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn contradictory_programs_are_refused_with_every_violation(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    let mut bad = program("no spaces");
    bad.points_currency = "p".to_owned();
    bad.earning_rule
        .as_mut()
        .unwrap()
        .unit
        .as_mut()
        .unwrap()
        .micros = 0;
    let policy = bad.tier_policy.as_mut().unwrap();
    policy.tiers[0].threshold = 5;
    policy.tiers[1].name = "Sena\0tor".to_owned();
    let status = shop.client.create_program(create(bad)).await.unwrap_err();
    assert_eq!(
        violations(&status),
        [
            "program.program_id",
            "program.points_currency",
            "program.earning_rule.unit",
            "program.tier_policy.tiers[1].name",
            "program.tier_policy.tiers"
        ]
    );
    let listed = shop
        .client
        .list_programs(pb::ListProgramsRequest::default())
        .await
        .unwrap();
    assert_eq!(listed.into_inner().programs.len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_earns_in_every_program_by_its_own_rule(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.client
        .create_program(create(program("miles")))
        .await
        .unwrap();
    let enroll = pb::EnrollMemberRequest {
        program_id: "miles".to_owned(),
        customer_id: "c1".to_owned(),
        ..Default::default()
    };
    shop.client.enroll_member(enroll).await.unwrap();
    let euros = |id| Purchase {
        id,
        at: "1998-06-01T00:00:00Z",
        currency: "EUR",
        micros: 35_000_000,
    };
    shop.bought("c1", euros("t1")).await;
    shop.bought("c1", Purchase::dollars("t2", "1998-06-01T00:00:00Z", 10))
        .await;
    shop.caught_up().await;

    assert_eq!(shop.balance("c1").await, (10, 0, 0));
    let of_miles = pb::GetBalanceRequest {
        program_id: "miles".to_owned(),
        customer_id: "c1".to_owned(),
        ..Default::default()
    };
    let miles = shop
        .client
        .get_balance(of_miles)
        .await
        .unwrap()
        .into_inner()
        .balance
        .unwrap();
    assert_eq!((miles.available, miles.next_expiries.len()), (51, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_summary_adds_up_members_by_tier_and_their_points(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    for (customer, dollars) in [("c1", 300), ("c2", 120), ("c3", 20), ("gone", 40)] {
        shop.created(customer).await;
        shop.bought(
            customer,
            Purchase::dollars(customer, "1998-03-01T00:00:00Z", dollars),
        )
        .await;
    }
    shop.bought(
        "c3",
        Purchase::dollars("of old", "1997-01-01T00:00:00Z", 500),
    )
    .await;
    shop.deleted("gone").await;
    shop.caught_up().await;
    shop.redeem("c1", 50).await.unwrap();

    let summary = shop.summary().await;
    let tiers: Vec<_> = summary
        .tiers
        .iter()
        .map(|t| (t.tier.as_str(), t.members))
        .collect();
    assert_eq!(tiers, [("Bronze", 1), ("Silver", 1), ("Gold", 1)]);
    assert_eq!(
        (summary.members, summary.points_outstanding),
        (3, 300 + 120 + 520 - 50)
    );

    // Lots that are pending, have expired, or were taken back into debt.
    for (source_ref, from, to) in [
        ("later", "1998-08-01T00:00:00Z", "1998-09-01T00:00:00Z"),
        ("too late", "1998-05-01T00:00:00Z", "1998-06-01T00:00:00Z"),
    ] {
        let lot = pb::EarnPointsRequest {
            occurred_at: at("1998-05-01T00:00:00Z"),
            activates_at: at(from),
            expires_at: at(to),
            ..earn("c2", 7, source_ref)
        };
        shop.try_earn(lot).await.unwrap();
    }
    shop.redeem("c3", 520).await.unwrap();
    shop.voided("c3", Purchase::dollars("c3", "1998-03-01T00:00:00Z", 20))
        .await;
    shop.caught_up().await;
    let now = shop.summary().await;
    assert_eq!(
        (now.points_outstanding, now.points_pending, now.points_debt),
        (300 - 50 + 120, 7, 20)
    );
    assert_eq!(summary_at(&mut shop, crate::shop::NOW).await, now);

    let before = summary_at(&mut shop, "1997-06-01T00:00:00Z").await;
    let tiers: Vec<_> = before.tiers.iter().map(|t| t.members).collect();
    assert_eq!((tiers, before.points_outstanding), (vec![2, 0, 1], 500));
}

async fn summary_at(shop: &mut Shop, instant: &str) -> pb::GetProgramSummaryResponse {
    let request = pb::GetProgramSummaryRequest {
        as_of: at(instant),
        ..Default::default()
    };
    let summary = shop.client.get_program_summary(request).await.unwrap();
    summary.into_inner()
}
