#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod ambient;
mod bound;
mod cancel_after;
mod cancelled;
mod children;
mod clock;
mod cut;
mod deadline;
mod error;
pub mod header;
mod in_scope;
mod lineage;
mod name;
mod node;
mod reason;
mod role;
mod roots;
mod run;
mod scope;
mod step;
mod timer;

pub use cancel_after::{CancelAfter, cancel_after};
pub use cancelled::{UntilCancelled, cancelled, check};
pub use deadline::{
    Deadline, TimeoutOr, current_deadline, deadline, remaining, timeout, timeout_or,
};
pub use error::{Cancelled, Elapsed};
pub use in_scope::{InScope, Scoped};
pub use name::Name;
pub use reason::Reason;
pub use role::TaskId;
pub use run::Run;
pub use scope::{Builder, CancelScope};
pub use step::{Step, step};

/// What task groups are built from: for crates that give scopes to tasks of their own.
///
/// Programs need none of it.
pub mod raw {
    pub use crate::ambient::{
        Entered, EnteredDeadline, bound, covers, enter, enter_deadline, scope, with_scope,
    };
    pub use crate::bound::Bound;
    pub use crate::clock::Timestamp;
    pub use crate::node::Node;
    pub use crate::role::{Label, Owner, Role, StepLabel};
    pub use crate::roots::roots;
    pub use crate::timer::Timer;
}
