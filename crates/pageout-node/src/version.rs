//! The version of this addon, so that JavaScript of another version refuses it.

use napi_derive::napi;

/// The version of the package that the addon was built for.
#[napi(catch_unwind)]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
