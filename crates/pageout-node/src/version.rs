//! Which version this addon is of, so that no other version's JavaScript works with it.

use napi_derive::napi;

/// The version of the package that the addon was built for.
#[napi(catch_unwind)]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
