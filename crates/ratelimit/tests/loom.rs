//! What is lock-free and what hands off, in every order in which threads can meet:
//! `RUSTFLAGS="--cfg shibuya_loom" cargo test --release -p shibuya-ratelimit --test loom`
#![cfg(shibuya_loom)]

mod loom {
    mod concurrency;
    mod rate;
}

/// All orders with up to three preemptions: the rest take minutes.
fn bounded(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = ::loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}
