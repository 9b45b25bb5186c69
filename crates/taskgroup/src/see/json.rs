//! How the fields of a snapshot are serialised: numbers as numbers, times in milliseconds, all else as it prints.

use std::fmt::Display;
use std::time::Duration;

use serde::Serializer;
use shibuya_cancel::TaskId;

pub(super) fn id<S: Serializer>(id: &TaskId, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_u64(id.as_u64())
}

pub(super) fn option_id<S: Serializer>(id: &Option<TaskId>, s: S) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => s.serialize_some(&id.as_u64()),
        None => s.serialize_none(),
    }
}

pub(super) fn text<S: Serializer>(text: &impl Display, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(text)
}

pub(super) fn option_text<S: Serializer>(
    text: &Option<impl Display>,
    s: S,
) -> Result<S::Ok, S::Error> {
    match text {
        Some(text) => s.collect_str(text),
        None => s.serialize_none(),
    }
}

pub(super) fn ms<S: Serializer>(time: &Duration, s: S) -> Result<S::Ok, S::Error> {
    // To the microsecond: more would be noise, and its last digits the float's.
    s.serialize_f64(time.as_micros() as f64 / 1000.0)
}

pub(super) fn option_ms<S: Serializer>(time: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => ms(time, s),
        None => s.serialize_none(),
    }
}
