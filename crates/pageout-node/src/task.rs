//! Work off the JavaScript thread: one type for all jobs.

use std::panic::{AssertUnwindSafe, catch_unwind};

use napi::bindgen_prelude::{AsyncTask, Result, ToNapiValue, TypeName};
use napi::{Env, Error, ScopedTask};

use crate::error::{carry, internal};

type Work<O> = Box<dyn FnOnce() -> std::result::Result<O, pageout::Error> + Send>;
type Finish<O, J> = Box<dyn FnOnce(O) -> Result<J> + Send>;

/// Work for a thread of libuv's pool, and the conversion of its outcome on the JavaScript thread.
pub struct Job<O, J> {
    work: Option<Work<O>>,
    finish: Option<Finish<O, J>>,
}

/// A job for libuv's pool. Its promise is resolved with the result of `finish`, which gets the outcome of `work`.
pub fn spawn<O, J>(
    work: impl FnOnce() -> std::result::Result<O, pageout::Error> + Send + 'static,
    finish: impl FnOnce(O) -> Result<J> + Send + 'static,
) -> AsyncTask<Job<O, J>>
where
    O: Send + 'static,
    J: ToNapiValue + TypeName + 'static,
{
    AsyncTask::new(Job { work: Some(Box::new(work)), finish: Some(Box::new(finish)) })
}

impl<'task, O, J> ScopedTask<'task> for Job<O, J>
where
    O: Send + 'static,
    J: ToNapiValue + TypeName + 'static,
{
    // The core's error is kept until here, since a JavaScript error can only be made on its own thread.
    type Output = std::result::Result<O, pageout::Error>;
    type JsValue = J;

    fn compute(&mut self) -> Result<Self::Output> {
        let work = self.work.take().ok_or_else(died)?;
        catch_unwind(AssertUnwindSafe(work)).map_err(|_| died())
    }

    fn resolve(&mut self, env: &'task Env, outcome: Self::Output) -> Result<J> {
        let finish = self.finish.take().ok_or_else(died)?;
        let outcome = outcome.map_err(|error| carry(env, &error))?;
        catch_unwind(AssertUnwindSafe(|| finish(outcome))).unwrap_or_else(|_| Err(died()))
    }
}

fn died() -> Error {
    internal("a job panicked")
}
