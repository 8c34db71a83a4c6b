//! The memory budget of a pager.

// Until the budget uses it.
#[allow(dead_code)]
mod policy;
