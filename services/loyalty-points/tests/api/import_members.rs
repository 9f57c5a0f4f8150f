//! Imports into ledgers that are not empty, of members who are not there yet, and dry ones.

use api::loyalty::v1 as pb;
use pb::ImportKind::{Adjust, Earn, Redeem};
use pb::ImportRowStatus::{AlreadyImported, Imported, Refused};
use rstest::rstest;
use testkit::{Backend, assert_refused};
use tonic::Code;

use crate::imports::{Answers, chunks, header, history, import, row, send, statuses, verified};
use crate::shop::{Shop, at, authorize, earn};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn adjustments_above_the_limit_need_an_approver(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let got = shop.client.get_program(pb::GetProgramRequest::default());
    let strict = pb::Program {
        program_id: "strict".to_owned(),
        adjustment_approval_limit: 10,
        ..got.await.unwrap().into_inner().program.unwrap()
    };
    let request = pb::CreateProgramRequest {
        program: Some(strict),
        ..Default::default()
    };
    shop.client.create_program(request).await.unwrap();
    let to_strict = pb::ImportHeader {
        program_id: "strict".to_owned(),
        enroll_missing: true,
        ..header()
    };
    let by = |number, approver: &str| pb::ImportRow {
        approver: approver.to_owned(),
        ..row(number, Adjust, 11, "1998-06-01T00:00:00Z")
    };
    let rows = [by(1, ""), by(2, "anonymous"), by(3, "bob")];
    let outcomes = import(&shop, to_strict, &rows).await;
    let told: Vec<_> = outcomes.iter().map(|it| it.reason.as_str()).collect();
    assert_eq!(told, ["APPROVAL_REQUIRED", "SELF_APPROVAL", ""]);
    verified(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn missing_members_are_enrolled_where_the_header_says_so(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    let got = shop.client.get_program(pb::GetProgramRequest::default());
    let miles = pb::Program {
        program_id: "miles".to_owned(),
        ..got.await.unwrap().into_inner().program.unwrap()
    };
    let request = pb::CreateProgramRequest {
        program: Some(miles),
        ..Default::default()
    };
    shop.client.create_program(request).await.unwrap();
    for customer in ["c1", "c2", "c3"] {
        shop.created(customer).await;
    }
    let at_least = shop.created("c4").await;
    shop.deleted("c3").await;
    shop.caught_up().await;
    let to_miles = |enroll_missing| pb::ImportHeader {
        program_id: "miles".to_owned(),
        enroll_missing,
        at_least: at_least.clone(),
        ..header()
    };
    let of = |number, customer: &str, kind| pb::ImportRow {
        customer_id: customer.to_owned(),
        reason: "taken over".to_owned(),
        ..row(number, kind, 10, "1998-06-01T00:00:00Z")
    };
    let rows = [
        of(1, "c1", Redeem),
        of(2, "c1", Earn),
        of(3, "c9", Earn),
        of(4, "c3", Earn),
        of(5, "c2", Redeem),
        pb::ImportRow {
            force: true,
            ..of(6, "c4", Redeem)
        },
    ];
    let outcomes = import(&shop, to_miles(false), &rows).await;
    let told: Vec<_> = outcomes.iter().map(|it| it.reason.as_str()).collect();
    let (unknown, stranger) = ("CUSTOMER_NOT_FOUND", "MEMBER_NOT_FOUND");
    assert_eq!(
        told,
        [stranger, stranger, unknown, stranger, stranger, stranger]
    );
    let outcomes = import(&shop, to_miles(true), &rows).await;
    let told: Vec<_> = outcomes.iter().map(|it| it.reason.as_str()).collect();
    let poor = "INSUFFICIENT_POINTS";
    assert_eq!(told, [poor, "", unknown, unknown, poor, ""]);
    assert_eq!(outcomes[5].debt_incurred, 10);
    let request = pb::ListMembersRequest {
        program_id: "miles".to_owned(),
        ..Default::default()
    };
    let members = shop.client.list_members(request).await.unwrap();
    let members = members.into_inner().members;
    let ids: Vec<_> = members.iter().map(|it| it.customer_id.as_str()).collect();
    assert_eq!(ids, ["c1", "c4"]);
    let request = pb::ListTierHistoryRequest {
        program_id: "miles".to_owned(),
        customer_id: "c1".to_owned(),
        at_least: outcomes[1].consistency_token.clone(),
        ..Default::default()
    };
    let history = shop.client.list_tier_history(request).await.unwrap();
    let enrolled = history.into_inner().changes.pop().unwrap();
    assert_eq!(
        (&*enrolled.actor, &*enrolled.remark),
        ("anonymous", "imported from stamps")
    );
    verified(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn closed_and_merged_members_take_nothing_over(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    for customer in ["c2", "c3"] {
        shop.created(customer).await;
    }
    shop.caught_up().await;
    let request = pb::MergeMembersRequest {
        survivor_id: "c3".to_owned(),
        absorbed_id: "c2".to_owned(),
        reason: "the same person".to_owned(),
        ..Default::default()
    };
    shop.client.merge_members(request).await.unwrap();
    let of = |number, customer: &str| pb::ImportRow {
        customer_id: customer.to_owned(),
        ..row(number, Earn, 10, "1998-06-01T00:00:00Z")
    };
    let outcomes = import(&shop, header(), &[of(1, "c2"), of(2, "c3")]).await;
    let told: Vec<_> = outcomes.iter().map(|it| it.reason.as_str()).collect();
    assert_eq!(told, ["MEMBER_MERGED", ""]);
    assert_eq!(outcomes[0].metadata["survivor_id"], "c3");
    verified(&shop).await;
    shop.deleted("c1").await;
    shop.caught_up().await;
    let enrolling = pb::ImportHeader {
        enroll_missing: true,
        ..header()
    };
    for header in [header(), enrolling] {
        let outcomes = import(&shop, header, &history()[..1]).await;
        assert_eq!(outcomes[0].reason, "MEMBER_CLOSED");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_import_tells_what_a_real_one_does(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let mut rows = history();
    rows.push(row(7, Redeem, 36, "1998-05-03T00:00:00Z"));
    rows.push(row(8, Redeem, 35, "1998-05-03T00:00:00Z"));
    let dry = pb::ImportHeader {
        dry_run: true,
        ..header()
    };
    // Each chunk is decided on what the ones before would have done.
    let told = send(&shop, chunks(dry.clone(), &rows, 2)).await;
    assert_eq!(shop.transactions("c1").await.len(), 0);
    let real = send(&shop, chunks(header(), &rows, 2)).await;
    let bare = |answers: Answers| -> Vec<_> {
        let outcomes = answers.into_iter().flat_map(|it| it.unwrap().outcomes);
        let bare = |outcome| pb::ImportRowOutcome {
            transaction_id: String::new(),
            consistency_token: String::new(),
            ..outcome
        };
        outcomes.map(bare).collect()
    };
    let outcomes: Vec<_> = told.iter().flatten().flat_map(|it| &it.outcomes).collect();
    assert!(outcomes.iter().all(|it| it.transaction_id.is_empty()));
    assert!(outcomes.iter().all(|it| it.consistency_token.is_empty()));
    assert_eq!(bare(told), bare(real));
    assert_eq!(shop.balance("c1").await, (0, 0, 0));

    // What is there is told to be there.
    let again = send(&shop, chunks(dry, &rows[..3], 2)).await;
    let again: Vec<_> = again
        .into_iter()
        .flat_map(|it| it.unwrap().outcomes)
        .collect();
    assert_eq!(statuses(&again), [AlreadyImported; 3]);
}

/// 100 points of March; 80 were spent in the service itself on 1 July.
pub async fn spent_since(backend: Backend) -> Shop {
    let mut shop = Shop::with_member(backend, "c1").await;
    let outcomes = import(
        &shop,
        header(),
        &[row(1, Earn, 100, "1998-03-01T00:00:00Z")],
    )
    .await;
    assert_eq!(statuses(&outcomes), [Imported]);
    shop.redeem("c1", 80).await.unwrap();
    shop.server.clock.set(testkit::time("1998-07-05T00:00:00Z"));
    shop
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn no_running_balance_falls_below_zero_unless_forced(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = spent_since(backend).await;
    let april = "1998-04-01T00:00:00Z";
    let outcomes = import(&shop, header(), &[row(2, Redeem, 30, april)]).await;
    assert_eq!(outcomes[0].reason, "INSUFFICIENT_POINTS");
    assert_eq!(outcomes[0].metadata["available"], "20");
    assert_eq!(shop.balance("c1").await, (20, 0, 0));

    let forced = pb::ImportRow {
        force: true,
        reason: "their books are right".to_owned(),
        ..row(2, Redeem, 30, april)
    };
    let outcomes = import(&shop, header(), &[forced]).await;
    assert_eq!(
        (outcomes[0].status(), outcomes[0].debt_incurred),
        (Imported, 10)
    );
    assert_eq!(shop.balance("c1").await, (0, 0, 10));
    let in_may = Some(testkit::time("1998-05-01T00:00:00Z"));
    assert_eq!(shop.balance_at("c1", in_may).await, (80, 0, 0));
    let spent = Some(testkit::time("1998-07-02T00:00:00Z"));
    assert_eq!(shop.balance_at("c1", spent).await, (0, 0, 0));
    verified(&shop).await;

    // What comes later repays it, however long ago it occurred.
    let outcomes = import(&shop, header(), &[row(3, Earn, 15, "1998-03-02T00:00:00Z")]).await;
    assert_eq!(statuses(&outcomes), [Imported]);
    assert_eq!(shop.balance("c1").await, (5, 0, 0));
    verified(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_that_were_held_since_cannot_have_been_spent_before(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let long_ago = pb::EarnPointsRequest {
        occurred_at: at("1998-03-01T00:00:00Z"),
        ..earn("c1", 100, "s1")
    };
    shop.try_earn(long_ago).await.unwrap();
    let request = authorize("c1", 70, 60);
    shop.client.authorize_hold(request).await.unwrap();
    shop.server.clock.set(testkit::time("1998-07-05T00:00:00Z"));
    // The hold has timed out, which nothing has noticed: all points are there again, but were not all the time.
    let outcomes = import(
        &shop,
        header(),
        &[
            row(1, Redeem, 31, "1998-06-01T00:00:00Z"),
            row(2, Redeem, 30, "1998-06-01T00:00:00Z"),
            row(3, Redeem, 70, "1998-07-04T00:00:00Z"),
        ],
    )
    .await;
    assert_eq!(statuses(&outcomes), [Refused, Imported, Imported]);
    assert_eq!(outcomes[0].metadata["available"], "30");
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
    verified(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn each_currency_has_an_import_of_its_own(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let got = shop.client.get_program(pb::GetProgramRequest::default());
    let program = pb::Program {
        program_id: "club".to_owned(),
        further_currencies: vec![pb::PointCurrency {
            code: "MILES".to_owned(),
            display_name: "Miles".to_owned(),
            validity_days: 10_000,
        }],
        ..got.await.unwrap().into_inner().program.unwrap()
    };
    let request = pb::CreateProgramRequest {
        program: Some(program),
        ..Default::default()
    };
    shop.client.create_program(request).await.unwrap();
    let to = |currency: &str| pb::ImportHeader {
        program_id: "club".to_owned(),
        points_currency: currency.to_owned(),
        enroll_missing: true,
        ..header()
    };
    let rows = [
        row(1, Earn, 100, "1998-06-01T00:00:00Z"),
        row(2, Redeem, 30, "1998-06-02T00:00:00Z"),
    ];
    for (currency, expected) in [
        ("MILES", Imported),
        ("", Imported),
        ("MILES", AlreadyImported),
    ] {
        let outcomes = import(&shop, to(currency), &rows).await;
        assert_eq!(statuses(&outcomes), [expected; 2], "{currency}");
    }
    let unknown = send(&shop, chunks(to("STARS"), &rows, 9)).await.remove(0);
    assert_refused(unknown, Code::NotFound, "CURRENCY_NOT_FOUND");
    for currency in ["MILES", ""] {
        let request = pb::GetBalanceRequest {
            program_id: "club".to_owned(),
            customer_id: "c1".to_owned(),
            points_currency: currency.to_owned(),
            as_of: at("1998-06-01T00:00:00Z"),
            posted_by: at(crate::shop::NOW),
            ..Default::default()
        };
        let answer = shop.client.get_balance(request).await.unwrap();
        assert_eq!(answer.into_inner().balance.unwrap().available, 100);
    }
    let request = pb::GetTierRequest {
        program_id: "club".to_owned(),
        customer_id: "c1".to_owned(),
        ..Default::default()
    };
    let tier = shop.client.get_tier(request).await.unwrap().into_inner();
    assert_eq!(tier.tier.unwrap().qualifying_points, 100);
    verified(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_chunk_are_posted_at_one_instant_also_where_they_enrol(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    let got = shop.client.get_program(pb::GetProgramRequest::default());
    let miles = pb::Program {
        program_id: "miles".to_owned(),
        ..got.await.unwrap().into_inner().program.unwrap()
    };
    let request = pb::CreateProgramRequest {
        program: Some(miles),
        ..Default::default()
    };
    shop.client.create_program(request).await.unwrap();
    for customer in ["c1", "c2"] {
        shop.created(customer).await;
    }
    shop.caught_up().await;
    // Time goes on whenever somebody looks.
    shop.server.clock.tick(1_000);
    let to_miles = pb::ImportHeader {
        program_id: "miles".to_owned(),
        enroll_missing: true,
        ..header()
    };
    let of = |number, customer: &str, kind| pb::ImportRow {
        customer_id: customer.to_owned(),
        ..row(number, kind, 10, "1998-06-01T00:00:00Z")
    };
    let rows = [
        of(1, "c1", Redeem),
        of(2, "c2", Earn),
        of(3, "c1", Earn),
        of(4, "c2", Earn),
    ];
    let outcomes = import(&shop, to_miles, &rows).await;
    assert_eq!(statuses(&outcomes), [Refused, Imported, Imported, Imported]);
    let mut instants = Vec::new();
    for customer in ["c1", "c2"] {
        let request = pb::ListTransactionsRequest {
            program_id: "miles".to_owned(),
            customer_id: customer.to_owned(),
            ..Default::default()
        };
        let listed = shop.client.list_transactions(request).await.unwrap();
        let posted = listed.into_inner().transactions.into_iter();
        instants.extend(posted.map(|it| it.posted_at.unwrap()));
    }
    assert_eq!(instants.len(), 3);
    assert!(
        instants.windows(2).all(|two| two[0] == two[1]),
        "{instants:?}"
    );
}
