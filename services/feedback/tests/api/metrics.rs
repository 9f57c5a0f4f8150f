use api::feedback::v1 as pb;
use api::feedback::v1::metric::Groups;
use chrono::TimeDelta;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::Code;

use crate::fixture::{NOBODY, World, issued};

/// Has the customers answer, one each.
async fn answer(world: &mut World, survey: &pb::Survey, scores: &[i32]) {
    let customers: Vec<_> = (0..scores.len())
        .map(|number| format!("c{number}"))
        .collect();
    let names: Vec<_> = customers.iter().map(String::as_str).collect();
    let request = world.invite(survey, &names);
    let invited = world
        .surveys
        .create_invitations(request)
        .await
        .unwrap()
        .into_inner();
    for (score, outcome) in scores.iter().zip(&invited.outcomes) {
        world.submit(&issued(outcome).token, *score).await.unwrap();
    }
}

async fn world(backend: Backend) -> World {
    let customers: Vec<_> = (0..10).map(|number| format!("c{number}")).collect();
    World::with(
        backend,
        &customers.iter().map(String::as_str).collect::<Vec<_>>(),
    )
    .await
}

fn of(survey: &pb::Survey) -> pb::GetMetricRequest {
    pb::GetMetricRequest {
        survey_id: survey.survey_id.clone(),
        ..Default::default()
    }
}

async fn metric(world: &mut World, request: pb::GetMetricRequest) -> pb::Metric {
    world
        .surveys
        .get_metric(request)
        .await
        .unwrap()
        .into_inner()
        .metric
        .unwrap()
}

fn near(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-6
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn nps_comes_with_its_groups_and_interval(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = world(backend).await;
    let survey = world.survey(pb::SurveyType::Nps).await;
    let empty = metric(&mut world, of(&survey)).await;
    assert_eq!(
        (empty.responses, empty.value, empty.interval),
        (0, None, None)
    );
    assert_eq!(empty.scores.len(), 11);

    answer(&mut world, &survey, &[10; 10]).await;
    let full = metric(&mut world, of(&survey)).await;
    let interval = full.interval.unwrap();
    assert!(near(full.value.unwrap(), 100.0));
    assert!(
        near(interval.low, 47.503_551_545) && near(interval.high, 100.0),
        "{interval:?}"
    );
    assert_eq!(
        interval.confidence(),
        pb::ConfidenceLevel::ConfidenceLevel95
    );
    assert_eq!(interval.method(), pb::IntervalMethod::AdjustedWald);

    answer(&mut world, &survey, &[0, 6, 7, 8, 9, 10]).await;
    let mixed = metric(&mut world, of(&survey)).await;
    assert_eq!(mixed.responses, 16);
    let groups = pb::NpsGroups {
        promoters: 12,
        passives: 2,
        detractors: 2,
    };
    assert_eq!(mixed.groups, Some(Groups::Nps(groups)));
    assert!(near(mixed.value.unwrap(), 62.5));
    let counts: Vec<_> = mixed
        .scores
        .iter()
        .map(|count| (count.score, count.responses))
        .collect();
    assert_eq!(counts[6..], [(6, 1), (7, 1), (8, 1), (9, 1), (10, 11)]);

    let wider = pb::GetMetricRequest {
        confidence: pb::ConfidenceLevel::ConfidenceLevel99.into(),
        ..of(&survey)
    };
    let wider = metric(&mut world, wider).await.interval.unwrap();
    let interval = mixed.interval.unwrap();
    assert!(wider.low < interval.low && wider.high > interval.high);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn csat_is_the_share_of_satisfied_answers(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = world(backend).await;
    let survey = world.survey(pb::SurveyType::Csat).await;
    answer(&mut world, &survey, &[1, 2, 3, 1, 2, 3, 1, 2, 3, 1]).await;
    let none = metric(&mut world, of(&survey)).await;
    let interval = none.interval.unwrap();
    assert!(
        near(none.value.unwrap(), 0.0),
        "an answered zero is a value"
    );
    assert!(
        near(interval.low, 0.0) && near(interval.high, 27.753_279_986),
        "{interval:?}"
    );
    assert_eq!(interval.method(), pb::IntervalMethod::Wilson);
    answer(&mut world, &survey, &[4, 5, 4, 5, 4, 5, 4, 5, 4, 5]).await;
    let half = metric(&mut world, of(&survey)).await;
    assert!(near(half.value.unwrap(), 50.0));
    let groups = pb::CsatGroups {
        satisfied: 10,
        not_satisfied: 10,
    };
    assert_eq!(half.groups, Some(Groups::Csat(groups)));
    assert_eq!(half.scores.len(), 5);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_time_range_has_its_beginning_and_not_its_end(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = world(backend).await;
    let survey = world.survey(pb::SurveyType::Nps).await;
    let start = world.in_days(0);
    answer(&mut world, &survey, &[10]).await;
    world.server.clock.advance(TimeDelta::days(1));
    let middle = world.in_days(0);
    answer(&mut world, &survey, &[0, 0]).await;
    for (submitted_from, submitted_before, responses) in [
        (None, None, 3),
        (Some(start), Some(middle), 1),
        (Some(middle), None, 2),
        (None, Some(start), 0),
    ] {
        let range = pb::GetMetricRequest {
            submitted_from,
            submitted_before,
            ..of(&survey)
        };
        assert_eq!(metric(&mut world, range).await.responses, responses);
    }

    let bad = pb::GetMetricRequest {
        submitted_from: Some(middle),
        submitted_before: Some(start),
        confidence: 7,
        ..of(&survey)
    };
    let status = world.surveys.get_metric(bad).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(violations(&status), ["submitted_before", "confidence"]);
    for (id, code, reason) in [
        ("x", Code::InvalidArgument, "INVALID_REQUEST"),
        (NOBODY, Code::NotFound, "SURVEY_NOT_FOUND"),
    ] {
        let request = pb::GetMetricRequest {
            survey_id: id.to_owned(),
            ..Default::default()
        };
        assert_refused(world.surveys.get_metric(request).await, code, reason);
    }
}
