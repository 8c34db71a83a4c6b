//! Views of JavaScript memory without a copy, for the length of one call: they need no reference that JavaScript has to be given back.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Deref;

use napi::bindgen_prelude::{FromNapiValue, TypeName, ValidateNapiValue};
use napi::{Env, Error, Result, Status, ValueType, sys};

/// The memory of any typed array, Buffer or `DataView`, for the length of one call on the JavaScript thread. Its name is what
/// index.d.ts prints.
///
/// The TypeScript layer passes no view twice in one call where one of them is written, and no shared memory.
pub struct ArrayBufferView<'call> {
    start: *mut u8,
    len_bytes: usize,
    buffer: sys::napi_value,
    call: PhantomData<&'call mut [u8]>,
}

impl ArrayBufferView<'_> {
    /// The bytes, to be read.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: Node-API gave pointer and length of live memory in `from_napi_value`; no JavaScript runs before the
        // call returns, so it is neither moved, freed nor written meanwhile, and it is not shared with other threads.
        unsafe { std::slice::from_raw_parts(self.start, self.len_bytes) }
    }

    /// The bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; the caller passed this memory once, so this reference is the only one.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len_bytes) }
    }

    /// The bytes, whose content the caller gives up.
    pub fn unused(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: as in `bytes_mut`; initialised memory may be seen as possibly uninitialised.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), self.len_bytes) }
    }

    /// Detaches the buffer from all its views, which frees its memory; returns whether that was possible.
    pub fn detach(self, env: Env) -> bool {
        // SAFETY: the environment of this callback, and a value that lives until it returns; `self` is consumed, so nothing
        // refers to the memory afterwards.
        unsafe { sys::napi_detach_arraybuffer(env.raw(), self.buffer) == sys::Status::napi_ok }
    }
}

impl TypeName for ArrayBufferView<'_> {
    fn type_name() -> &'static str {
        "ArrayBufferView"
    }

    fn value_type() -> ValueType {
        ValueType::Object
    }
}

impl ValidateNapiValue for ArrayBufferView<'_> {}

impl FromNapiValue for ArrayBufferView<'_> {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        // SAFETY: `env` and `value` are what Node-API passed to this callback.
        let memory = unsafe { typed_array(env, value) }.map(|(_, start, len_bytes, buffer)| (start, len_bytes, buffer));
        // SAFETY: as above.
        let memory = memory.or_else(|| unsafe { data_view(env, value) });
        let Some((start, len_bytes, buffer)) = memory else {
            return Err(Error::new(Status::InvalidArg, "a typed array or a DataView is needed"));
        };
        // The pointer of an empty view is unspecified.
        let start = if len_bytes == 0 { std::ptr::NonNull::dangling().as_ptr() } else { start };
        Ok(Self { start, len_bytes, buffer, call: PhantomData })
    }
}

/// The numbers of an array, for the length of one call on the JavaScript thread. Its name is what index.d.ts prints.
pub struct Float64Array<'call> {
    start: *mut f64,
    len: usize,
    call: PhantomData<&'call mut [f64]>,
}

impl Float64Array<'_> {
    /// The numbers, to be written.
    pub fn numbers_mut(&mut self) -> &mut [f64] {
        // SAFETY: as in `deref`; the caller passed this memory once, so this reference is the only one.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl Deref for Float64Array<'_> {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        // SAFETY: Node-API gave pointer and length of live memory in `from_napi_value`, which starts where a number may; no JavaScript
        // runs before the call returns, and it is not shared with other threads.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl TypeName for Float64Array<'_> {
    fn type_name() -> &'static str {
        "Float64Array"
    }

    fn value_type() -> ValueType {
        ValueType::Object
    }
}

impl ValidateNapiValue for Float64Array<'_> {}

impl FromNapiValue for Float64Array<'_> {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        // SAFETY: `env` and `value` are what Node-API passed to this callback.
        let Some((sys::TypedarrayType::float64_array, start, len_bytes, _)) = (unsafe { typed_array(env, value) }) else {
            return Err(Error::new(Status::InvalidArg, "a Float64Array is needed"));
        };
        let len = len_bytes / size_of::<f64>();
        // The pointer of an empty array is unspecified.
        let start = if len == 0 { std::ptr::NonNull::dangling().as_ptr() } else { start.cast() };
        Ok(Self { start, len, call: PhantomData })
    }
}

/// Kind, start, length in bytes and buffer of a typed array, if the value is one.
unsafe fn typed_array(
    env: sys::napi_env,
    value: sys::napi_value,
) -> Option<(sys::napi_typedarray_type, *mut u8, usize, sys::napi_value)> {
    let (mut kind, mut elements, mut start) = (0, 0, std::ptr::null_mut());
    let (mut buffer, mut offset) = (std::ptr::null_mut(), 0);
    // SAFETY: the caller passes a live environment and value; all results are local variables of the right types.
    let status = unsafe {
        sys::napi_get_typedarray_info(
            env,
            value,
            &raw mut kind,
            &raw mut elements,
            &raw mut start,
            &raw mut buffer,
            &raw mut offset,
        )
    };
    let element_bytes = match kind {
        0..=2 => 1,
        3 | 4 | 11 => 2,
        5..=7 => 4,
        8..=10 => 8,
        _ => return None,
    };
    (status == sys::Status::napi_ok).then(|| (kind, start.cast(), elements * element_bytes, buffer))
}

/// Start, length in bytes and buffer of a `DataView`, if the value is one.
unsafe fn data_view(env: sys::napi_env, value: sys::napi_value) -> Option<(*mut u8, usize, sys::napi_value)> {
    let (mut len_bytes, mut start, mut buffer, mut offset) = (0, std::ptr::null_mut(), std::ptr::null_mut(), 0);
    // SAFETY: the caller passes a live environment and value; all results are local variables of the right types.
    let status =
        unsafe { sys::napi_get_dataview_info(env, value, &raw mut len_bytes, &raw mut start, &raw mut buffer, &raw mut offset) };
    (status == sys::Status::napi_ok).then_some((start.cast(), len_bytes, buffer))
}
