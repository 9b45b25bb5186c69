//! A link checker, built from Shibuya's patterns. Its parts, from the outside in:
//!
//! | file | idea |
//! |---|---|
//! | `main.rs`, `args.rs` | the command line, signals, the exit status |
//! | `crawl.rs` | the engine: a queue of jobs and the group of workers that empties it |
//! | `frontier.rs`, `survey.rs` | what is known, and what is put into the queue |
//! | `visit.rs` | the work on one job |
//! | `fetch.rs`, `pace.rs` | one request, its retries and its redirects; so many per second |
//! | `scope.rs`, `robots.rs` | what may be visited |
//! | `links.rs`, `charset.rs` | what a page says |
//! | `report.rs`, `progress.rs` | what people see |
//! | `tree.rs` | what runs, for who wonders why nothing happens |
//! | `site.rs` | the demo site |

#![forbid(unsafe_code)]

pub mod args;
pub mod charset;
pub mod crawl;
pub mod fetch;
pub mod frontier;
pub mod links;
pub mod pace;
pub mod progress;
pub mod report;
pub mod robots;
pub mod scope;
pub mod site;
mod survey;
pub mod tree;
pub mod visit;
