use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::task::coop;
use tokio::time::{Sleep, sleep_until};

use crate::clock::Timestamp;

pin_project! {
    /// A timer that costs nothing until somebody really waits on it.
    #[derive(Debug)]
    pub struct Timer {
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl Timer {
    /// Not armed.
    pub const fn new() -> Self {
        Self { sleep: None }
    }

    /// Ready once `at` has come; armed by the first call.
    pub fn poll(self: Pin<&mut Self>, at: Timestamp, cx: &mut Context<'_>) -> Poll<()> {
        let mut sleep = self.project().sleep;
        if sleep.is_none() {
            let Some(at) = at.to_instant() else {
                return Poll::Pending;
            };
            #[cfg(all(test, not(shibuya_loom)))]
            armed::count();
            sleep.set(Some(sleep_until(at)));
        }
        let sleep = sleep.as_mut().as_pin_mut().expect("armed above");
        // Tokio sleeps to the millisecond and rounds up, so its word counts, not the clock's. It asks for
        // budget first: what has used up all of it must not be able to outlive its timer by that.
        match coop::has_budget_remaining() {
            true => sleep.poll(cx),
            false => pin!(coop::unconstrained(sleep)).poll(cx),
        }
    }

    /// Stops waiting for the old time; the next poll arms the timer anew.
    pub fn disarm(self: Pin<&mut Self>) {
        self.project().sleep.set(None);
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

/// How many timers this thread armed, for the tests that promise few.
#[cfg(all(test, not(shibuya_loom)))]
pub(crate) mod armed {
    use std::cell::Cell;

    thread_local!(static ARMED: Cell<usize> = const { Cell::new(0) });

    pub(crate) fn count() {
        ARMED.set(ARMED.get() + 1);
    }

    pub(crate) fn so_far() -> usize {
        ARMED.get()
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use super::{Future, Pin, armed};
    use crate::{CancelScope, deadline, timeout};
    use tokio::time::{Instant, sleep};

    const MS: Duration = Duration::from_millis(1);

    async fn arms(fut: impl Future) -> usize {
        let before = armed::so_far();
        fut.await;
        armed::so_far() - before
    }

    /// Eight, of which the outermost comes first or last.
    async fn nested(limits: [u32; 8]) {
        let mut fut: Pin<Box<dyn Future<Output = ()>>> = Box::pin(sleep(2 * MS));
        for limit in limits {
            fut = Box::pin(async move {
                let _ = timeout(limit * MS, fut).await;
            });
        }
        fut.await;
    }

    #[tokio::test(start_paused = true)]
    async fn eight_nested_deadlines_arm_one_timer() {
        let at = Instant::now() + 10 * MS;
        let inward = async { nested([80, 70, 60, 50, 40, 30, 20, 10]).await };
        assert_eq!(arms(inward).await, 1);
        assert_eq!(arms(async { nested([10; 8]).await }).await, 1);
        assert_eq!(arms(deadline(at, pending::<()>())).await, 1);
        // Each is earlier than all around it, so each must be noticed by itself.
        let outward = async { nested([10, 20, 30, 40, 50, 60, 70, 80]).await };
        assert_eq!(arms(outward).await, 8);
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_waits_arms_none() {
        assert_eq!(arms(timeout(MS, timeout(MS, ready(7)))).await, 0);
        assert_eq!(arms(timeout(Duration::ZERO, pending::<()>())).await, 0);
        assert_eq!(arms(timeout(Duration::MAX, sleep(MS))).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_scope_arms_one_timer_for_its_deadline_and_one_for_its_grace() {
        let scope = CancelScope::builder().timeout(10 * MS).build();
        let inside = async { timeout(20 * MS, timeout(30 * MS, pending::<()>())).await };
        assert_eq!(arms(scope.run(inside)).await, 1);
        let graced = CancelScope::builder().timeout(10 * MS).grace(MS).build();
        assert_eq!(arms(graced.run(pending::<()>())).await, 2);
        let covered = CancelScope::builder().timeout(20 * MS).build();
        assert_eq!(
            arms(timeout(10 * MS, covered.run(pending::<()>()))).await,
            1
        );
    }
}
