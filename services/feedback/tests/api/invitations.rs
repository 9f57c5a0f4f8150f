use std::collections::BTreeSet;

use api::feedback::v1 as pb;
use api::feedback::v1::invitation_outcome::Outcome;
use common::on;
use rstest::rstest;
use sha2::{Digest as _, Sha256};
use testkit::{Backend, assert_refused, violations};
use tonic::Code;

use crate::fixture::{NOBODY, World, issued, replayed};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn each_customer_has_an_outcome_of_their_own(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &["b", "a", "gone"]).await;
    world.delete("gone").await;
    let survey = world.survey(pb::SurveyType::Nps).await;
    let request = world.invite(&survey, &["b", "stranger", "a", "gone"]);
    let outcomes = world
        .surveys
        .create_invitations(request)
        .await
        .unwrap()
        .into_inner()
        .outcomes;

    let order: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.customer_id.as_str())
        .collect();
    assert_eq!(order, ["b", "stranger", "a", "gone"]);
    for at in [1, 3] {
        let Some(Outcome::Refused(refusal)) = &outcomes[at].outcome else {
            panic!("{} is unknown", order[at])
        };
        assert_eq!(refusal.reason, "CUSTOMER_NOT_FOUND");
        assert!(refusal.message.contains(order[at]));
    }
    let mut tokens = BTreeSet::new();
    for at in [0, 2] {
        let issued = issued(&outcomes[at]);
        assert_eq!(issued.token.len(), 32, "192 bits in base64url");
        assert!(tokens.insert(&issued.token));
        let invitation = issued.invitation.clone().unwrap();
        assert_eq!(invitation.customer_id, order[at]);
        assert_eq!(invitation.state(), pb::InvitationState::Issued);
        assert_eq!(
            world.invitation(&invitation.invitation_id).await,
            invitation
        );
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_and_stored_nowhere(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &["c1"]).await;
    let survey = world.survey(pb::SurveyType::Nps).await;
    let request = pb::CreateInvitationsRequest {
        request_id: "wave-1".to_owned(),
        ..world.invite(&survey, &["c1"])
    };
    let first = world
        .surveys
        .create_invitations(request.clone())
        .await
        .unwrap()
        .into_inner();
    let again = world.surveys.create_invitations(request).await.unwrap();
    assert!(replayed(&again));
    let (first, again) = (issued(&first.outcomes[0]), again.into_inner());
    let again = issued(&again.outcomes[0]);
    assert_eq!(
        again.invitation, first.invitation,
        "the same invitation, not another"
    );
    assert_eq!(again.token, "");

    let mut reader = world.server.platform.reader().await.unwrap();
    let answers: Vec<Vec<u8>> = on!(&mut reader, |conn| sqlx::query_scalar(
        "SELECT response FROM idempotency WHERE request_id = 'wave-1' ORDER BY method LIMIT 10"
    )
    .fetch_all(conn)
    .await)
    .unwrap();
    let token = first.token.as_bytes();
    assert_eq!(answers.len(), 1);
    assert!(
        !answers[0]
            .windows(token.len())
            .any(|window| window == token)
    );
    let hashes: Vec<Vec<u8>> = on!(&mut reader, |conn| sqlx::query_scalar(
        "SELECT token_sha256 FROM invitation ORDER BY invitation_id LIMIT 10"
    )
    .fetch_all(conn)
    .await)
    .unwrap();
    assert_eq!(hashes, [Sha256::digest(token).to_vec()]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn bad_invitations_are_refused_with_every_field_at_fault(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &["c1"]).await;
    let survey = world.survey(pb::SurveyType::Nps).await;
    let request = pb::CreateInvitationsRequest {
        survey_id: "x".to_owned(),
        customer_ids: ["c1", "a b", "c1"].map(str::to_owned).to_vec(),
        channel: 0,
        expires_at: None,
        ..pb::CreateInvitationsRequest::default()
    };
    let status = world.surveys.create_invitations(request).await.unwrap_err();
    assert_eq!(
        violations(&status),
        [
            "survey_id",
            "customer_ids[1]",
            "customer_ids[2]",
            "channel",
            "expires_at"
        ]
    );

    let good = world.invite(&survey, &["c1"]);
    let many: Vec<_> = (0..1001).map(|number| format!("c{number}")).collect();
    for customer_ids in [vec![], many] {
        let request = pb::CreateInvitationsRequest {
            customer_ids,
            ..good.clone()
        };
        let status = world.surveys.create_invitations(request).await.unwrap_err();
        assert_eq!(violations(&status), ["customer_ids"]);
    }
    let request = pb::CreateInvitationsRequest {
        expires_at: Some(world.in_days(0)),
        ..good.clone()
    };
    let status = world.surveys.create_invitations(request).await.unwrap_err();
    assert_eq!(
        violations(&status),
        ["expires_at"],
        "now is not in the future"
    );
    let request = pb::CreateInvitationsRequest {
        at_least: vec!["no token".to_owned()],
        ..good.clone()
    };
    let status = world.surveys.create_invitations(request).await.unwrap_err();
    assert_eq!(violations(&status), ["at_least"]);
    let request = pb::CreateInvitationsRequest {
        survey_id: NOBODY.to_owned(),
        ..good.clone()
    };
    let unknown = world.surveys.create_invitations(request).await;
    assert_refused(unknown, Code::NotFound, "SURVEY_NOT_FOUND");

    let close = pb::CloseSurveyRequest {
        survey_id: survey.survey_id,
        ..Default::default()
    };
    world.surveys.close_survey(close).await.unwrap();
    let closed = world.surveys.create_invitations(good).await;
    assert_refused(closed, Code::FailedPrecondition, "SURVEY_CLOSED");
    let mut reader = world.server.platform.reader().await.unwrap();
    let count: i64 = on!(&mut reader, |conn| sqlx::query_scalar(
        "SELECT COUNT(*) FROM invitation"
    )
    .fetch_one(conn)
    .await)
    .unwrap();
    assert_eq!(count, 0);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_customer_just_created_can_be_invited_with_its_consistency_token(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &[]).await;
    let survey = world.survey(pb::SurveyType::Nps).await;
    world.create("new").await;
    let request = pb::CreateInvitationsRequest {
        at_least: vec![world.customers.token("new", 1)],
        ..world.invite(&survey, &["new"])
    };
    let answer = world
        .surveys
        .create_invitations(request)
        .await
        .unwrap()
        .into_inner();
    issued(&answer.outcomes[0]);

    let mut request = tonic::Request::new(pb::CreateInvitationsRequest {
        at_least: vec![world.customers.token("new", 2)],
        ..world.invite(&survey, &["new"])
    });
    request.set_timeout(std::time::Duration::from_millis(300));
    let behind = world.surveys.create_invitations(request).await;
    assert_refused(behind, Code::Unavailable, "PROJECTION_BEHIND");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_invitation_cannot_be_answered(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &["c1"]).await;
    let survey = world.survey(pb::SurveyType::Nps).await;
    let issued = world.invited(&survey, "c1").await;
    let id = issued.invitation.unwrap().invitation_id;
    let revoke = |id: &str| pb::RevokeInvitationRequest {
        request_id: String::new(),
        invitation_id: id.to_owned(),
    };

    let malformed = world.surveys.revoke_invitation(revoke("x")).await;
    assert_refused(malformed, Code::InvalidArgument, "INVALID_REQUEST");
    let unknown = world.surveys.revoke_invitation(revoke(NOBODY)).await;
    assert_refused(unknown, Code::NotFound, "INVITATION_NOT_FOUND");
    let get = pb::GetInvitationRequest {
        invitation_id: NOBODY.to_owned(),
        ..Default::default()
    };
    let unknown = world.surveys.get_invitation(get).await;
    assert_refused(unknown, Code::NotFound, "INVITATION_NOT_FOUND");

    let revoked = world
        .surveys
        .revoke_invitation(revoke(&id))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        revoked.invitation.as_ref().unwrap().state(),
        pb::InvitationState::Revoked
    );
    assert_eq!(revoked.invitation, Some(world.invitation(&id).await));
    let answer = world.submit(&issued.token, 9).await;
    assert_refused(answer, Code::FailedPrecondition, "INVITATION_REVOKED");
    let again = world.surveys.revoke_invitation(revoke(&id)).await;
    assert_refused(again, Code::FailedPrecondition, "INVITATION_REVOKED");
    assert!(world.responses(&survey).await.is_empty());

    let answered = world.invited(&survey, "c1").await;
    world.submit(&answered.token, 9).await.unwrap();
    let id = answered.invitation.unwrap().invitation_id;
    let too_late = world.surveys.revoke_invitation(revoke(&id)).await;
    assert_refused(too_late, Code::AlreadyExists, "RESPONSE_ALREADY_SUBMITTED");
    assert_eq!(
        world.invitation(&id).await.state(),
        pb::InvitationState::Completed
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn overlapping_batches_do_not_block_each_other(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let names: Vec<_> = (0..40).map(|number| format!("c{number}")).collect();
    let mut names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut world = World::with(backend, &names).await;
    let survey = world.survey(pb::SurveyType::Nps).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        // Each batch names them in another order than the one before.
        names.reverse();
        names.rotate_left(7);
        let mut surveys = world.surveys.clone();
        let request = world.invite(&survey, &names);
        calls.spawn(async move { surveys.create_invitations(request).await });
    }
    for answer in calls.join_all().await {
        let outcomes = answer
            .expect("no batch waits in a circle")
            .into_inner()
            .outcomes;
        assert_eq!(outcomes.iter().map(issued).count(), 40);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_lost_its_tokens_can_carry_on(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &["c1", "c2"]).await;
    let survey = world.survey(pb::SurveyType::Nps).await;
    let request = pb::CreateInvitationsRequest {
        request_id: "wave-1".to_owned(),
        ..world.invite(&survey, &["c1", "c2"])
    };
    let first = world
        .surveys
        .create_invitations(request.clone())
        .await
        .unwrap()
        .into_inner();
    world
        .submit(&issued(&first.outcomes[0]).token, 9)
        .await
        .unwrap();

    // Here the client crashes. Its successor repeats the request and looks who is still to answer.
    let again = world
        .surveys
        .create_invitations(request)
        .await
        .unwrap()
        .into_inner();
    for outcome in again.outcomes {
        let id = &issued(&outcome).invitation.as_ref().unwrap().invitation_id;
        if world.invitation(id).await.state() == pb::InvitationState::Issued {
            let revoke = pb::RevokeInvitationRequest {
                invitation_id: id.clone(),
                ..Default::default()
            };
            world.surveys.revoke_invitation(revoke).await.unwrap();
            let token = world.invited(&survey, &outcome.customer_id).await.token;
            world.submit(&token, 8).await.unwrap();
        }
    }
    let answered: Vec<_> = world
        .responses(&survey)
        .await
        .into_iter()
        .map(|r| r.customer_id)
        .collect();
    assert_eq!(answered.iter().collect::<BTreeSet<_>>().len(), 2);
    assert_eq!(answered.len(), 2);
}
