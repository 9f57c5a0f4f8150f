//! gRPC's framing of a message that is there in one piece: a byte that says whether it is compressed, its length in
//! four bytes, the message (gRPC over HTTP/2, "Length-Prefixed-Message").

use axum::body::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream};
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use prost::Message;
use prost::bytes::{BufMut as _, BytesMut};
use tonic::Status;
use tonic::body::Body;

const HEAD_BYTES: usize = 5;
const PLAIN: u8 = 0;

type Frame = http_body::Frame<Bytes>;

/// What of a body has arrived.
#[derive(Default)]
pub(super) struct Arrived {
    data: Option<Bytes>,
    /// Whatever came after the first data and is not nothing.
    more: Option<Result<Frame, Status>>,
    ended: bool,
}

impl Arrived {
    /// Reads what is there, without waiting.
    pub fn of(body: &mut Body) -> Self {
        let mut arrived = Self::default();
        let _ = arrived.read_on(body).now_or_never();
        arrived
    }

    /// Whether nothing more needs to be known: it has ended, or is not one message.
    pub fn is_clear(&self) -> bool {
        self.ended || self.more.is_some()
    }

    /// Reads until that is so. Dropped before, it has lost nothing of what it read.
    pub async fn read_on(&mut self, body: &mut Body) {
        while !self.is_clear() {
            match body.frame().await.map(|frame| frame.map(Frame::into_data)) {
                None => self.ended = true,
                Some(Ok(Ok(data))) if data.is_empty() => {}
                Some(Ok(Ok(data))) if self.data.is_none() => self.data = Some(data),
                Some(Ok(Ok(data))) => self.more = Some(Ok(Frame::data(data))),
                Some(Ok(Err(trailers))) => self.more = Some(Ok(trailers)),
                Some(Err(status)) => self.more = Some(Err(status)),
            }
        }
    }

    /// The message, if the body was one plain message and nothing else.
    pub fn message(&self) -> Option<Bytes> {
        let data = self.data.as_ref().filter(|_| self.ended)?;
        let (head, message) = data.split_at_checked(HEAD_BYTES)?;
        let (&kind, length) = head.split_first()?;
        let length = u32::from_be_bytes(length.try_into().ok()?);
        let whole = kind == PLAIN && u32::try_from(message.len()) == Ok(length);
        whole.then(|| data.slice(HEAD_BYTES..))
    }

    /// The body as if nothing of it had been read.
    pub fn before(self, rest: Body) -> Body {
        let data = self.data.map(|data| Ok(Frame::data(data)));
        let read = stream::iter(data.into_iter().chain(self.more));
        if self.ended {
            return Body::new(StreamBody::new(read));
        }
        Body::new(StreamBody::new(read.chain(BodyStream::new(rest))))
    }
}

/// A message as it goes over the wire.
pub(super) fn encode(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(HEAD_BYTES + length);
    framed.put_u8(PLAIN);
    framed.put_u32(u32::try_from(length).expect("an answer has less than 4 GiB"));
    message
        .encode(&mut framed)
        .expect("the buffer grows as it must");
    framed.freeze()
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    fn arrived(bytes: &'static [u8]) -> (Arrived, Body) {
        let mut body = Body::new(Full::new(Bytes::from_static(bytes)));
        (Arrived::of(&mut body), body)
    }

    #[test]
    fn one_whole_plain_message_is_read() {
        let (read, _) = arrived(&[0, 0, 0, 0, 2, 8, 1]);
        assert_eq!(read.message().as_deref(), Some(&[8, 1][..]));
        let (empty, _) = arrived(&[0, 0, 0, 0, 0]);
        assert_eq!(empty.message().as_deref(), Some(&[][..]));
    }

    #[test]
    fn whatever_else_came_is_not() {
        for bytes in [
            &[][..],
            &[0, 0, 0],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 3, 8, 1],
            &[0, 0, 0, 0, 1, 8, 1],
        ] {
            let (read, _) = arrived(bytes);
            assert_eq!(read.message(), None, "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn what_was_read_can_be_read_again() {
        let halves = stream::iter([&b"\0\0\0\0"[..], b"", b"\x02\x08\x01"])
            .map(|half| Ok::<_, Status>(Frame::data(Bytes::from_static(half))));
        // The last half is not there yet at the first look.
        let late = stream::once(tokio::task::yield_now()).filter_map(async |()| None);
        let mut body = Body::new(StreamBody::new(halves.chain(late)));
        let read = Arrived::of(&mut body);
        assert_eq!(read.message(), None);
        let whole = read.before(body).collect().await.expect("it was sent");
        assert_eq!(whole.to_bytes(), &b"\0\0\0\0\x02\x08\x01"[..]);
    }

    #[tokio::test]
    async fn what_comes_late_is_waited_for() {
        let whole = || Frame::data(Bytes::from_static(b"\0\0\0\0\x02\x08\x01"));
        let late = stream::once(tokio::task::yield_now()).map(move |()| Ok::<_, Status>(whole()));
        let mut body = Body::new(StreamBody::new(late.boxed()));
        let mut read = Arrived::of(&mut body);
        assert!(!read.is_clear());
        read.read_on(&mut body).await;
        assert_eq!(read.message().as_deref(), Some(&[8, 1][..]));
    }

    #[test]
    fn what_is_encoded_is_framed() {
        assert_eq!(&encode(&1_u32)[..], [0, 0, 0, 0, 2, 8, 1]);
    }
}
