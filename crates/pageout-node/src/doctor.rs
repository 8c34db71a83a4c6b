//! What the doctor tells: facts of the core as plain objects. Numbers that nobody knows, and limits that there are not, are left out.

use std::ffi::OsString;
use std::path::Path;

use napi::bindgen_prelude::{AsyncTask, Result};
use napi_derive::napi;
use pageout::doctor::{
    self, EncryptionFacts, Limit, MemoryFacts, MemoryGroup, ProcessLimits, ScratchDir, ScratchFacts, Speed, Transfer,
};
use pageout::{Environment, Error, Pager, PagerBuilder};

use crate::exports::environment_of;
use crate::numbers::double;
use crate::task::{Job, spawn};

/// A failure in words.
#[napi(object)]
pub struct NativeReason {
    pub code: String,
    pub message: String,
    pub syscall: Option<String>,
    pub file_system: Option<String>,
}

/// A directory that was refused.
#[napi(object)]
pub struct NativeRefused {
    pub path: String,
    pub reason: NativeReason,
}

/// A directory that serves.
#[allow(clippy::struct_excessive_bools, reason = "facts, named where JavaScript reads them")]
#[napi(object)]
pub struct NativeScratchDir {
    pub path: String,
    pub is_new: bool,
    pub file_system: String,
    pub mount_point: Option<String>,
    pub mount_source: Option<String>,
    pub is_in_memory: bool,
    pub is_remote: bool,
    pub free_bytes: Option<f64>,
    pub total_bytes: Option<f64>,
    pub capacity_bytes: f64,
    pub unnamed_files: bool,
    pub reserved_space: bool,
    pub holes: bool,
}

/// Where a pager would have its scratch files.
#[napi(object)]
pub struct NativeScratch {
    pub refused: Vec<NativeRefused>,
    pub chosen: Option<NativeScratchDir>,
    pub untried: Vec<String>,
    pub error: Option<NativeReason>,
}

/// A memory group around the process.
#[napi(object)]
pub struct NativeMemoryGroup {
    pub version: u8,
    pub directory: String,
    pub limit_bytes: Option<f64>,
    pub high_bytes: Option<f64>,
    pub used_bytes: Option<f64>,
    pub held_bytes: Option<f64>,
    pub swap_limit_bytes: Option<f64>,
    pub swap_used_bytes: Option<f64>,
}

/// What the process may use of the memory.
#[napi(object)]
pub struct NativeMemory {
    pub physical_bytes: Option<f64>,
    pub available_bytes: Option<f64>,
    pub limit_bytes: Option<f64>,
    pub group_free_bytes: Option<f64>,
    pub auto_bytes: f64,
    pub swap_bytes: f64,
    pub swap_free_bytes: f64,
    pub groups: Vec<NativeMemoryGroup>,
}

/// A limit of the process.
#[napi(object)]
pub struct NativeLimit {
    pub soft: Option<f64>,
    pub hard: Option<f64>,
    pub used: Option<f64>,
}

/// What the system lets the process have, and the descriptors that a pager needs at most.
#[napi(object)]
pub struct NativeProcess {
    pub address_space_bytes: NativeLimit,
    pub data_bytes: NativeLimit,
    pub file_bytes: NativeLimit,
    pub descriptors: NativeLimit,
    pub locked_bytes: NativeLimit,
    pub pager_descriptors: f64,
}

/// Transfers of one kind.
#[napi(object)]
pub struct NativeTransfer {
    pub calls: f64,
    pub bytes: f64,
    pub bytes_per_second: f64,
    pub longest_ms: f64,
}

/// How fast payloads go out and come back, and the device beneath.
#[napi(object)]
pub struct NativeSpeed {
    pub payload_bytes: f64,
    pub out: NativeTransfer,
    pub back: NativeTransfer,
    pub copy: NativeTransfer,
    pub device_write: Option<NativeTransfer>,
    pub device_read: Option<NativeTransfer>,
}

/// What the machine does for encrypted payloads.
#[napi(object)]
pub struct NativeEncryption {
    pub cipher: String,
    pub aes_instructions: Option<String>,
    pub is_out_of_core_dumps: bool,
    pub is_out_of_swap: bool,
}

/// All of it. Of the speed either the numbers, or why there are none, or neither where it was not asked for or has no room.
#[napi(object)]
pub struct NativeFacts {
    pub scratch: NativeScratch,
    pub memory: NativeMemory,
    pub process: NativeProcess,
    pub encryption: Option<NativeEncryption>,
    pub compression: Vec<String>,
    pub speed: Option<NativeSpeed>,
    pub speed_error: Option<NativeReason>,
}

/// Gathers what there is to know about a pager with these options, off the JavaScript thread. `environment` is as for
/// `useEnvironment`. Leaves nothing behind; of files, only those that tell of memory limits stay open once the speed was
/// measured, which the pagers of the process share.
#[napi(catch_unwind, ts_return_type = "Promise<NativeFacts>")]
pub fn examine(
    scratch_dir: Option<String>,
    allow_ram_backed: bool,
    measures_speed: bool,
    environment: Option<Vec<String>>,
) -> Result<AsyncTask<Job<NativeFacts, NativeFacts>>> {
    let environment = environment.map(environment_of).transpose()?;
    let builder = move || {
        let builder = Pager::builder().allow_ram_backed(allow_ram_backed);
        let builder = scratch_dir.iter().fold(builder, PagerBuilder::scratch_dir);
        environment.iter().cloned().fold(builder, |builder, environment: Environment| builder.environment(environment))
    };
    Ok(spawn(move || Ok(facts(&builder, measures_speed)), Ok))
}

