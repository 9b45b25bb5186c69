use std::convert::Infallible;
use std::future::Future;
use std::panic::Location;

use super::{Gather, IntoGather, IntoTryGather, TryGather, outcome, settle, spawn};
use crate::group::run::Run;
use crate::several::input::Many;
use crate::several::settled::Settled;
use crate::{Outcome, TaskGroup};

impl<T, E, I> IntoGather<Many> for I
where
    I: IntoIterator,
    I::Item: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    type Outcomes = Vec<Outcome<T, E>>;

    fn into_gather(self, location: &'static Location<'static>) -> Gather<Self::Outcomes> {
        let futures: Vec<_> = self.into_iter().collect();
        let count = futures.len();
        let group = TaskGroup::<Infallible>::builder().name("gather");
        let body = async move |g: TaskGroup<_>| {
            let settled = futures.into_iter().map(Settled::new).enumerate();
            let tasks: Vec<_> = settled
                .map(|(i, fut)| spawn(&g, location, i, fut))
                .collect();
            let mut outcomes = Vec::with_capacity(tasks.len());
            for task in tasks {
                outcomes.push(outcome(task).await);
            }
            Ok(outcomes)
        };
        let run = Run::new(group, body, location);
        Gather(Box::pin(settle(run, move |reason| {
            let outcome = || Outcome::Cancelled(reason.clone());
            std::iter::repeat_with(outcome).take(count).collect()
        })))
    }
}

impl<T, E, I> IntoTryGather<Many> for I
where
    I: IntoIterator,
    I::Item: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    type Values = Vec<T>;
    type Error = E;

    fn into_try_gather(self, location: &'static Location<'static>) -> TryGather<Self::Values, E> {
        let futures: Vec<_> = self.into_iter().collect();
        let group = TaskGroup::builder().name("try_gather");
        let body = async move |g: TaskGroup<_>| {
            let numbered = futures.into_iter().enumerate();
            let tasks: Vec<_> = numbered
                .map(|(i, fut)| spawn(&g, location, i, fut))
                .collect();
            let mut values = Vec::with_capacity(tasks.len());
            for task in tasks {
                values.push(task.await);
            }
            Ok(values)
        };
        TryGather(Box::pin(Run::new(group, body, location)))
    }
}
