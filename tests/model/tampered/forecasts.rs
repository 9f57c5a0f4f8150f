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
        panic!("{:#?}", events[3]);
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
        |told| drop(told.buckets.pop()),
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
    let mut later = history(&[balance(), balance(), balance(), balance(), events[3].request.clone()]);
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
