use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::judge::Judge;
use crate::backoff::Backoff;
use crate::error::{Failure, RetryError};
use crate::run::Run;
use crate::verdict::{Attempt, By, Verdict};

/// The [`Judge`] has said what to do by the time that the run asks, so to the run the verdict is the error.
/// What the service gave stays here, for the caller to get as it is.
pub(crate) type Told = By<fn(&Verdict, &Attempt) -> Verdict>;

/// The first outcome that is no failure; or why there is none, and what the last attempt gave.
pub(crate) type End<Res, E> = Result<Res, (RetryError<Verdict>, Result<Res, Failure<E>>)>;

pin_project! {
    /// One call: its attempts, one after the other, and the waits between them.
    pub(crate) struct Attempts<'p, S, Req, J, K, B>
    where
        S: Service<Req>,
        J: Judge<Req, S::Response, S::Error>,
    {
        run: Run<'p, Verdict, B, Told>,
        service: S,
        judge: J,
        clone: K,
        note: J::Note,
        // For the next attempt; `None` if there can be none.
        copy: Option<Req>,
        // What the last attempt gave, until the next one begins.
        last: Option<Result<S::Response, Failure<S::Error>>>,
        #[pin]
        stage: Stage<Req, S::Future>,
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<Req, F> {
        // The service is to be ready, and then gets this.
        Ready {
            request: Option<Req>,
        },
        Call {
            #[pin]
            fut: F,
        },
        Wait,
        Done,
    }
}

impl<'p, S, Req, J, K, B> Attempts<'p, S, Req, J, K, B>
where
    S: Service<Req> + Clone,
    J: Judge<Req, S::Response, S::Error>,
    K: Fn(&Req) -> Option<Req>,
    B: Backoff,
{
    /// Calls `service`, which is ready.
    pub(crate) fn new(
        run: Run<'p, Verdict, B, Told>,
        mut service: S,
        judge: J,
        clone: K,
        request: Req,
    ) -> Self {
        let note = judge.note(&request);
        let copy = clone(&request);
        let fut = service.call(request);
        Self {
            run,
            service,
            judge,
            clone,
            note,
            copy,
            last: None,
            stage: Stage::Call { fut },
        }
    }

    /// Ready with the first outcome that is no failure, or when there are no more attempts.
    pub(crate) fn poll_end(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<End<S::Response, S::Error>> {
        loop {
            let mut this = self.as_mut().project();
            let proceed = match this.stage.as_mut().project() {
                StageProj::Ready { .. } | StageProj::Call { .. } => {
                    let failure = match ready!(self.as_mut().poll_attempt(cx)) {
                        Ok(response) => {
                            self.project().stage.set(Stage::Done);
                            return Poll::Ready(Ok(response));
                        }
                        Err(failure) => self.as_mut().note_failure(failure),
                    };
                    let mut this = self.as_mut().project();
                    this.stage.set(Stage::Wait);
                    // What it set aside for the call, such as a place under a limit, is free meanwhile.
                    *this.service = this.service.clone();
                    this.run.judge(failure)
                }
                StageProj::Wait => {
                    let due = ready!(this.run.poll_wait(cx));
                    if due.is_ok() {
                        *this.last = None;
                        let request = this.copy.take();
                        this.stage.set(Stage::Ready { request });
                    }
                    due
                }
                StageProj::Done => panic!("a retried call polled after it was done"),
            };
            if let Err(error) = proceed {
                let mut this = self.project();
                this.stage.set(Stage::Done);
                let last = this.last.take().expect("it follows a failure");
                return Poll::Ready(Err((error, last)));
            }
        }
    }

    /// Waits for the service, calls it, and judges what comes of that: all within the attempt's time.
    fn poll_attempt(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Response, Failure<Verdict>>> {
        let mut this = self.project();
        let attempt = poll_fn(|cx| {
            if let StageProj::Ready { request } = this.stage.as_mut().project() {
                if let Err(error) = ready!(this.service.poll_ready(cx)) {
                    // A service that fails to get ready is to be called no more.
                    *this.last = Some(Err(Failure::Error(error)));
                    return Poll::Ready(Err(Verdict::Abort));
                }
                let request = request.take().expect("each attempt has one");
                *this.copy = (this.clone)(&request);
                let fut = this.service.call(request);
                this.stage.set(Stage::Call { fut });
            }
            let StageProj::Call { fut } = this.stage.as_mut().project() else {
                unreachable!("it was set above");
            };
            let outcome = ready!(fut.poll(cx));
            let verdict = this
                .judge
                .judge(this.note, outcome.as_ref().map_err(Failure::Error));
            Poll::Ready(match (outcome, verdict) {
                (Ok(response), None) => Ok(response),
                (outcome, verdict) => {
                    *this.last = Some(outcome.map_err(Failure::Error));
                    Err(verdict.unwrap_or(Verdict::Abort))
                }
            })
        });
        this.run.poll_attempt(pin!(attempt), cx)
    }

    /// What the run is told of it.
    fn note_failure(self: Pin<&mut Self>, failure: Failure<Verdict>) -> Failure<Verdict> {
        let mut this = self.project();
        let mut told = failure;
        if failure.is_timeout() {
            *this.last = Some(Err(Failure::TimedOut));
            if let StageProj::Ready { request } = this.stage.as_mut().project() {
                // It was never sent.
                *this.copy = request.take();
            } else {
                match this.judge.judge(this.note, Err(Failure::TimedOut)) {
                    Some(Verdict::Retry) => {}
                    verdict => told = Failure::Error(verdict.unwrap_or(Verdict::Abort)),
                }
            }
        }
        match this.copy {
            Some(_) => told,
            None => Failure::Error(Verdict::Abort),
        }
    }
}
