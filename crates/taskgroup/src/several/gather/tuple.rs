use std::convert::Infallible;
use std::future::Future;
use std::panic::Location;

use super::{Gather, IntoGather, IntoTryGather, TryGather, outcome, settle, spawn};
use crate::group::run::Run;
use crate::several::input::{Tuple, for_each_tuple};
use crate::several::settled::Settled;
use crate::{Outcome, TaskGroup};

macro_rules! gather_tuple {
    ($([$F:ident $T:ident $E:ident $i:tt])+) => {
        impl<$($F, $T, $E),+> IntoGather<Tuple> for ($($F,)+)
        where
            $(
                $F: Future<Output = Result<$T, $E>> + Send + 'static,
                $T: Send + 'static,
                $E: Send + 'static,
            )+
        {
            type Outcomes = ($(Outcome<$T, $E>,)+);

            fn into_gather(
                self,
                location: &'static Location<'static>,
            ) -> Gather<Self::Outcomes> {
                let group = TaskGroup::<Infallible>::builder().name("gather");
                let body = async move |g: TaskGroup<_>| {
                    let tasks = ($(spawn(&g, location, $i, Settled::new(self.$i)),)+);
                    Ok(($(outcome(tasks.$i).await,)+))
                };
                let run = Run::new(group, body, location);
                Gather(Box::pin(settle(run, |reason| {
                    ($(Outcome::<$T, $E>::Cancelled(reason.clone()),)+)
                })))
            }
        }
    };
}

macro_rules! try_gather_tuple {
    ($([$F:ident $T:ident $E:ident $i:tt])+) => {
        impl<E, $($F, $T),+> IntoTryGather<Tuple> for ($($F,)+)
        where
            E: Send + 'static,
            $(
                $F: Future<Output = Result<$T, E>> + Send + 'static,
                $T: Send + 'static,
            )+
        {
            type Values = ($($T,)+);
            type Error = E;

            fn into_try_gather(
                self,
                location: &'static Location<'static>,
            ) -> TryGather<Self::Values, E> {
                let group = TaskGroup::builder().name("try_gather");
                let body = async move |g: TaskGroup<_>| {
                    let tasks = ($(spawn(&g, location, $i, self.$i),)+);
                    Ok(($(tasks.$i.await,)+))
                };
                TryGather(Box::pin(Run::new(group, body, location)))
            }
        }
    };
}

for_each_tuple!(gather_tuple);
for_each_tuple!(try_gather_tuple);
