//! `shibuya-cancel` and `shibuya-taskgroup` against what people use without them.

mod cancel;
mod churn;
mod completion;
mod dump;
mod map;
mod nested;
mod scope;
mod spawn_join;
mod work;

use crate::case::Area;

pub(super) fn area() -> Area {
    let questions = [
        spawn_join::cases(),
        completion::cases(),
        map::cases(),
        nested::cases(),
        cancel::cases(),
        dump::cases(),
        churn::cases(),
        scope::cases(),
    ];
    Area {
        name: "taskgroup",
        compared: &[
            "futures-buffered",
            "futures-concurrency",
            "futures-util",
            "tokio",
            "tokio-util",
        ],
        cases: questions.into_iter().flatten().collect(),
    }
}
