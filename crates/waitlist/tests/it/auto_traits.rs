//! Which types are `Send`, `Sync` and `Unpin`, and how large they are.

use std::cell::Cell;
use std::marker::{PhantomData, PhantomPinned};
use std::rc::Rc;
use std::sync::Arc;

use shibuya_waitlist::{Closed, Guard, Serve, TryError, Wait, WaitList};

use crate::support::Permits;

/// A state with chosen request and grant types.
struct With<R, G>(PhantomData<(R, G)>);

impl<R, G> Serve for With<R, G> {
    type Request = R;
    type Grant = G;

    fn try_serve(&mut self, _: &mut R) -> Option<G> {
        None
    }

    fn take_back(&mut self, _: G) {}
}

/// Whether a type implements a trait: the inherent constant, where it applies, hides the trait's.
macro_rules! implements {
    ($type:ty, $trait:path) => {{
        #[allow(dead_code)] // not used where the inherent constant applies
        trait No {
            const YES: bool = false;
        }
        struct Probe<T>(PhantomData<T>);
        impl<T> No for Probe<T> {}
        #[allow(dead_code)] // nor this one where it doesn't
        impl<T: $trait> Probe<T> {
            const YES: bool = true;
        }
        Probe::<$type>::YES
    }};
}

macro_rules! matrix {
    ($($type:ty: $send:literal $sync:literal $unpin:literal;)+) => {
        $(const _: () = {
            assert!(implements!($type, Send) == $send, concat!(stringify!($type), ": Send"));
            assert!(implements!($type, Sync) == $sync, concat!(stringify!($type), ": Sync"));
            assert!(implements!($type, Unpin) == $unpin, concat!(stringify!($type), ": Unpin"));
        };)+
    };
}

type Plain = WaitList<With<(), ()>>;
type Unshared = WaitList<With<Cell<()>, Cell<()>>>; // Send + !Sync
type Local = WaitList<With<Rc<()>, ()>>; // !Send
type LocalGrant = WaitList<With<(), Rc<()>>>;
type Pinned = WaitList<With<PhantomPinned, PhantomPinned>>;

matrix! {
    // type                                 Send  Sync  Unpin
    Plain:                                  true  true  true;
    Unshared:                               true  true  true;
    Local:                                  false false true;
    LocalGrant:                             false false true;
    Wait<&'static Plain>:                   true  true  true;
    Wait<Arc<Plain>>:                       true  true  true;
    Wait<Rc<Plain>>:                        false false true;
    Wait<&'static Unshared>:                true  false true;
    Wait<&'static Local>:                   false false true;
    Wait<&'static LocalGrant>:              false false true;
    Wait<&'static Pinned>:                  true  true  true;
    Wait<Box<Pinned>>:                      true  true  true;
    Guard<'static, With<(), ()>>:           false true  true;
    Guard<'static, With<Cell<()>, ()>>:     false false true;
    Closed<()>:                             true  true  true;
    TryError<Rc<()>>:                       false false true;
}

#[test]
fn sizes() {
    const WORD: usize = size_of::<usize>();
    // Lock, poison flag and closed flag; the pointer to the waiters; the state.
    assert!(size_of::<WaitList<With<(), ()>>>() <= 3 * WORD);
    assert!(size_of::<WaitList<Permits>>() <= 4 * WORD);
    assert_eq!(size_of::<Wait<&Plain>>(), 2 * WORD);
    assert_eq!(size_of::<Wait<Arc<Plain>>>(), 2 * WORD);
    assert!(size_of::<Wait<&WaitList<Permits>>>() <= 3 * WORD);
}

#[test]
fn a_list_can_be_a_static() {
    static LIST: WaitList<Permits> = WaitList::new(Permits(1));
    assert_eq!(LIST.try_acquire(1), Ok(1));
}

#[test]
fn debug_shows_the_line_and_never_blocks() {
    let list = WaitList::new(Permits(1));
    assert_eq!(
        format!("{list:?}"),
        "WaitList { waiting: 0, closed: false, .. }"
    );
    let guard = list.lock();
    assert_eq!(format!("{list:?}"), "WaitList { locked: true, .. }");
    assert_eq!(format!("{guard:?}"), "Permits(1)");
    assert_eq!(
        format!("{:?}", list.wait(1)),
        r#"Wait { stage: "new", .. }"#
    );
}
