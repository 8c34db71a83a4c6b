//! The process-wide pager behind the module-level functions. Nothing else in the crate is global.
//!
//! The plain form of a verb panics where the `try_` form returns an error. Both panic on the caller's errors: ranges past
//! the end, overflowing or overlapping.

use std::path::PathBuf;
use std::sync::OnceLock;

use bytemuck::Pod;

use crate::error::Error;
use crate::pager::{Backend, Handle, Pager, TakeError};

/// The process-wide pager that the module-level functions use. It has the default options.
///
/// ```
/// let handle = pageout::pageout(&mut [vec![1u64, 2]]);
/// assert!(pageout::pager().stats().payload_bytes >= 16);
/// ```
pub fn pager() -> &'static Pager {
    static PAGER: OnceLock<Pager> = OnceLock::new();
    PAGER.get_or_init(Pager::with_defaults)
}

/// The backend that later pageouts use. [`Backend::File`] unless [`set_backend`] was called.
#[must_use]
pub fn backend() -> Backend {
    pager().backend()
}

/// Sets the backend that later pageouts use. Handles that exist keep theirs.
pub fn set_backend(backend: Backend) {
    pager().set_backend(backend);
}

/// Sets the directory for scratch files, creating it with its parents.
///
/// The same path again does nothing. A different one once a directory is in use is ignored with a warning; so is one that
/// cannot serve, after which another call may succeed. Warnings go to the [`log`] facade. [`try_set_scratch_dir`] returns
/// them instead.
pub fn set_scratch_dir(root: impl Into<PathBuf>) {
    if let Err(error) = try_set_scratch_dir(root) {
        log::warn!("pageout: set_scratch_dir is ignored: {error}");
    }
}

/// As [`set_scratch_dir`], with the failure or the refused change returned.
///
/// # Errors
/// [`Error::ScratchDirInUse`], [`Error::ScratchDir`] or [`Error::RamBacked`].
pub fn try_set_scratch_dir(root: impl Into<PathBuf>) -> Result<(), Error> {
    pager().set_scratch_dir(root.into())
}

/// Pages the chunks out, concatenated in order, and leaves them empty. With the file backend they keep their capacity, and so their
/// memory: [`pager()`] has a [`pageout_vec`](Pager::pageout_vec), which frees it. See [`Pager::pageout`].
///
/// ```
/// let mut chunks = [vec![1u64, 2, 3], vec![4, 5]];
/// let handle = pageout::pageout(&mut chunks);
/// assert!(chunks.iter().all(Vec::is_empty));
///
/// let mut some = Vec::new();
/// pageout::read_at_many(&handle, &[(3, 2), (0, 1)], &mut some);
/// assert_eq!(some, [4, 5, 1]);
///
/// let mut all = Vec::new();
/// pageout::take(handle, &mut all);
/// assert_eq!(all, [1, 2, 3, 4, 5]);
/// ```
///
/// # Panics
/// Where [`try_pageout`] returns an error.
#[track_caller]
pub fn pageout<T: Pod>(chunks: &mut [Vec<T>]) -> Handle<T> {
    pageout_with(backend(), chunks)
}

/// As [`pageout`], with errors returned.
///
/// # Errors
/// As [`Pager::pageout`].
pub fn try_pageout<T: Pod>(chunks: &mut [Vec<T>]) -> Result<Handle<T>, Error> {
    pager().pageout(chunks)
}

/// As [`pageout`], with the backend named.
///
/// # Panics
/// Where [`try_pageout_with`] returns an error.
#[track_caller]
pub fn pageout_with<T: Pod>(backend: Backend, chunks: &mut [Vec<T>]) -> Handle<T> {
    expect("pageout", try_pageout_with(backend, chunks))
}

/// As [`pageout_with`], with errors returned.
///
/// # Errors
/// As [`Pager::pageout`].
pub fn try_pageout_with<T: Pod>(backend: Backend, chunks: &mut [Vec<T>]) -> Result<Handle<T>, Error> {
    pager().pageout_with(backend, chunks)
}

/// Appends `len` elements from element `offset` on to `dst`.
///
/// # Panics
/// Where [`try_read_at`] panics or returns an error.
#[track_caller]
pub fn read_at<T: Pod>(handle: &Handle<T>, offset: usize, len: usize, dst: &mut Vec<T>) {
    expect("read_at", try_read_at(handle, offset, len, dst));
}

/// As [`read_at`], with errors returned.
///
/// # Errors
/// As [`Pager::read_at`], but for the caller's errors.
///
/// # Panics
/// When the range is past the end of the payload, or the handle is of another pager.
#[track_caller]
pub fn try_read_at<T: Pod>(handle: &Handle<T>, offset: usize, len: usize, dst: &mut Vec<T>) -> Result<(), Error> {
    try_read_at_many(handle, &[(offset, len)], dst)
}

/// Appends several ranges, each (offset, length) in elements, to `dst` in the order of `ranges`.
///
/// # Panics
/// Where [`try_read_at_many`] panics or returns an error.
#[track_caller]
pub fn read_at_many<T: Pod>(handle: &Handle<T>, ranges: &[(usize, usize)], dst: &mut Vec<T>) {
    expect("read_at_many", try_read_at_many(handle, ranges, dst));
}

/// As [`read_at_many`], with errors returned.
///
/// # Errors
/// As [`Pager::read_at_many`], but for the caller's errors.
///
/// # Panics
/// When ranges are past the end of the payload or overlap, or the handle is of another pager.
#[track_caller]
pub fn try_read_at_many<T: Pod>(handle: &Handle<T>, ranges: &[(usize, usize)], dst: &mut Vec<T>) -> Result<(), Error> {
    refuse_callers(pager().read_at_many(handle, ranges, dst))
}

/// Brings the whole payload back into `dst`, which is cleared first, and frees its space. See [`Pager::take`].
///
/// # Panics
/// Where [`try_take`] panics or returns an error.
#[track_caller]
pub fn take<T: Pod>(handle: Handle<T>, dst: &mut Vec<T>) {
    expect("take", try_take(handle, dst));
}

/// As [`take`], with errors returned. A failure drops the handle; [`Pager::take`] gives it back instead.
///
/// # Errors
/// As [`Pager::take`], but for the caller's errors.
///
/// # Panics
/// When the handle is of another pager.
#[track_caller]
pub fn try_take<T: Pod>(handle: Handle<T>, dst: &mut Vec<T>) -> Result<(), Error> {
    refuse_callers(pager().take(handle, dst).map_err(TakeError::into_error))
}

/// Starts to bring ranges into memory, for a read that comes soon. A hint: it never fails and waits for nothing.
///
/// # Panics
/// When ranges are past the end of the payload or overlap, or the handle is of another pager.
#[track_caller]
pub fn prefetch<T: Pod>(handle: &Handle<T>, ranges: &[(usize, usize)]) {
    expect("prefetch", refuse_callers(pager().prefetch(handle, ranges)));
}

/// Gives all disk space back that no payload uses. See [`Pager::trim`].
///
/// # Panics
/// When the device failed.
#[track_caller]
pub fn trim() {
    expect("trim", pager().trim());
}

/// Panics on an error that the caller made.
#[track_caller]
fn refuse_callers<R>(result: Result<R, Error>) -> Result<R, Error> {
    match result {
        Err(error) if error.is_usage_error() => panic!("{error}"),
        result => result,
    }
}

#[track_caller]
fn expect<R>(verb: &str, result: Result<R, Error>) -> R {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{verb} failed: {error}"),
    }
}
