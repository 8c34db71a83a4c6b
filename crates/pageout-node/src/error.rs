//! The one place that makes JavaScript errors: a plain object with the fields of a core error, which TypeScript wraps.

use napi::bindgen_prelude::{Object, ToNapiValue};
use napi::{Env, Error, JsValue, Result, Status, Unknown, sys};
use pageout::SpaceFacts;

use crate::numbers::double;

/// Throws `error` in `env`. The returned error says that an exception is pending, so that nothing else is thrown.
pub fn throw(env: &Env, error: &pageout::Error) -> Error {
    let object = match describe(env, error) {
        Ok(object) => object,
        Err(failure) => return failure,
    };
    // SAFETY: the environment is live, and the value was just made in it.
    match unsafe { sys::napi_throw(env.raw(), object.raw()) } {
        sys::Status::napi_ok => Error::from_status(Status::PendingException),
        status => Error::new(Status::from(status), "an error could not be thrown"),
    }
}

/// The error a promise is rejected with.
pub fn carry(env: &Env, error: &pageout::Error) -> Error {
    describe(env, error).map_or_else(|failure| failure, |object| Error::from_unknown_without_coercion(object.to_unknown()))
}

/// A failure that no caller can cause: a bug in this package.
pub fn internal(problem: &str) -> Error {
    Error::new(Status::GenericFailure, problem.to_owned())
}

/// `{ code, message, errno?, syscall?, path?, requestedBytes?, usedBytes?, capacityBytes?, payloads?, borrowedBytes?, residentBytes?,
/// limitBytes?, byteOffset?, fileSystem?, owner?, mode?, tried? }`
pub fn describe<'env>(env: &'env Env, error: &pageout::Error) -> Result<Object<'env>> {
    let mut object = Object::new(env)?;
    object.set("code", error.code())?;
    object.set("message", error.to_string())?;
    match error {
        pageout::Error::System { syscall, errno, path, space, .. } => {
            object.set("errno", -*errno)?;
            object.set("syscall", *syscall)?;
            set_some(&mut object, "path", path.as_ref().map(|path| path.to_string_lossy().into_owned()))?;
            space.as_ref().map_or(Ok(()), |facts| set_space(&mut object, facts))?;
        }
        pageout::Error::Capacity(facts) => {
            set_space(&mut object, facts)?;
            object.set("payloads", double(facts.payloads))?;
        }
        pageout::Error::Budget(facts) => {
            object.set("requestedBytes", double(facts.requested_bytes))?;
            object.set("borrowedBytes", double(facts.borrowed_bytes))?;
            object.set("residentBytes", double(facts.resident_bytes))?;
            object.set("limitBytes", double(facts.limit_bytes))?;
        }
        pageout::Error::ScratchDir { tried } => object.set("tried", refusals(env, tried)?)?,
        pageout::Error::RamBacked { path, file_system, .. } => {
            object.set("path", path.to_string_lossy().into_owned())?;
            object.set("fileSystem", file_system.as_str())?;
        }
        pageout::Error::Exposed { path, exposure, .. } => {
            object.set("path", path.to_string_lossy().into_owned())?;
            object.set("owner", exposure.owner)?;
            object.set("mode", exposure.mode)?;
        }
        pageout::Error::ScratchDirInUse { current, .. } => object.set("path", current.to_string_lossy().into_owned())?,
        pageout::Error::Corrupt { byte_offset, write_back_errno, .. } => {
            object.set("byteOffset", double(*byte_offset))?;
            set_some(&mut object, "errno", write_back_errno.map(|errno| -errno))?;
        }
        // Code and message say all there is: TypeScript has checked the arguments that the others are about.
        _ => {}
    }
    Ok(object)
}

fn refusals<'env>(env: &'env Env, tried: &[pageout::RefusedDir]) -> Result<Vec<Unknown<'env>>> {
    let describe_one = |refused: &pageout::RefusedDir| {
        let mut object = Object::new(env)?;
        object.set("path", refused.path.to_string_lossy().into_owned())?;
        object.set("reason", describe(env, &refused.reason)?)?;
        Ok(object.to_unknown())
    };
    tried.iter().map(describe_one).collect()
}

fn set_space(object: &mut Object<'_>, facts: &SpaceFacts) -> Result<()> {
    object.set("requestedBytes", double(facts.requested_bytes))?;
    object.set("usedBytes", double(facts.used_bytes))?;
    object.set("capacityBytes", double(facts.capacity_bytes))
}

fn set_some<V: ToNapiValue>(object: &mut Object<'_>, name: &str, value: Option<V>) -> Result<()> {
    value.map_or(Ok(()), |value| object.set(name, value))
}
