//! Every public future is dropped at every poll by some test, and says under `# Cancel safety` what that means.

use shibuya_testkit::tidy::{PublicFuture, public_futures, uncovered};

use crate::assert_none;
use crate::workspace::{crates, root};

fn complain(future: &PublicFuture, what: &str) -> String {
    let file = future.file.strip_prefix(root()).unwrap_or(&future.file);
    format!(
        "{}:{}: `{}` {what}",
        file.display(),
        future.line,
        future.name
    )
}

#[test]
fn every_public_future_is_cancelled_at_every_poll() {
    let futures = crates()
        .into_iter()
        .flat_map(|dir| uncovered(dir).expect("readable sources"));
    let complaints = futures.map(|future| {
        let names = future.covered_by.join("` or `");
        complain(
            &future,
            &format!("needs a test that calls `cancel_at_every_poll` with the name `{names}`"),
        )
    });
    assert_none(&complaints.collect::<Vec<_>>());
}

#[test]
fn every_public_future_documents_its_cancel_safety() {
    let futures = crates()
        .into_iter()
        .flat_map(|dir| public_futures(dir.join("src")).expect("readable sources"));
    let silent = futures.filter(|future| !future.documents_cancel_safety);
    let complaints = silent.map(|future| {
        complain(
            &future,
            "needs a `# Cancel safety` heading in its documentation",
        )
    });
    assert_none(&complaints.collect::<Vec<_>>());
}
