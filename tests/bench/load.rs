//! A closed loop of callers, bounded in time, and what it measured.

use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// How many callers, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub connections: usize,
    pub in_flight: usize,
    pub length: Duration,
}

/// A call: whose, and the caller's how many-th.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    pub caller: usize,
    pub number: usize,
}

/// One slice of time.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    pub per_second: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

impl Load {
    /// Calls as fast as answers come; a call that fails ends the benchmark.
    pub async fn measure<T, F>(
        self,
        url: &str,
        call: impl Fn(Channel, Turn) -> F + Clone + Send + 'static,
    ) -> Measured
    where
        F: Future<Output = Result<T, Status>> + Send + 'static,
        T: Send + 'static,
    {
        let began = Instant::now();
        let mut callers = JoinSet::new();
        for connection in 0..self.connections {
            let channel = connect(url);
            for place in 0..self.in_flight {
                let (channel, call) = (channel.clone(), call.clone());
                let caller = connection * self.in_flight + place;
                callers.spawn(async move {
                    let mut took = Vec::new();
                    for number in 0.. {
                        let call_began = Instant::now();
                        call(channel.clone(), Turn { caller, number })
                            .await
                            .expect("every call goes well");
                        took.push(call_began.elapsed());
                        if began.elapsed() >= self.length {
                            break;
                        }
                    }
                    took
                });
            }
        }
        let took = callers.join_all().await.into_iter().flatten().collect();
        Measured::of(took, began.elapsed())
    }
}

impl Measured {
    /// Calls that took so long each, all of them so long.
    pub fn of(mut took: Vec<Duration>, all: Duration) -> Self {
        took.sort_unstable();
        let per_mille = |place: usize| took[(took.len() - 1) * place / 1000].as_secs_f64() * 1e6;
        Self {
            per_second: took.len() as f64 / all.as_secs_f64(),
            p50_us: per_mille(500),
            p99_us: per_mille(990),
        }
    }

    /// All calls of several slices of the same length: their throughput, and the middle of the slices' latencies.
    pub fn all(slices: &[Self]) -> Self {
        let middle = |number: fn(&Self) -> f64| {
            let mut numbers: Vec<_> = slices.iter().map(number).collect();
            numbers.sort_by(f64::total_cmp);
            numbers[numbers.len() / 2]
        };
        let per_second: f64 = slices.iter().map(|slice| slice.per_second).sum();
        Self {
            per_second: per_second / slices.len() as f64,
            p50_us: middle(|slice| slice.p50_us),
            p99_us: middle(|slice| slice.p99_us),
        }
    }
}

/// Whose turn it is in a round. What a slice leaves behind (work of the disk, a cold cache) slows the next one down: who
/// comes after whom is up to chance, and turned around in every second round, so that each has the same ones before it.
pub fn turns<T>(all: impl IntoIterator<Item = T>, round: u64) -> Vec<T> {
    let mut turns: Vec<_> = all.into_iter().collect();
    turns.shuffle(&mut StdRng::seed_from_u64(round / 2));
    if round % 2 == 1 {
        turns.reverse();
    }
    turns
}

/// A number from the environment, else the usual one.
pub fn setting(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a whole number, not {text:?}"))
    })
}

/// A channel of one connection.
fn connect(url: &str) -> Channel {
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("a server's URL");
    endpoint.tcp_nodelay(true).connect_lazy()
}
