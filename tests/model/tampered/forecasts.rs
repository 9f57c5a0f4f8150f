//! What is foretold.

use super::*;
use crate::answers::stamp;
use crate::model::DAY;

/// Of what expires in ten days some is held, and some never expires.
fn foretold() -> Vec<Event> {
    let Request::Earn(mut expiring) = earn(100) else {
        panic!("it earns");
    };
    expiring.expires_at = Some(stamp(10 * DAY));
    let forecast = pb::ForecastExpiryRequest {
        customer_id: ALICE.to_owned(),
        horizon_days: 12,
        bucket_days: 5,
        ..Default::default()
    };
    let events = [
        Request::Earn(expiring),
        earn(7),
        hold(30),
        Request::Forecast(forecast),
    ];
    history(&events)
}

fn forecast(events: &mut [Event]) -> &mut pb::ForecastExpiryResponse {
    let Ok(Response::Forecast(told)) = &mut events[3].answer else {
        panic!("it is read last");
    };
    told
}

#[test]
fn points_that_expire_are_foretold_where_they_do() {
    let mut events = foretold();
    let told = forecast(&mut events);
    let buckets: Vec<_> = told.buckets.iter().map(|it| (it.points, it.held)).collect();
    assert_eq!(buckets, [(0, 0), (70, 30), (0, 0)]);
    assert_eq!((told.points_later, told.held_later), (7, 0));
    check(nobody(), &events).unwrap();
}

#[test]
fn points_that_are_foretold_elsewhere_are_found() {
    let forgeries: [fn(&mut pb::ForecastExpiryResponse); 4] = [
        |told| {
            told.buckets[2].points = std::mem::take(&mut told.buckets[1].points);
        },
        |told| told.buckets[1].held -= 1,
        |told| told.points_later += 1,
        |told| told.buckets.truncate(2),
    ];
    for forge in forgeries {
        let mut events = foretold();
        forge(forecast(&mut events));
        assert!(check(nobody(), &events).is_err());
    }
}

/// What is asked of now is of an instant of the call.
#[test]
fn a_forecast_of_another_instant_is_found() {
    let mut events = foretold();
    let mut later = history(&[
        balance(),
        balance(),
        balance(),
        balance(),
        events[3].request.clone(),
    ]);
    let Ok(Response::Forecast(of_later)) = &mut later[4].answer else {
        panic!("{:#?}", later[4]);
    };
    let told = forecast(&mut events);
    for (bucket, at) in told.buckets.iter_mut().zip(&of_later.buckets) {
        (bucket.from, bucket.to) = (at.from, at.to);
    }
    told.as_of = of_later.as_of;
    assert!(check(nobody(), &events).is_err());
}

fn progress(events: &mut [Event]) -> &mut pb::TierProgress {
    let Ok(Response::Progress(told)) = &mut events.last_mut().expect("there are some").answer
    else {
        panic!("it is read last");
    };
    told.progress.as_mut().unwrap()
}

/// Of someone who has earned the second tier for a year, and has the third by hand for some days.
fn asked() -> Vec<Event> {
    let read = pb::GetTierProgressRequest {
        customer_id: ALICE.to_owned(),
        as_of: Some(stamp(DAY)),
        ..Default::default()
    };
    let given = pb::OverrideTierRequest {
        customer_id: ALICE.to_owned(),
        tier: "Gold".to_owned(),
        expires_at: Some(stamp(10 * DAY)),
        ..Default::default()
    };
    history(&[earn(130), Request::Override(given), Request::Progress(read)])
}

#[test]
fn moves_are_foretold() {
    let mut events = asked();
    check(nobody(), &events).unwrap();
    let told = progress(&mut events);
    let moves: Vec<_> = told
        .forecasts
        .iter()
        .map(|it| {
            let at = it.at.as_ref().map(crate::answers::micros).unwrap();
            (
                at,
                it.to_tier.as_str(),
                it.qualifying_points,
                it.points_to_stay,
            )
        })
        .collect();
    let expected = [
        (10 * DAY, "Silver", 130, 120),
        (365 * DAY + 1, "Bronze", 0, 100),
    ];
    assert_eq!(moves, expected);
    assert_eq!(
        (told.tier.as_str(), told.earned_tier.as_str()),
        ("Gold", "Silver")
    );
    assert_eq!(told.goals.len(), 1);
    assert_eq!(told.goals[0].points_missing, 120);
}

#[test]
fn progress_that_is_none_is_found() {
    let forgeries: [fn(&mut pb::TierProgress); 6] = [
        |told| told.goals[0].points_missing -= 1,
        |told| told.qualifying_points += 1,
        |told| told.next_fall = told.forecasts.last().cloned(),
        |told| told.forecasts[0].points_to_stay -= 1,
        |told| drop(told.forecasts.pop()),
        |told| told.as_of = Some(stamp(DAY + 1)),
    ];
    for forge in forgeries {
        let mut events = asked();
        forge(progress(&mut events));
        assert!(check(nobody(), &events).is_err());
    }
}
