//! The cipher that pages are sealed with: AEGIS-128X2, an authenticated cipher of the processor's AES instructions, by the crate
//! `aegis`. docs/performance/choices.md of the repository has the others that were measured.
//!
//! It is used by this module alone. A key has no schedule, so that no copy of it stays anywhere but on the stack, which
//! [`wiping_stack`] overwrites.

use aegis::aegis128x2::Aegis128X2;

use crate::sys::secret::KEY_BYTES;

/// Bytes of a tag.
const TAG_BYTES: usize = 16;
/// Bytes of a nonce.
const NONCE_BYTES: usize = 16;
/// More than the frames take in which the cipher works with instructions for it: 400 to 900 bytes.
const STACK_BYTES: usize = 1024;
/// The same without such instructions.
const SOFT_STACK_BYTES: usize = 4096;

pub(crate) type Key = [u8; KEY_BYTES];
pub(crate) type Nonce = [u8; NONCE_BYTES];
/// Proof that a page is what was sealed.
pub(crate) type Tag = [u8; TAG_BYTES];

/// A page that is not what was sealed, or with something else said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wrong;

/// Encrypts `bytes` in place. The tag holds for them, for `about` and for the nonce, which no other call with the key may have.
pub(crate) fn seal(key: &Key, nonce: &Nonce, about: &[u8], bytes: &mut [u8]) -> Tag {
    Aegis128X2::<TAG_BYTES>::new(key, nonce).encrypt_in_place(bytes, about)
}

/// Decrypts `bytes` in place.
///
/// # Errors
/// [`Wrong`]. `bytes` are zeros then.
pub(crate) fn open(key: &Key, nonce: &Nonce, about: &[u8], bytes: &mut [u8], tag: &Tag) -> Result<(), Wrong> {
    Aegis128X2::<TAG_BYTES>::new(key, nonce).decrypt_in_place(bytes, tag, about).map_err(|_| Wrong)
}

/// Does `work`, and overwrites the stack that it used.
pub(crate) fn wiping_stack<R>(work: impl FnOnce() -> R) -> R {
    let answer = out_of_line(work);
    if has_instructions() {
        overwrite_stack::<STACK_BYTES>();
    } else {
        overwrite_stack::<SOFT_STACK_BYTES>();
    }
    answer
}

/// Whether the crate uses the processor's AES instructions, by its own rule.
fn has_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    let answer = is_x86_feature_detected!("aes") && is_x86_feature_detected!("avx");
    #[cfg(target_arch = "aarch64")]
    let answer = std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let answer = false;
    answer
}

/// Its frame is where that of [`overwrite_stack`] will be.
#[inline(never)]
fn out_of_line<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[inline(never)]
fn overwrite_stack<const BYTES: usize>() {
    std::hint::black_box(&mut [0u8; BYTES]);
}

// Miri runs no C.
#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
        (0..hex.len()).step_by(2).map(digits).collect()
    }

    fn array(hex: &str) -> [u8; 16] {
        bytes(hex).try_into().expect("16 bytes")
    }

    /// Of AEGIS-128X2, from draft-irtf-cfrg-aegis-aead: sealed bytes of 04 05 06 07, again and again.
    const SEALED: &str = concat!(
        "5795544301997f93621b278809d6331b3bfa6f18e90db12c4aa35965b5e98c5fc6fb4e54bcb6111842c20637252eff747cb3",
        "a8f85b37de80919a589fe0f24872bc926360696739e05520647e390989e1eb5fd42f99678a0276a498f8c454761c9d6aacb6",
        "47ad56be62b29c22cd4b5761b38f43d5a5ee062f",
    );

    #[test]
    fn pages_are_sealed_as_the_standard_says() {
        let (key, nonce) = (array("000102030405060708090a0b0c0d0e0f"), array("101112131415161718191a1b1c1d1e1f"));
        assert_eq!(seal(&key, &nonce, &[], &mut []), array("63117dc57756e402819a82e13eca8379"));
        let (about, plain) = (bytes("0102030401020304"), [4, 5, 6, 7].repeat(30));
        let mut page = plain.clone();
        let tag = seal(&key, &nonce, &about, &mut page);
        assert_eq!((&page, tag), (&bytes(SEALED), array("1aebc200804f405cab637f2adebb6d77")));
        assert_eq!(open(&key, &nonce, &about, &mut page, &tag), Ok(()));
        assert_eq!(page, plain);
    }

    #[test]
    fn what_is_refused_is_zeros() {
        let (key, nonce) = ([1; 16], [2; 16]);
        let mut page = [7; 100];
        let tag = seal(&key, &nonce, b"page", &mut page);
        assert_ne!(page, [7; 100]);
        assert_eq!((open(&key, &nonce, b"other", &mut page, &tag), page), (Err(Wrong), [0; 100]));
    }
}
