//! The harness: options, candidates, measuring in turns, and what is printed.

pub(crate) mod candidates;
pub(crate) mod json;
pub(crate) mod machine;
pub(crate) mod options;
pub(crate) mod rounds;
pub(crate) mod table;