fn facts(builder: &dyn Fn() -> PagerBuilder, measures_speed: bool) -> NativeFacts {
    let scratch = doctor::scratch(builder());
    let (memory, process) = (doctor::memory(), doctor::process());
    let measured = (measures_speed && scratch.chosen.is_some()).then(|| doctor::speed(builder()));
    let (speed, speed_error) = match measured {
        Some(Ok(speed)) => (speed, None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    NativeFacts {
        scratch: scratch.into(),
        memory: memory.into(),
        process: process.into(),
        encryption: doctor::encryption().map(Into::into),
        compression: vec!["lz4".to_owned()],
        speed: speed.map(Into::into),
        speed_error: speed_error.as_ref().map(Into::into),
    }
}

impl From<&Error> for NativeReason {
    fn from(error: &Error) -> Self {
        let (syscall, file_system) = match error {
            Error::System { syscall, .. } => (Some((*syscall).to_owned()), None),
            Error::RamBacked { file_system, .. } => (None, Some(file_system.clone())),
            _ => (None, None),
        };
        Self { code: error.code().to_owned(), message: error.to_string(), syscall, file_system }
    }
}

impl From<ScratchFacts> for NativeScratch {
    fn from(facts: ScratchFacts) -> Self {
        let refused = facts.refused.iter();
        Self {
            refused: refused
                .map(|refused| NativeRefused { path: text(&refused.path), reason: (&refused.reason).into() })
                .collect(),
            chosen: facts.chosen.map(Into::into),
            untried: facts.untried.iter().map(|path| text(path)).collect(),
            error: facts.error.as_ref().map(Into::into),
        }
    }
}

impl From<ScratchDir> for NativeScratchDir {
    fn from(directory: ScratchDir) -> Self {
        Self {
            path: text(&directory.path),
            is_new: directory.is_new,
            file_system: directory.file_system,
            mount_point: directory.mount_point.as_deref().map(text),
            mount_source: directory.mount_source.map(|source: OsString| source.to_string_lossy().into_owned()),
            is_in_memory: directory.is_in_memory,
            is_remote: directory.is_remote,
            free_bytes: directory.free_bytes.map(double),
            total_bytes: directory.total_bytes.map(double),
            capacity_bytes: double(directory.capacity_bytes),
            unnamed_files: directory.abilities.unnamed_files,
            reserved_space: directory.abilities.reserved_space,
            holes: directory.abilities.holes,
        }
    }
}

impl From<MemoryFacts> for NativeMemory {
    fn from(memory: MemoryFacts) -> Self {
        Self {
            physical_bytes: memory.physical_bytes.map(double),
            available_bytes: memory.available_bytes.map(double),
            limit_bytes: memory.limit_bytes.map(double),
            group_free_bytes: memory.group_free_bytes.map(double),
            auto_bytes: double(memory.auto_bytes),
            swap_bytes: double(memory.swap_bytes),
            swap_free_bytes: double(memory.swap_free_bytes),
            groups: memory.groups.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<MemoryGroup> for NativeMemoryGroup {
    fn from(group: MemoryGroup) -> Self {
        Self {
            version: group.version,
            directory: text(&group.directory),
            limit_bytes: group.limit_bytes.map(double),
            high_bytes: group.high_bytes.map(double),
            used_bytes: group.used_bytes.map(double),
            held_bytes: group.held_bytes.map(double),
            swap_limit_bytes: group.swap_limit_bytes.map(double),
            swap_used_bytes: group.swap_used_bytes.map(double),
        }
    }
}

impl From<Limit> for NativeLimit {
    fn from(limit: Limit) -> Self {
        Self { soft: limit.soft.map(double), hard: limit.hard.map(double), used: limit.used.map(double) }
    }
}

impl From<ProcessLimits> for NativeProcess {
    fn from(limits: ProcessLimits) -> Self {
        Self {
            address_space_bytes: limits.address_space_bytes.into(),
            data_bytes: limits.data_bytes.into(),
            file_bytes: limits.file_bytes.into(),
            descriptors: limits.descriptors.into(),
            locked_bytes: limits.locked_bytes.into(),
            pager_descriptors: double(doctor::PAGER_DESCRIPTORS),
        }
    }
}

impl From<EncryptionFacts> for NativeEncryption {
    fn from(facts: EncryptionFacts) -> Self {
        Self {
            cipher: facts.cipher.to_owned(),
            aes_instructions: facts.aes_instructions.map(str::to_owned),
            is_out_of_core_dumps: facts.is_out_of_core_dumps,
            is_out_of_swap: facts.is_out_of_swap,
        }
    }
}

impl From<Transfer> for NativeTransfer {
    fn from(transfer: Transfer) -> Self {
        Self {
            calls: double(transfer.calls),
            bytes: double(transfer.bytes),
            bytes_per_second: transfer.bytes_per_second(),
            longest_ms: transfer.longest.as_secs_f64() * 1e3,
        }
    }
}

impl From<Speed> for NativeSpeed {
    fn from(speed: Speed) -> Self {
        Self {
            payload_bytes: double(speed.payload_bytes),
            out: speed.out.into(),
            back: speed.back.into(),
            copy: speed.copy.into(),
            device_write: speed.device.map(|device| device.write.into()),
            device_read: speed.device.and_then(|device| device.read).map(Into::into),
        }
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
