//! The life of one Kafka connection: frames are read, worked on together, and answered in the order they came.
//!
//! Each request is polled once, at once, in order of arrival, before the next frame is looked at: a handler does
//! everything that must keep the order (decoding, checks, the append) before its first await. The rest of the work of
//! several requests overlaps; their answers leave in order, as many in one system call as are ready.
//!
//! A client that leaves does not cancel what it asked for: requests in flight are finished (up to a limit), because
//! what they do may matter to others.

use std::future::{Future, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use outlast_broker::{Broker, CloseConnection, Connection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::select;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{debug, info};

use crate::answers::Answers;
use crate::byte_budget::ByteBudget;
use crate::config::Limits;
use crate::frame_reader::{Frame, FrameError, FrameReader};
use crate::metrics::{CloseReason, Counted, ServerMetrics};
use crate::patience::{Observation, Patience};
use crate::server::Stage;

/// What all connections of a server share.
pub(crate) struct Shared {
    pub(crate) broker: Arc<Broker>,
    pub(crate) limits: Limits,
    pub(crate) budget: ByteBudget,
    pub(crate) metrics: ServerMetrics,
}

type Answer = Result<Option<Vec<Bytes>>, CloseConnection>;
type Request = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Serves one connection until it ends; says why it ended.
pub(crate) async fn serve<R, W>(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    mut source: R,
    mut sink: W,
    mut stage: watch::Receiver<Stage>,
) -> CloseReason
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let limits = &shared.limits;
    let mut frames = FrameReader::new(limits.max_request_bytes, shared.budget.clone());
    let mut patience = Patience::new(limits);
    let mut session = Session::new(Arc::clone(&shared), connection);
    let mut stopping = pin!(Stage::Draining.reached(&mut stage));
    let period = patience.period();
    let mut looks = interval_at(Instant::now() + period, period);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);

    loop {
        if let Some(reason) = session.ended() {
            return reason;
        }
        select! {
            biased;
            Some(answer) = session.in_flight.next(), if session.takes_answers(limits) => {
                session.answered(answer);
            }
            written = session.answers.write(&mut sink), if !session.answers.is_empty() => {
                session.wrote(written);
            }
            // Before the next request: a client that never pauses must not keep the server from stopping.
            _ = &mut stopping, if session.closing.is_none() => session.close(CloseReason::Stop),
            frame = frames.next(&mut source), if session.takes_requests(limits) => {
                session.read(frame).await;
            }
            _ = looks.tick() => {
                let awaited_frame = frames
                    .awaited_from_peer()
                    .filter(|_| session.takes_requests(limits));
                if let Some(reason) = patience.look(period, session.observe(awaited_frame)) {
                    return reason;
                }
            }
        }
    }
}

/// One connection's requests and answers, without its socket.
struct Session {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    in_flight: FuturesOrdered<Request>,
    answers: Answers,
    /// Bytes of answers that are ready but wait for an earlier request's answer.
    parked: Arc<AtomicUsize>,
    frames: u64,
    /// Set when no further request is read; what is in flight is finished first.
    closing: Option<CloseReason>,
    /// The socket takes nothing any more.
    deaf: bool,
}

impl Session {
    fn new(shared: Arc<Shared>, connection: Arc<Connection>) -> Self {
        Self {
            shared,
            connection,
            in_flight: FuturesOrdered::new(),
            answers: Answers::default(),
            parked: Arc::default(),
            frames: 0,
            closing: None,
            deaf: false,
        }
    }

    fn ended(&self) -> Option<CloseReason> {
        self.closing
            .filter(|_| self.in_flight.is_empty() && self.answers.is_empty())
    }

    fn takes_answers(&self, limits: &Limits) -> bool {
        !self.in_flight.is_empty() && self.answers.unsent() < limits.max_unsent_bytes
    }

    fn takes_requests(&self, limits: &Limits) -> bool {
        self.closing.is_none()
            && self.in_flight.len() < limits.max_requests_in_flight
            && self.answers.unsent() + self.parked.load(Ordering::Relaxed) < limits.max_unsent_bytes
    }

    fn observe(&self, awaited_frame: Option<usize>) -> Observation {
        Observation {
            frames: self.frames,
            written: self.answers.written(),
            awaited_frame,
            working: !self.in_flight.is_empty(),
            unsent: !self.answers.is_empty(),
            client_gone: self.deaf || matches!(self.closing, Some(CloseReason::Client)),
        }
    }

    /// The first reason stands: what follows from it is not what happened.
    fn close(&mut self, reason: CloseReason) {
        if self.closing.is_none() {
            self.closing = Some(reason);
            // What the client has in its hands goes back before the last of its requests is done.
            if reason != CloseReason::Stop {
                self.shared.broker.connection_closed(&self.connection);
            }
        }
    }

    async fn read(&mut self, frame: Result<Option<Frame>, FrameError>) {
        match frame {
            Ok(Some(frame)) => self.start(frame).await,
            // The client may have closed its writing half only, and still be waiting for answers.
            Ok(None) => self.close(CloseReason::Client),
            Err(FrameError::Io(error)) => {
                debug!(peer = %self.connection.peer, %error, "connection lost");
                self.close(CloseReason::Network);
            }
            Err(error) => {
                info!(peer = %self.connection.peer, "closing the connection: {error}");
                self.close(CloseReason::BadRequest);
            }
        }
    }

    /// Starts a request and polls it once, so that its effects come in order of arrival.
    async fn start(&mut self, frame: Frame) {
        self.frames += 1;
        let metrics = &self.shared.metrics;
        metrics.received.inc_by(frame.bytes.len() as u64 + 4);
        let mut request = self.request(frame);
        match poll_fn(|cx| Poll::Ready(request.as_mut().poll(cx))).await {
            Poll::Pending => self.in_flight.push_back(request),
            Poll::Ready(answer) if self.in_flight.is_empty() => self.answered(answer),
            Poll::Ready(answer) => self.in_flight.push_back(Box::pin(ready(answer))),
        }
    }

    fn request(&self, frame: Frame) -> Request {
        let broker = Arc::clone(&self.shared.broker);
        let connection = Arc::clone(&self.connection);
        let parked = Arc::clone(&self.parked);
        let in_flight = Counted::new(&self.shared.metrics.requests_in_flight);
        Box::pin(async move {
            let answer = broker.handle(&connection, frame.bytes).await;
            // The answer no longer needs the request's place in the byte budget, even if it waits for its turn.
            drop((frame.permit, in_flight));
            parked.fetch_add(size(&answer), Ordering::Relaxed);
            answer
        })
    }

    fn answered(&mut self, answer: Answer) {
        self.parked.fetch_sub(size(&answer), Ordering::Relaxed);
        match answer {
            Ok(Some(answer)) if !self.deaf => self.answers.push(answer),
            Ok(_) => {}
            Err(reason) => {
                info!(peer = %self.connection.peer, "closing the connection: {reason}");
                self.close(CloseReason::BadRequest);
                // Answers to what came after a bad request would be taken for its answer.
                self.deaf = true;
            }
        }
    }

    fn wrote(&mut self, written: std::io::Result<usize>) {
        match written {
            Ok(bytes) => {
                self.shared.metrics.sent.inc_by(bytes as u64);
            }
            Err(error) => {
                debug!(peer = %self.connection.peer, %error, "connection lost");
                self.answers.clear();
                self.deaf = true;
                self.close(CloseReason::Network);
            }
        }
    }
}

fn size(answer: &Answer) -> usize {
    match answer {
        Ok(Some(slices)) => slices.iter().map(Bytes::len).sum(),
        Ok(None) | Err(_) => 0,
    }
}
