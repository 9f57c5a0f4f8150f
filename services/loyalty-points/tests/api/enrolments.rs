//! Programs and members made by call: dry runs, tokens, and who did it.

use api::loyalty::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::Code;

use crate::shop::Shop;

async fn miles(shop: &mut Shop) -> pb::Program {
    let request = pb::GetProgramRequest::default();
    let got = shop.client.get_program(request).await.unwrap();
    pb::Program {
        program_id: "miles".to_owned(),
        ..got.into_inner().program.unwrap()
    }
}

fn enroll(customer_id: &str) -> pb::EnrollMemberRequest {
    pb::EnrollMemberRequest {
        request_id: "e1".to_owned(),
        program_id: "miles".to_owned(),
        customer_id: customer_id.to_owned(),
        reason: "asked at the till".to_owned(),
        ..Default::default()
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_program_is_told_and_not_made(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    let request = pb::CreateProgramRequest {
        request_id: "p1".to_owned(),
        program: Some(miles(&mut shop).await),
        reason: "frequent flyers".to_owned(),
        dry_run: true,
    };
    let dry = shop.client.create_program(request.clone()).await.unwrap();
    let dry = dry.into_inner();
    assert_eq!(dry.consistency_token, "");
    let get = pb::GetProgramRequest {
        program_id: "miles".to_owned(),
    };
    let absent = shop.client.get_program(get.clone()).await;
    assert_refused(absent, Code::NotFound, "PROGRAM_NOT_FOUND");

    // The id is still free, and the real thing is what was told.
    let real = pb::CreateProgramRequest {
        dry_run: false,
        ..request.clone()
    };
    let made = shop.client.create_program(real.clone()).await.unwrap();
    let made = made.into_inner();
    assert_eq!(made.program, dry.program);
    assert_ne!(made.consistency_token, "");
    let again = shop.client.create_program(real).await.unwrap();
    assert_eq!(again.into_inner(), made);
    let policy = made.program.unwrap().tier_policy.unwrap();
    let told = (policy.actor.as_str(), policy.reason.as_str());
    assert_eq!(told, ("anonymous", "frequent flyers"));

    let taken = shop.client.create_program(request.clone()).await;
    assert_refused(taken, Code::AlreadyExists, "PROGRAM_ALREADY_EXISTS");
    let wordy = pb::CreateProgramRequest {
        reason: "x".repeat(501),
        ..request
    };
    let refused = shop.client.create_program(wordy).await.unwrap_err();
    assert_eq!(violations(&refused), ["reason"]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_enrolment_is_told_and_not_made(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let create = pb::CreateProgramRequest {
        program: Some(miles(&mut shop).await),
        ..Default::default()
    };
    let created = shop.client.create_program(create).await.unwrap();
    let dry = pb::EnrollMemberRequest {
        dry_run: true,
        at_least: created.into_inner().consistency_token,
        ..enroll("c1")
    };
    let told = shop.client.enroll_member(dry.clone()).await.unwrap();
    let told = told.into_inner();
    assert_eq!(told.consistency_token, "");
    let get = pb::GetMemberRequest {
        program_id: "miles".to_owned(),
        customer_id: "c1".to_owned(),
        ..Default::default()
    };
    let absent = shop.client.get_member(get).await;
    assert_refused(absent, Code::NotFound, "MEMBER_NOT_FOUND");
    let unknown = pb::EnrollMemberRequest {
        customer_id: "c9".to_owned(),
        ..dry
    };
    let unknown = shop.client.enroll_member(unknown).await;
    assert_refused(unknown, Code::NotFound, "CUSTOMER_NOT_FOUND");

    let made = shop.client.enroll_member(enroll("c1")).await.unwrap();
    let made = made.into_inner();
    assert_eq!(made.member, told.member);
    let request = pb::ListTierHistoryRequest {
        program_id: "miles".to_owned(),
        customer_id: "c1".to_owned(),
        at_least: made.consistency_token,
        ..Default::default()
    };
    let history = shop.client.list_tier_history(request).await.unwrap();
    let history = history.into_inner().changes;
    assert_eq!(history.len(), 1);
    assert_eq!(
        (history[0].actor.as_str(), history[0].remark.as_str()),
        ("anonymous", "asked at the till")
    );
    let by_the_feed = &shop.tier_history("c1").await[0];
    assert_eq!(
        (by_the_feed.actor.as_str(), by_the_feed.remark.as_str()),
        ("", "")
    );
}
