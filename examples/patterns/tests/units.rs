//! Runs the unit tests that stand in an example. Cargo would build it either as a program, which `examples.rs` runs, or as its tests.

#[allow(dead_code)] // its `main`
#[path = "../examples/event_loop.rs"]
mod event_loop;
