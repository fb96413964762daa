//! Patched copies of program text.
//!
//! Text that makes system calls by trap is replaced by a copy in the page pool whose calls jump to
//! trampolines, and through them into the platform's gate. One copy serves every mapping of the
//! same bytes, in every guest process: the jumps are relative, so the trampolines have to lie at
//! the same distance from the text everywhere.
//!
//! A copy costs about as much as a few hundred traps, so one is made when that many were counted,
//! or at once where waiting is not safe ([`Urgency`]). Sites that were not certain when the copy
//! was made are patched when they trap, by a single store, for others may be executing the text.
//!
//! An address space keeps [`MappedTexts`], calls [`MappedTexts::trapped`] for each trap and
//! [`MappedTexts::map_if_patched`] for each new executable mapping of a file. Before it changes
//! or replaces part of a text or its trampolines ([`MappedTexts::touched_by`]), it maps the file
//! over the text again and forgets it.
//!
//! A thread can be on its way back from a trap when the text it returns to is replaced; whoever
//! loads guest registers after a trap, a signal handler's return or a switch of tasks asks
//! [`MappedTexts::resume_address`] where to.

mod cache;
mod mapped;
mod patched;
#[cfg(test)]
mod tests;
mod trap;

pub use cache::{TextCache, TextKey, Urgency, text_cache};
pub use mapped::{MappedText, MappedTexts};
pub use patched::{Outcome, PatchedText};
pub use trap::{TextMapping, TrampolineRoom};
