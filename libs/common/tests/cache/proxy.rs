//! A network between cache and Redis that can be cut and can stall.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, PartialEq)]
enum State {
    Flowing,
    Stalled,
    Cut,
}

pub struct Proxy {
    pub url: String,
    state: Arc<watch::Sender<State>>,
}

impl Proxy {
    pub async fn before(redis_url: &str) -> Self {
        let to = redis_url
            .strip_prefix("redis://")
            .expect("a Redis URL")
            .to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let state = Arc::new(watch::Sender::new(State::Flowing));
        let states = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *states.borrow() == State::Cut {
                    continue;
                }
                let (client_read, client_write) = client.into_split();
                let (read, write) = TcpStream::connect(&to).await.unwrap().into_split();
                tokio::spawn(pump(client_read, write, states.subscribe()));
                tokio::spawn(pump(read, client_write, states.subscribe()));
            }
        });
        Self { url, state }
    }

    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Connections stay and are accepted; nothing gets through.
    pub fn stall(&self) {
        self.state.send_replace(State::Stalled);
    }

    pub fn restore(&self) {
        self.state.send_replace(State::Flowing);
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut buffer = [0; 4096];
    loop {
        let cut = async {
            let _ = state.clone().wait_for(|state| *state == State::Cut).await;
        };
        let read = tokio::select! {
            () = cut => return,
            read = from.read(&mut buffer) => read,
        };
        let Ok(count @ 1..) = read else {
            return;
        };
        let Ok(now) = state
            .wait_for(|state| *state != State::Stalled)
            .await
            .map(|now| *now)
        else {
            return;
        };
        if now == State::Cut || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
