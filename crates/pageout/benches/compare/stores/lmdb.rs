//! LMDB, the store that is closest to the system among those that are not made for this.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use heed::byteorder::NativeEndian;
use heed::types::{Bytes, U64};
use heed::{Database, Env};
use tempfile::TempDir;

use super::{Store, clear, total_bytes};
use crate::payload::GIB;
use crate::site::Site;
use crate::system;

pub(crate) const LMDB: &str = "LMDB";
/// What it was given, for notes.
pub(crate) const OPTIONS: &str = "LMDB runs with NOSYNC, WRITEMAP, MAPASYNC and a map of 1 GiB; a trip is one transaction that \
                                  puts (into reserved space) and one that gets and deletes";
const MAP_BYTES: usize = GIB;

/// An environment of its own.
pub(crate) struct Lmdb {
    env: Env,
    payloads: Database<U64<NativeEndian>, Bytes>,
    next_key: AtomicU64,
    /// Removed when the environment has been closed.
    _directory: TempDir,
}

impl Lmdb {
    pub(crate) fn new(site: &Site) -> io::Result<Self> {
        let directory = TempDir::new_in(site.path())?;
        let env = system::open_lmdb(directory.path(), MAP_BYTES).map_err(io::Error::other)?;
        let mut transaction = env.write_txn().map_err(io::Error::other)?;
        let payloads = env.create_database(&mut transaction, None).map_err(io::Error::other)?;
        transaction.commit().map_err(io::Error::other)?;
        Ok(Self { env, payloads, next_key: AtomicU64::new(0), _directory: directory })
    }

    fn put(&self, key: u64, chunks: &[Vec<u8>]) -> heed::Result<()> {
        let mut transaction = self.env.write_txn()?;
        self.payloads.put_reserved(&mut transaction, &key, total_bytes(chunks), |space| {
            chunks.iter().try_for_each(|chunk| io::Write::write_all(space, chunk))
        })?;
        transaction.commit()
    }

    /// Looks at a payload where it lies.
    pub(crate) fn look<R>(&self, key: u64, look: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let transaction = self.env.read_txn().map_err(io::Error::other)?;
        let payload = self.payloads.get(&transaction, &key).map_err(io::Error::other)?;
        payload.map(look).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn get_and_delete(&self, key: u64, destination: &mut Vec<u8>) -> heed::Result<()> {
        let mut transaction = self.env.write_txn()?;
        if let Some(payload) = self.payloads.get(&transaction, &key)? {
            destination.extend_from_slice(payload);
        }
        self.payloads.delete(&mut transaction, &key)?;
        transaction.commit()
    }
}

impl Store for Lmdb {
    type Ticket = u64;

    fn out(&self, chunks: &mut [Vec<u8>]) -> io::Result<Self::Ticket> {
        let key = self.next_key.fetch_add(1, Relaxed);
        self.put(key, chunks).map_err(io::Error::other)?;
        clear(chunks);
        Ok(key)
    }

    fn back(&self, key: Self::Ticket, destination: &mut Vec<u8>) -> io::Result<()> {
        self.get_and_delete(key, destination).map_err(io::Error::other)
    }
}
