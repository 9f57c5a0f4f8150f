//! Notices of points that are about to expire.

use api::loyalty::v1 as pb;
use rstest::rstest;
use testkit::{Backend, violations};

use crate::shop::{NOW, Shop, at, authorize, earn};
use crate::sweep::{notices, sweep};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn each_notice_is_told_once_and_anew_for_an_extended_lot(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let request = pb::EarnPointsRequest {
        expires_at: at("1998-09-01T00:00:00Z"),
        ..earn("c1", 30, "s1")
    };
    let lot_id = shop.try_earn(request).await.unwrap().lot.unwrap().lot_id;
    let told = async |shop: &Shop, now: &str| {
        shop.server.clock.set(testkit::time(now));
        let counted = sweep(shop).await.notices + sweep(shop).await.notices;
        let told = notices(shop).await;
        (counted, told.last().cloned())
    };
    assert_eq!(told(&shop, NOW).await, (0, None));
    let notice = |points, expires_at, notice_days| pb::PointsExpiring {
        program_id: "default".to_owned(),
        customer_id: "c1".to_owned(),
        lot_id: lot_id.clone(),
        points,
        expires_at: at(expires_at),
        notice_days,
        points_currency: "PTS".to_owned(),
    };
    let first = notice(30, "1998-09-01T00:00:00Z", 30);
    assert_eq!(
        told(&shop, "1998-08-02T00:00:00Z").await,
        (1, Some(first.clone()))
    );
    shop.redeem("c1", 10).await.unwrap();
    assert_eq!(told(&shop, "1998-08-20T00:00:00Z").await, (0, Some(first)));
    let second = notice(20, "1998-09-01T00:00:00Z", 7);
    assert_eq!(
        told(&shop, "1998-08-25T00:00:00Z").await,
        (1, Some(second.clone()))
    );

    let extend = pb::ExtendExpiryRequest {
        customer_id: "c1".to_owned(),
        lot_id: lot_id.clone(),
        expires_at: at("1998-10-01T00:00:00Z"),
        reason: "a strike at the post".to_owned(),
        ..Default::default()
    };
    shop.client.extend_expiry(extend).await.unwrap();
    assert_eq!(told(&shop, "1998-08-31T00:00:00Z").await, (0, Some(second)));
    let third = notice(20, "1998-10-01T00:00:00Z", 30);
    assert_eq!(
        told(&shop, "1998-09-01T00:00:00Z").await,
        (1, Some(third.clone()))
    );
    // What is spent is not told of.
    shop.redeem("c1", 20).await.unwrap();
    assert_eq!(told(&shop, "1998-09-30T00:00:00Z").await, (0, Some(third)));
    for statement in [
        "UPDATE expiry_notices SET points = 1",
        "DELETE FROM expiry_notices",
    ] {
        let refused = shop.execute(statement).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
    let again = "INSERT INTO expiry_notices
            (customer_id, lot_id, expires_at, days, program_id, revision, points, told_at)
        SELECT customer_id, lot_id, expires_at, days, program_id, revision + 1000, points, told_at
        FROM expiry_notices";
    assert!(shop.execute(again).await.is_err());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn only_the_nearest_of_several_notices_is_told_and_none_of_what_is_held_or_closed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.created("c2").await;
    shop.caught_up().await;
    for customer in ["c1", "c2"] {
        let request = pb::EarnPointsRequest {
            expires_at: at("1998-07-05T00:00:00Z"),
            ..earn(customer, 30, customer)
        };
        shop.try_earn(request).await.unwrap();
    }
    shop.deleted("c2").await;
    shop.caught_up().await;
    let hold = authorize("c1", 30, 86_400);
    shop.client.authorize_hold(hold).await.unwrap();
    assert_eq!(sweep(&shop).await.notices, 0);
    shop.server.clock.set(testkit::time("1998-07-02T00:00:00Z"));
    let swept = sweep(&shop).await;
    assert_eq!((swept.members, swept.notices), (1, 1));
    let told = notices(&shop).await;
    assert_eq!(
        (told.len(), told[0].notice_days, told[0].points),
        (1, 7, 30)
    );
    shop.server.clock.set(testkit::time("1998-07-06T00:00:00Z"));
    assert_eq!(sweep(&shop).await.points_expired, 30);
    assert_eq!(sweep(&shop).await, pb::SweepExpiryResponse::default());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_program_says_how_many_days_ahead(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let get = pb::GetProgramRequest::default();
    let default = shop
        .client
        .get_program(get)
        .await
        .unwrap()
        .into_inner()
        .program
        .unwrap();
    assert_eq!(default.expiry_notice_days, [7, 30]);
    for (program_id, days) in [("silent", vec![]), ("early", vec![60, 1])] {
        let request = pb::CreateProgramRequest {
            program: Some(pb::Program {
                program_id: program_id.to_owned(),
                expiry_notice_days: days,
                ..default.clone()
            }),
            ..Default::default()
        };
        shop.client.create_program(request).await.unwrap();
        let enroll = pb::EnrollMemberRequest {
            program_id: program_id.to_owned(),
            customer_id: "c1".to_owned(),
            ..Default::default()
        };
        shop.client.enroll_member(enroll).await.unwrap();
        let request = pb::EarnPointsRequest {
            program_id: program_id.to_owned(),
            expires_at: at("1998-08-20T00:00:00Z"),
            ..earn("c1", 30, "s1")
        };
        shop.try_earn(request).await.unwrap();
    }
    assert_eq!(sweep(&shop).await.notices, 1);
    let told = notices(&shop).await;
    assert_eq!(
        (told[0].program_id.as_str(), told[0].notice_days),
        ("early", 60)
    );
    shop.server.clock.set(testkit::time("1998-08-19T12:00:00Z"));
    assert_eq!(sweep(&shop).await.notices, 1);

    let request = pb::CreateProgramRequest {
        program: Some(pb::Program {
            program_id: "wrong".to_owned(),
            expiry_notice_days: vec![0, 366, 7, 7],
            ..default.clone()
        }),
        ..Default::default()
    };
    let refused = shop.client.create_program(request).await.unwrap_err();
    let expected = [0, 1, 3].map(|n| format!("program.expiry_notice_days[{n}]"));
    assert_eq!(violations(&refused), expected);
    let request = pb::CreateProgramRequest {
        program: Some(pb::Program {
            program_id: "wrong".to_owned(),
            expiry_notice_days: (1..=11).collect(),
            ..default
        }),
        ..Default::default()
    };
    let refused = shop.client.create_program(request).await.unwrap_err();
    assert_eq!(violations(&refused), ["program.expiry_notice_days"]);
}
