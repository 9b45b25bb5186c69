//! What is measured: one module per area of the project, one file per question.

mod queue;
mod ratelimit;
mod retry;
mod taskgroup;
mod threads;

use crate::case::Area;

/// All areas, in the order of the report.
pub(crate) fn all() -> Vec<Area> {
    vec![
        taskgroup::area(),
        queue::area(),
        retry::area(),
        ratelimit::area(),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_every_case_compares_something() {
        for area in all() {
            let mut cases = HashSet::new();
            for case in area.cases {
                assert!(cases.insert(case.name), "{} twice", case.name);
                assert!(case.contenders.len() > 1, "{}", case.name);
                let mut contenders = HashSet::new();
                for contender in case.contenders {
                    assert!(
                        contenders.insert(contender.name),
                        "{} twice in {}",
                        contender.name,
                        case.name
                    );
                }
            }
        }
    }
}
