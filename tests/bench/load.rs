//! A closed loop of callers, bounded in time, and what it measured.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::Channel;

/// Long enough for a stable median, short enough for many interleaved rounds.
const LENGTH: Duration = Duration::from_secs(2);

/// How many callers.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub connections: usize,
    pub in_flight: usize,
}

/// One round.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    pub per_second: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

impl Load {
    /// Calls as fast as answers come; a call that fails ends the benchmark.
    pub async fn measure<T, F>(self, url: &str, call: fn(Channel, usize) -> F) -> Measured
    where
        F: Future<Output = Result<T, Status>> + Send + 'static,
        T: Send + 'static,
    {
        let began = Instant::now();
        let mut callers = JoinSet::new();
        for connection in 0..self.connections {
            let channel = super::connect(url);
            for caller in 0..self.in_flight {
                let channel = channel.clone();
                let first = connection * self.in_flight + caller;
                callers.spawn(async move {
                    let mut took = Vec::new();
                    for number in 0.. {
                        let call_began = Instant::now();
                        call(channel.clone(), first + number * 31)
                            .await
                            .expect("every call goes well");
                        took.push(call_began.elapsed());
                        if began.elapsed() >= LENGTH {
                            break;
                        }
                    }
                    took
                });
            }
        }
        let mut took: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
        let seconds = began.elapsed().as_secs_f64();
        took.sort_unstable();
        let per_mille = |place: usize| took[(took.len() - 1) * place / 1000].as_secs_f64() * 1e6;
        Measured {
            per_second: took.len() as f64 / seconds,
            p50_us: per_mille(500),
            p99_us: per_mille(990),
        }
    }
}

/// The round in the middle by throughput.
pub fn median(mut rounds: Vec<Measured>) -> Measured {
    rounds.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    rounds[rounds.len() / 2]
}
