use api::feedback::v1 as pb;
use chrono::TimeDelta;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::Code;

use crate::fixture::{NOBODY, World, replayed};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_survey_is_created_read_and_closed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &[]).await;
    let survey = world.survey(pb::SurveyType::Nps).await;
    assert_eq!(survey.state(), pb::SurveyState::Open);

    let get = pb::GetSurveyRequest {
        survey_id: survey.survey_id.clone(),
    };
    let found = world
        .surveys
        .get_survey(get.clone())
        .await
        .unwrap()
        .into_inner()
        .survey
        .unwrap();
    assert_eq!(found, survey);

    let close = |etag: &str| pb::CloseSurveyRequest {
        survey_id: survey.survey_id.clone(),
        etag: etag.to_owned(),
        ..pb::CloseSurveyRequest::default()
    };
    let stale = world.surveys.close_survey(close("\"9\"")).await;
    assert_refused(stale, Code::Aborted, "ETAG_MISMATCH");
    let found = world
        .surveys
        .get_survey(get)
        .await
        .unwrap()
        .into_inner()
        .survey
        .unwrap();
    assert_eq!(found, survey, "a refusal changes nothing");

    world.server.clock.advance(TimeDelta::hours(1));
    let closed = world
        .surveys
        .close_survey(close(&survey.etag))
        .await
        .unwrap();
    let closed = closed.into_inner().survey.unwrap();
    assert_eq!(closed.state(), pb::SurveyState::Closed);
    assert_eq!(closed.closed_at, Some(world.in_days(0)));
    assert_ne!(closed.etag, survey.etag);
    let again = world.surveys.close_survey(close("")).await;
    assert_refused(again, Code::FailedPrecondition, "SURVEY_CLOSED");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn bad_surveys_are_refused_with_every_field_at_fault(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &[]).await;
    let request = pb::CreateSurveyRequest {
        request_id: "x".repeat(65),
        r#type: 7,
        title: "  ".to_owned(),
        question: "q".repeat(1001),
    };
    let status = world.surveys.create_survey(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(
        violations(&status),
        ["request_id", "type", "title", "question"]
    );
    let list = world
        .surveys
        .list_surveys(pb::ListSurveysRequest::default())
        .await
        .unwrap();
    assert!(list.into_inner().surveys.is_empty());

    for (id, code, reason) in [
        ("no-uuid", Code::InvalidArgument, "INVALID_REQUEST"),
        (NOBODY, Code::NotFound, "SURVEY_NOT_FOUND"),
    ] {
        let survey_id = id.to_owned();
        let get = world.surveys.get_survey(pb::GetSurveyRequest {
            survey_id: survey_id.clone(),
        });
        assert_refused(get.await, code, reason);
        let close = pb::CloseSurveyRequest {
            survey_id,
            ..pb::CloseSurveyRequest::default()
        };
        assert_refused(world.surveys.close_survey(close).await, code, reason);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_creation_gives_the_same_survey(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &[]).await;
    let request = pb::CreateSurveyRequest {
        request_id: "first".to_owned(),
        r#type: pb::SurveyType::Csat.into(),
        title: "delivery".to_owned(),
        question: "how was it?".to_owned(),
    };
    let first = world.surveys.create_survey(request.clone()).await.unwrap();
    let second = world.surveys.create_survey(request.clone()).await.unwrap();
    assert!(!replayed(&first) && replayed(&second));
    assert_eq!(first.into_inner(), second.into_inner());

    let other = pb::CreateSurveyRequest {
        title: "another".to_owned(),
        ..request
    };
    let details = assert_refused(
        world.surveys.create_survey(other).await,
        Code::InvalidArgument,
        "REQUEST_ID_REUSED",
    );
    assert_eq!(details.error_info().unwrap().metadata["fields"], "title");
    let list = world
        .surveys
        .list_surveys(pb::ListSurveysRequest::default())
        .await
        .unwrap();
    assert_eq!(list.into_inner().surveys.len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn surveys_are_listed_newest_first_in_pages(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &[]).await;
    let mut created = Vec::new();
    for _ in 0..5 {
        created.push(world.survey(pb::SurveyType::Nps).await);
        world.server.clock.advance(TimeDelta::minutes(1));
    }
    let close = pb::CloseSurveyRequest {
        survey_id: created[1].survey_id.clone(),
        ..pb::CloseSurveyRequest::default()
    };
    created[1] = world
        .surveys
        .close_survey(close)
        .await
        .unwrap()
        .into_inner()
        .survey
        .unwrap();
    created.reverse();

    let mut request = pb::ListSurveysRequest {
        page_size: 2,
        ..Default::default()
    };
    let mut listed = Vec::new();
    loop {
        let page = world
            .surveys
            .list_surveys(request.clone())
            .await
            .unwrap()
            .into_inner();
        listed.extend(page.surveys);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(listed, created);

    for (state, count) in [(pb::SurveyState::Open, 4), (pb::SurveyState::Closed, 1)] {
        let request = pb::ListSurveysRequest {
            state: state.into(),
            ..Default::default()
        };
        let page = world
            .surveys
            .list_surveys(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(page.surveys.len(), count, "{state:?}");
        assert!(page.surveys.iter().all(|survey| survey.state() == state));
    }

    request.state = pb::SurveyState::Open.into();
    let status = world.surveys.list_surveys(request).await.unwrap_err();
    assert_eq!(
        violations(&status),
        ["page_token"],
        "the token is of another query"
    );
    let request = pb::ListSurveysRequest {
        state: 9,
        page_size: -1,
        page_token: "no token".to_owned(),
    };
    let status = world.surveys.list_surveys(request).await.unwrap_err();
    assert_eq!(violations(&status), ["state", "page_size", "page_token"]);
}
