//! Enrolment.

use api::loyalty::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused};
use tonic::Code;

use crate::shop::{Purchase, Shop, earn};

fn enroll(customer_id: &str) -> pb::EnrollMemberRequest {
    pb::EnrollMemberRequest {
        customer_id: customer_id.to_owned(),
        ..Default::default()
    }
}

fn get(customer_id: &str) -> pb::GetMemberRequest {
    pb::GetMemberRequest {
        customer_id: customer_id.to_owned(),
        ..Default::default()
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_new_customer_is_enrolled_in_the_default_program(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    let token = shop.created("c1").await;
    let request = pb::GetMemberRequest {
        at_least: token,
        ..get("c1")
    };
    let member = shop
        .client
        .get_member(request)
        .await
        .unwrap()
        .into_inner()
        .member
        .unwrap();
    assert_eq!(member.state(), pb::MemberState::Active);
    assert_eq!(member.program_id, "default");
    let tier = shop.tier("c1").await;
    assert_eq!(
        (tier.tier.as_str(), tier.rank, tier.points_to_next_tier),
        ("Bronze", 1, 100)
    );
    let history = shop.tier_history("c1").await;
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].reason(), pb::TierChangeReason::Enrolled);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn enrolling_again_changes_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let first = shop
        .client
        .enroll_member(enroll("c1"))
        .await
        .unwrap()
        .into_inner();
    let second = shop
        .client
        .enroll_member(enroll("c1"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first, second);
    assert_eq!(shop.tier_history("c1").await.len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn enrolment_needs_a_known_customer_and_program(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let unknown = shop.client.enroll_member(enroll("nobody")).await;
    assert_refused(unknown, Code::NotFound, "CUSTOMER_NOT_FOUND");
    let program_id = "nothing".to_owned();
    let nothing = pb::EnrollMemberRequest {
        program_id,
        ..enroll("c1")
    };
    assert_refused(
        shop.client.enroll_member(nothing).await,
        Code::NotFound,
        "PROGRAM_NOT_FOUND",
    );
    assert_refused(
        shop.client.get_member(get("nobody")).await,
        Code::NotFound,
        "MEMBER_NOT_FOUND",
    );
    assert_eq!(shop.summary().await.members, 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_succeeds_once_the_customer_has_been_heard_of(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    let request_id = "r1".to_owned();
    let earning = pb::EarnPointsRequest {
        request_id: request_id.clone(),
        ..earn("c1", 5, "s1")
    };
    let enrolment = pb::EnrollMemberRequest {
        request_id,
        ..enroll("c1")
    };
    let early = shop.try_earn(earning.clone()).await;
    assert_refused(early, Code::NotFound, "MEMBER_NOT_FOUND");
    let early = shop.client.enroll_member(enrolment.clone()).await;
    assert_refused(early, Code::NotFound, "CUSTOMER_NOT_FOUND");
    shop.created("c1").await;
    shop.caught_up().await;
    shop.client.enroll_member(enrolment).await.unwrap();
    for _ in 0..2 {
        shop.try_earn(earning.clone()).await.unwrap();
    }
    assert_eq!(shop.balance("c1").await, (5, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_customer_earns_and_redeems_no_more(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 10, "s1").await;
    shop.deleted("c1").await;
    shop.bought("c1", Purchase::dollars("t1", "1998-06-01T00:00:00Z", 5))
        .await;
    shop.caught_up().await;

    let member = shop
        .client
        .get_member(get("c1"))
        .await
        .unwrap()
        .into_inner()
        .member
        .unwrap();
    assert_eq!(member.state(), pb::MemberState::Closed);
    let refused = shop.try_earn(earn("c1", 5, "s2")).await;
    assert_refused(refused, Code::FailedPrecondition, "MEMBER_CLOSED");
    assert_refused(
        shop.redeem("c1", 5).await,
        Code::FailedPrecondition,
        "MEMBER_CLOSED",
    );
    assert_refused(
        shop.client.enroll_member(enroll("c1")).await,
        Code::NotFound,
        "CUSTOMER_NOT_FOUND",
    );
    assert_eq!(shop.transactions("c1").await.len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn members_are_listed_in_pages_by_id(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    for customer in ["b", "a", "C", "c"] {
        shop.created(customer).await;
    }
    shop.caught_up().await;
    let mut ids = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListMembersRequest {
            page_size: 3,
            page_token,
            ..Default::default()
        };
        let page = shop
            .client
            .list_members(request)
            .await
            .unwrap()
            .into_inner();
        ids.extend(page.members.into_iter().map(|member| member.customer_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(ids, ["C", "a", "b", "c"]);
}
