//! A vector that any thread may read as bytes, keep, and free.

use bytemuck::Pod;

/// A vector of plain old data, whose element type need not be `Send` and `Sync`.
pub(crate) struct PlainVec<T>(pub(crate) Vec<T>);

// SAFETY: a `Vec<T>` is sent and shared as its elements are, and another thread that frees it runs no code of theirs, since T
// is Copy. That any T is sent or shared does no more than safe code can do: Pod makes bytes of a T, and a T of its bytes, by
// value and by reference; bytes may cross threads; and T has neither padding nor interior mutability.
unsafe impl<T: Pod> Send for PlainVec<T> {}

// SAFETY: as above.
unsafe impl<T: Pod> Sync for PlainVec<T> {}

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;

    use super::*;

    /// Plain old data that is neither `Send` nor `Sync` by itself.
    #[derive(Clone, Copy)]
    #[repr(transparent)]
    struct Local(u32, PhantomData<*const u8>);

    // SAFETY: all zeros is a valid u32.
    unsafe impl bytemuck::Zeroable for Local {}
    // SAFETY: the only field with bytes is a u32, and the layout is its layout.
    unsafe impl Pod for Local {}

    #[test]
    fn another_thread_reads_and_frees_elements_of_any_plain_type() {
        let vec = PlainVec(vec![Local(7, PhantomData), Local(8, PhantomData)]);
        let words = std::thread::spawn(move || {
            let vec = vec;
            bytemuck::cast_slice::<Local, u32>(&vec.0).to_vec()
        });
        assert_eq!(words.join().expect("no panic"), [7, 8]);
    }
}
