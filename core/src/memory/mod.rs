//! Memory of the sandbox: the page pool.

mod pool;
mod runs;
pub mod text;

pub use pool::{Allocated, Contents, Extent, PagePool, pool};
