use std::collections::BTreeSet;

use api::feedback::v1 as pb;
use chrono::TimeDelta;
use common::on;
use rstest::rstest;
use testkit::{Backend, assert_refused, until, violations};
use tonic::Code;

use crate::fixture::{NOBODY, World, issued, replayed, submission};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_takes_one_response(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &["c1"]).await;
    let survey = world.survey(pb::SurveyType::Nps).await;
    let invited = world.invited(&survey, "c1").await;
    let request = pb::SubmitResponseRequest {
        request_id: "s1".to_owned(),
        comment: "很满意 👍".to_owned(),
        ..submission(&invited.token, 10)
    };
    let first = world
        .surveys
        .submit_response(request.clone())
        .await
        .unwrap();
    let again = world
        .surveys
        .submit_response(request.clone())
        .await
        .unwrap();
    assert!(!replayed(&first) && replayed(&again));
    assert_eq!(first.get_ref(), again.get_ref());
    let recorded = first.into_inner().response.unwrap();
    assert_eq!(
        (recorded.score, recorded.comment.as_str()),
        (10, "很满意 👍")
    );
    assert_eq!(recorded.channel(), pb::InvitationChannel::Email);

    let second = world.submit(&invited.token, 3).await;
    assert_refused(second, Code::AlreadyExists, "RESPONSE_ALREADY_SUBMITTED");
    let reused = pb::SubmitResponseRequest {
        score: Some(3),
        ..request
    };
    let reused = world.surveys.submit_response(reused).await;
    assert_refused(reused, Code::InvalidArgument, "REQUEST_ID_REUSED");
    // A spent token stays spent, not expired.
    world.server.clock.advance(TimeDelta::days(8));
    let late = world.submit(&invited.token, 3).await;
    assert_refused(late, Code::AlreadyExists, "RESPONSE_ALREADY_SUBMITTED");
    assert_eq!(world.responses(&survey).await, [recorded]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn sixteen_concurrent_submissions_leave_one_response(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &["c1"]).await;
    let survey = world.survey(pb::SurveyType::Nps).await;
    let token = world.invited(&survey, "c1").await.token;
    let mut calls = tokio::task::JoinSet::new();
    for score in 0..16 {
        let mut surveys = world.surveys.clone();
        let request = pb::SubmitResponseRequest {
            request_id: format!("s{score}"),
            ..submission(&token, score % 11)
        };
        calls.spawn(async move { surveys.submit_response(request).await });
    }
    let (done, refused): (Vec<_>, Vec<_>) =
        calls.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), refused.len()), (1, 15));
    for refused in refused {
        assert_refused(refused, Code::AlreadyExists, "RESPONSE_ALREADY_SUBMITTED");
    }
    let response = done
        .into_iter()
        .next()
        .unwrap()
        .unwrap()
        .into_inner()
        .response
        .unwrap();
    assert_eq!(world.responses(&survey).await, [response]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn scores_outside_the_scale_are_refused_and_leave_the_token_unspent(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &["c1"]).await;
    for (survey_type, bad, edges) in [
        (pb::SurveyType::Nps, [-1, 11], [0, 10]),
        (pb::SurveyType::Csat, [0, 6], [1, 5]),
    ] {
        let survey = world.survey(survey_type).await;
        for (bad, edge) in bad.into_iter().zip(edges) {
            let invited = world.invited(&survey, "c1").await;
            let request = pb::SubmitResponseRequest {
                request_id: format!("{}-{bad}", survey.survey_id),
                ..submission(&invited.token, bad)
            };
            let status = world
                .surveys
                .submit_response(request.clone())
                .await
                .unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            assert_eq!(violations(&status), ["score"]);
            let id = &invited.invitation.as_ref().unwrap().invitation_id;
            assert_eq!(
                world.invitation(id).await.state(),
                pb::InvitationState::Issued
            );
            // The key was not spent on the mistake either.
            let request = pb::SubmitResponseRequest {
                score: Some(edge),
                ..request
            };
            let done = world
                .surveys
                .submit_response(request)
                .await
                .unwrap()
                .into_inner();
            assert_eq!(done.response.unwrap().score, edge);
        }
    }
    let missing = pb::SubmitResponseRequest {
        comment: "\0".to_owned(),
        ..Default::default()
    };
    let status = world.surveys.submit_response(missing).await.unwrap_err();
    assert_eq!(violations(&status), ["token", "score", "comment"]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_unknown_or_too_late_are_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &["c1", "c2"]).await;
    let survey = world.survey(pb::SurveyType::Nps).await;
    let unknown = world.submit("no such token", 9).await;
    assert_refused(unknown, Code::NotFound, "INVITATION_NOT_FOUND");

    let forgotten = world.invited(&survey, "c1").await;
    world.server.clock.advance(TimeDelta::days(7));
    let expired = world.submit(&forgotten.token, 9).await;
    assert_refused(expired, Code::FailedPrecondition, "INVITATION_EXPIRED");
    let id = forgotten.invitation.unwrap().invitation_id;
    assert_eq!(
        world.invitation(&id).await.state(),
        pb::InvitationState::Expired
    );
    world
        .server
        .clock
        .set(world.server.platform.now() - TimeDelta::microseconds(1));
    world
        .submit(&forgotten.token, 9)
        .await
        .expect("the last moment is in time");

    let of_deleted = world.invited(&survey, "c2").await;
    world.delete("c2").await;
    let deleted = world.submit(&of_deleted.token, 9).await;
    assert_refused(deleted, Code::NotFound, "CUSTOMER_NOT_FOUND");

    let open = world.invited(&survey, "c1").await;
    let close = pb::CloseSurveyRequest {
        survey_id: survey.survey_id.clone(),
        ..Default::default()
    };
    world.surveys.close_survey(close).await.unwrap();
    let closed = world.submit(&open.token, 9).await;
    assert_refused(closed, Code::FailedPrecondition, "SURVEY_CLOSED");
    assert_eq!(world.responses(&survey).await.len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn responses_are_listed_newest_first_in_pages(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let customers: Vec<_> = (0..7).map(|number| format!("c{number}")).collect();
    let names: Vec<_> = customers.iter().map(String::as_str).collect();
    let mut world = World::with(backend, &names).await;
    let survey = world.survey(pb::SurveyType::Nps).await;
    let request = world.invite(&survey, &names);
    let answer = world
        .surveys
        .create_invitations(request)
        .await
        .unwrap()
        .into_inner();
    for (score, outcome) in (0..).zip(&answer.outcomes) {
        world.submit(&issued(outcome).token, score).await.unwrap();
        // Pairs share an instant: the id breaks the tie.
        world
            .server
            .clock
            .advance(TimeDelta::minutes(i64::from(score % 2)));
    }
    let mut request = pb::ListResponsesRequest {
        survey_id: survey.survey_id.clone(),
        page_size: 3,
        ..pb::ListResponsesRequest::default()
    };
    let mut listed = Vec::new();
    loop {
        let page = world
            .surveys
            .list_responses(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert!(page.responses.len() <= 3);
        listed.extend(page.responses);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let ids: BTreeSet<_> = listed
        .iter()
        .map(|response| &response.response_id)
        .collect();
    assert_eq!((listed.len(), ids.len()), (7, 7));
    assert!(listed.is_sorted_by_key(|r| {
        let at = r.submitted_at.unwrap();
        std::cmp::Reverse((at.seconds, at.nanos, r.response_id.clone()))
    }));

    let one = pb::ListResponsesRequest {
        customer_id: "c4".to_owned(),
        page_token: String::new(),
        ..request.clone()
    };
    let one = world
        .surveys
        .list_responses(one)
        .await
        .unwrap()
        .into_inner()
        .responses;
    assert_eq!(
        one.iter()
            .map(|response| response.score)
            .collect::<Vec<_>>(),
        [4]
    );

    let foreign = pb::ListResponsesRequest {
        customer_id: "c4".to_owned(),
        ..request
    };
    let status = world.surveys.list_responses(foreign).await.unwrap_err();
    assert_eq!(violations(&status), ["page_token"]);
    let bad = pb::ListResponsesRequest {
        survey_id: "x".to_owned(),
        customer_id: "a b".to_owned(),
        page_size: -1,
        ..pb::ListResponsesRequest::default()
    };
    let status = world.surveys.list_responses(bad).await.unwrap_err();
    assert_eq!(
        violations(&status),
        ["survey_id", "customer_id", "page_size"]
    );
    let unknown = pb::ListResponsesRequest {
        survey_id: NOBODY.to_owned(),
        ..Default::default()
    };
    let unknown = world.surveys.list_responses(unknown).await;
    assert_refused(unknown, Code::NotFound, "SURVEY_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_once_a_survey_is_being_closed() {
    let mut world = World::with(Backend::Postgres, &["c1", "c2"]).await;
    let survey = world.survey(pb::SurveyType::Nps).await;
    let token = world.invited(&survey, "c1").await.token;
    let mut closing = world.server.platform.tx().await.unwrap();
    on!(&mut closing, |conn| sqlx::query(
        "UPDATE survey SET closed_at = created_at"
    )
    .execute(conn)
    .await
    .map(drop))
    .unwrap();

    let (mut surveys, answer) = (world.surveys.clone(), submission(&token, 9));
    let answer = tokio::spawn(async move { surveys.submit_response(answer).await.map(drop) });
    let (mut surveys, invite) = (world.surveys.clone(), world.invite(&survey, &["c2"]));
    let invite = tokio::spawn(async move { surveys.create_invitations(invite).await.map(drop) });
    let stopped =
        async || waiting(&world).await == 2 || answer.is_finished() || invite.is_finished();
    until("both wait for the closing", stopped).await;
    closing.commit().await.unwrap();
    for late in [answer, invite] {
        let refused = late.await.unwrap();
        assert_refused(refused, Code::FailedPrecondition, "SURVEY_CLOSED");
    }
}

/// How many transactions of this database wait for another one.
async fn waiting(world: &World) -> i64 {
    let mut reader = world.server.platform.reader().await.unwrap();
    on!(&mut reader, |conn| sqlx::query_scalar(
        "SELECT COUNT(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    .fetch_one(conn)
    .await)
    .unwrap()
}
