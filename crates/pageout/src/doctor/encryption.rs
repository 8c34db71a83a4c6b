//! What encryption finds here.

use crate::sys::secret::Secret;

/// What this machine does for encrypted payloads.
#[allow(clippy::struct_excessive_bools, reason = "facts")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncryptionFacts {
    /// The cipher.
    pub cipher: &'static str,
    /// The processor's instructions for AES that it is computed with. `None` where there are none: then it takes many times as long.
    pub aes_instructions: Option<&'static str>,
    /// Whether keys are left out of core dumps.
    pub is_out_of_core_dumps: bool,
    /// Whether keys are never swapped out: their pages are locked in memory. As many as the limit allows
    /// ([`ProcessLimits::locked_bytes`](super::ProcessLimits::locked_bytes)).
    pub is_out_of_swap: bool,
}

impl EncryptionFacts {
    pub(super) fn gather() -> Option<Self> {
        let hidden = Secret::trial().ok()?;
        Some(Self {
            cipher: "AEGIS-128X2",
            aes_instructions: aes_instructions(),
            is_out_of_core_dumps: hidden.from_core_dumps,
            is_out_of_swap: hidden.from_swap,
        })
    }
}

/// The fastest that the cipher has an implementation for.
#[cfg(target_arch = "x86_64")]
fn aes_instructions() -> Option<&'static str> {
    use std::arch::is_x86_feature_detected as has;
    if has!("vaes") && has!("avx2") {
        return Some("VAES");
    }
    (has!("aes") && has!("avx")).then_some("AES-NI")
}

#[cfg(target_arch = "aarch64")]
fn aes_instructions() -> Option<&'static str> {
    std::arch::is_aarch64_feature_detected!("aes").then_some("ARMv8 AES")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn aes_instructions() -> Option<&'static str> {
    None
}
