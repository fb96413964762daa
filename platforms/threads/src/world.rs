//! What one test and all processes it makes share: files, the broker, guest code.

use crate::page::lock;
use capsid_platform::{Entry, Errno, HostFile, Registers};
use capsid_wire::{Reply, Request};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

/// The bytes of a host file.
pub type FileBytes = Arc<Mutex<Vec<u8>>>;
type Broker = dyn Fn(&Request, &mut [u8]) -> Result<Reply, Errno> + Send + Sync;
type Instruction = dyn Fn(&mut Registers) -> Entry + Send + Sync;

/// The surroundings of one test.
#[derive(Default)]
pub struct World {
    files: Mutex<HashMap<u32, FileBytes>>,
    broker: Mutex<Option<Arc<Broker>>>,
    code: Mutex<HashMap<u64, Arc<Instruction>>>,
    image: Mutex<&'static [u8]>,
}

impl World {
    /// Adds a host file, as if the broker had donated it.
    pub fn donate(&self, bytes: Vec<u8>) -> HostFile {
        let mut files = lock(&self.files);
        let number = (8..)
            .find(|number| !files.contains_key(number))
            .unwrap_or(u32::MAX);
        files.insert(number, Arc::new(Mutex::new(bytes)));
        HostFile(number)
    }

    /// The bytes of a host file.
    pub fn file(&self, file: HostFile) -> Result<FileBytes, Errno> {
        lock(&self.files).get(&file.0).cloned().ok_or(Errno::EBADF)
    }

    pub(crate) fn close(&self, file: HostFile) {
        lock(&self.files).remove(&file.0);
    }

    /// Lets `broker` answer requests.
    pub fn set_broker(
        &self,
        broker: impl Fn(&Request, &mut [u8]) -> Result<Reply, Errno> + Send + Sync + 'static,
    ) {
        *lock(&self.broker) = Some(Arc::new(broker));
    }

    pub(crate) fn broker(&self) -> Option<Arc<Broker>> {
        lock(&self.broker).clone()
    }

    /// Makes `instruction` what a guest thread executes at `address`: it changes the registers
    /// and says why the thread enters the library OS next.
    pub fn set_instruction(
        &self,
        address: u64,
        instruction: impl Fn(&mut Registers) -> Entry + Send + Sync + 'static,
    ) {
        lock(&self.code).insert(address, Arc::new(instruction));
    }

    pub(crate) fn instruction(&self, address: u64) -> Option<Arc<Instruction>> {
        lock(&self.code).get(&address).cloned()
    }

    /// Sets the root image.
    pub fn set_image(&self, image: Vec<u8>) {
        *lock(&self.image) = image.leak();
    }

    /// The root image.
    pub fn image(&self) -> &'static [u8] {
        *lock(&self.image)
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}
