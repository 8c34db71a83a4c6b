//! A pageout by value that failed: why, and the vectors.

use std::error;
use std::fmt;
use std::io;

use crate::error::Error;

/// A pageout by value that failed, with the vectors: they are as they were.
///
/// `V` is what was given: a `Vec<T>` or a `Vec<Vec<T>>`. `?` makes an [`Error`] or an [`io::Error`] of it, which drops the
/// vectors; whoever wants them back matches.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pager = pageout::Pager::builder().capacity_bytes(4096).build()?;
/// let vec = match pager.pageout_vec(vec![7u64; 1024]) {
///     Ok(_) => unreachable!("it needs twice the capacity"),
///     Err(failed) => {
///         assert_eq!(failed.error().kind(), std::io::ErrorKind::QuotaExceeded);
///         failed.into_inner()
///     }
/// };
/// assert_eq!(vec, [7; 1024]);
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping this error drops the vectors that it gives back"]
pub struct PageoutError<V> {
    error: Error,
    inner: V,
}

impl<V> PageoutError<V> {
    pub(crate) fn new(error: Error, inner: V) -> Self {
        Self { error, inner }
    }

    /// Why the pageout failed.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// What was to be paged out, as it was.
    #[must_use]
    pub fn into_inner(self) -> V {
        self.inner
    }

    /// Why the pageout failed; the vectors are dropped.
    #[must_use]
    pub fn into_error(self) -> Error {
        self.error
    }
}

impl<V> fmt::Debug for PageoutError<V> {
    /// Without the vectors.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("PageoutError").field(&self.error).finish_non_exhaustive()
    }
}

impl<V> fmt::Display for PageoutError<V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the vectors could not be paged out")
    }
}

impl<V> error::Error for PageoutError<V> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.error)
    }
}

impl<V> From<PageoutError<V>> for Error {
    /// Why the pageout failed; the vectors are dropped.
    fn from(failed: PageoutError<V>) -> Self {
        failed.error
    }
}

impl<V> From<PageoutError<V>> for io::Error {
    /// Why the pageout failed; the vectors are dropped.
    fn from(failed: PageoutError<V>) -> Self {
        failed.error.into()
    }
}
