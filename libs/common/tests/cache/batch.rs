//! Many lookups at once.

use std::sync::Mutex;

use common::Error;
use common::cache::{CacheBackend, Key};

use super::support::{Cache, Loaded, Rows, cache, key, options, versioned};

fn wanted(numbers: &[usize]) -> Vec<(Key, i64)> {
    numbers.iter().map(|&number| (key(number), 0)).collect()
}

#[tokio::test]
async fn only_what_no_level_has_is_loaded_and_the_order_is_kept() {
    let server = testkit::redis().await;
    let with_redis = cache(&server.url).await;
    let without = Cache::new(&CacheBackend::in_process(), "tier", options());
    for cache in [with_redis, without] {
        let rows = Rows::with(4);
        rows.get(&cache, 1).await;
        rows.get(&cache, 3).await;
        rows.get(&cache, 3).await;
        let numbers = [0, 1, 2, 9, 3, 0];
        let asked = Mutex::new(Vec::new());
        let load = async |missing: Vec<usize>| {
            asked.lock().unwrap().clone_from(&missing);
            missing
                .into_iter()
                .map(|position| rows.load(numbers[position]))
                .collect()
        };
        let found = cache
            .get_many(&wanted(&numbers), |_| true, load)
            .await
            .unwrap();
        assert_eq!(*asked.lock().unwrap(), [0, 2, 3, 5]);
        for (number, found) in numbers.into_iter().zip(found) {
            assert_eq!(found, (number < 4).then(|| versioned(1)), "{number}");
        }
        let unreachable = async |_| panic!("they are cached");
        let again = cache
            .get_many(&wanted(&[2, 1, 0]), |_| true, unreachable)
            .await
            .unwrap();
        assert!(again.into_iter().all(|found| found == Some(versioned(1))));
    }
}

#[tokio::test]
async fn each_key_of_a_batch_has_its_own_at_least() {
    let cache = Cache::new(&CacheBackend::in_process(), "tier", options());
    let rows = Rows::with(2);
    for number in 0..2 {
        rows.get(&cache, number).await;
    }
    rows.commit(1);
    let wanted = [(key(0), 1), (key(1), 2)];
    let load = async |missing: Vec<usize>| missing.into_iter().map(|row| rows.load(row)).collect();
    let found = cache.get_many(&wanted, |_| true, load).await.unwrap();
    assert_eq!(found, [Some(versioned(1)), Some(versioned(2))]);
    assert_eq!(rows.loads(), 3);
    let ahead = [(key(0), 9)];
    let behind = cache.get_many(&ahead, |_| true, load).await;
    assert!(matches!(behind, Err(Error::Behind)), "{behind:?}");
}

#[tokio::test]
async fn a_loader_that_answers_too_little_is_an_error() {
    let cache = Cache::new(&CacheBackend::in_process(), "tier", options());
    let short = async |_| -> Result<Vec<_>, Error> { Loaded::Ok(None).map(|found| vec![found]) };
    let found = cache.get_many(&wanted(&[0, 1]), |_| true, short).await;
    assert!(matches!(found, Err(Error::Internal(_))), "{found:?}");
    assert!(
        cache
            .get_many(&[], |_| true, short)
            .await
            .unwrap()
            .is_empty()
    );
}
