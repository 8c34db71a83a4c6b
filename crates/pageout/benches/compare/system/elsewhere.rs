//! Not Linux: advice does nothing; what cannot be had says so.

use std::fs::File;
use std::io;
use std::path::Path;

pub(crate) fn hint_cold(_memory: &[u8]) -> io::Result<()> {
    Ok(())
}

pub(crate) fn announce(_file: &File, _offset: u64, _len_bytes: usize) -> io::Result<()> {
    Ok(())
}

pub(crate) fn drop_from_cache(_file: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn open_direct(_path: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn reserve(_file: &File, _len_bytes: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Never exists.
pub(crate) struct Ring(std::convert::Infallible);

impl Ring {
    pub(crate) fn new(_depth: u32) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn read(&mut self, _file: &File, _offsets: &[u64], _memory: &mut [u8]) -> io::Result<()> {
        match self.0 {}
    }
}
