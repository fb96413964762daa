//! Memory of the sandbox: the page pool, shared memory, patched text, and address spaces.

mod pool;
mod runs;
mod shared;
pub mod space;
pub mod text;

pub use pool::{Allocated, Contents, Extent, PagePool, pool};
pub use shared::SharedMemory;
pub use space::{
    AddressSpace, Fault, GuestAdvice, Location, MapRequest, MapSource, MemoryLimits, Placement,
    Region, RemapFlags, RemapRequest, VmaFlags,
};
