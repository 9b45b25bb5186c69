//! What a combinator over several futures takes: whatever iterates over them, or a tuple.
//!
//! A tuple might be an iterator one day, for all that the compiler knows. So the traits that stand for
//! an input have a parameter, by which their two blanket implementations differ; it is inferred.

/// The kind of an input. Nobody else can name one, so nobody else implements what is told apart by it.
pub trait InputKind {}

/// Any number of futures of one type.
#[derive(Debug)]
pub struct Many;

/// So many futures, each of its own type.
#[derive(Debug)]
pub struct Tuple;

impl InputKind for Many {}
impl InputKind for Tuple {}

/// Calls `$implement` for tuples of 2 to 12, with a word for each element's type, output, error and
/// index.
macro_rules! for_each_tuple {
    ($implement:ident) => {
        for_each_tuple!($implement: [A0 T0 E0 0] [A1 T1 E1 1];
            [A2 T2 E2 2] [A3 T3 E3 3] [A4 T4 E4 4] [A5 T5 E5 5] [A6 T6 E6 6]
            [A7 T7 E7 7] [A8 T8 E8 8] [A9 T9 E9 9] [A10 T10 E10 10] [A11 T11 E11 11]);
    };
    ($implement:ident: $([$($element:tt)+])+;) => {
        $implement!($([$($element)+])+);
    };
    ($implement:ident: $([$($element:tt)+])+; [$($next:tt)+] $($rest:tt)*) => {
        $implement!($([$($element)+])+);
        for_each_tuple!($implement: $([$($element)+])+ [$($next)+]; $($rest)*);
    };
}

pub(crate) use for_each_tuple;
