//! The code of trampolines.
//!
//! ```text
//!     instructions moved from in front of the syscall
//!     lea rcx, [return]
//!     gate jump
//! ```
//! and, if the bytes of the `syscall` are replaced and the call cannot return behind them:
//! ```text
//!     syscall                      makes the call again when it is restarted
//! return:
//!     instructions moved from behind the syscall
//!     jmp back
//! ```
//! Nothing touches the stack, below which the guest may keep data, or the flags.

use crate::patch::{CodeWrite, JUMP_LEN, Layout, Patch, Places, Refusal, ReturnTo};
use crate::relocate::relocate;
use crate::scan::SYSCALL;
use crate::window::Candidate;
use alloc::vec::Vec;

/// Trampolines start at multiples of this, as branch targets like to.
pub(crate) const ALIGNMENT: usize = 16;
/// Length of `lea rcx, [rip + disp32]`.
const LEA_LEN: u8 = 7;

struct Assembler {
    /// Address of the first byte relative to the text.
    base: i64,
    bytes: Vec<u8>,
}

impl Assembler {
    fn here(&self) -> Option<i64> {
        self.base.checked_add(i64::try_from(self.bytes.len()).ok()?)
    }

    /// A jump to the text offset `target`.
    fn jump(&mut self, target: usize) -> Option<()> {
        let jump = jump_between(self.here()?, i64::try_from(target).ok()?)?;
        self.bytes.extend(jump);
        Some(())
    }

    /// Loads `rcx` with `target`, relative to the text.
    fn load_return(&mut self, target: i64) -> Option<()> {
        let end = self.here()? + i64::from(LEA_LEN);
        let displacement = i32::try_from(target - end).ok()?;
        self.bytes.extend([0x48, 0x8d, 0x0d]);
        self.bytes.extend(displacement.to_le_bytes());
        Some(())
    }
}

/// `jmp rel32` from one address to another.
fn jump_between(from: i64, to: i64) -> Option<[u8; JUMP_LEN]> {
    let end = from.checked_add(i64::try_from(JUMP_LEN).ok()?)?;
    let displacement = i32::try_from(to.checked_sub(end)?).ok()?;
    let [a, b, c, d] = displacement.to_le_bytes();
    Some([0xe9, a, b, c, d])
}

/// Makes the patch for `candidate` with its trampoline at `trampoline_offset` of the area.
/// [`Refusal::NoWindow`] if an instruction cannot move, [`Refusal::NoRoom`] if the trampoline does
/// not fit.
pub(crate) fn assemble(
    text: &[u8],
    candidate: &Candidate,
    layout: &Layout<'_>,
    trampoline_offset: usize,
) -> Result<Patch, Refusal> {
    let offset = i64::try_from(trampoline_offset).map_err(|_| Refusal::NoRoom)?;
    let base = layout
        .trampoline_base
        .checked_add(offset)
        .filter(|base| base.unsigned_abs() < 1 << 32)
        .ok_or(Refusal::NoRoom)?;
    let patch = build(text, candidate, layout, base, trampoline_offset).ok_or(Refusal::NoWindow)?;
    if trampoline_offset + patch.trampoline.len() > layout.trampoline_bytes {
        return Err(Refusal::NoRoom);
    }
    Ok(patch)
}

fn build(
    text: &[u8],
    candidate: &Candidate,
    layout: &Layout<'_>,
    base: i64,
    trampoline_offset: usize,
) -> Option<Patch> {
    let site = candidate.site;
    let mut places = Places::default();
    let mut code = Assembler {
        base,
        bytes: Vec::with_capacity(48),
    };
    for offset in candidate.before.iter() {
        places.push(site, offset, code.bytes.len())?;
        relocate(text, offset, code.here()?, &mut code.bytes)?;
    }
    places.push(site, site, code.bytes.len())?;

    let returns_to_text = candidate.keeps_syscall() || candidate.filling.is_some();
    let return_to = if returns_to_text {
        code.load_return(i64::try_from(site + 2).ok()?)?;
        code.bytes.extend_from_slice(layout.gate_jump);
        ReturnTo::Text(site + 2)
    } else {
        let return_at =
            code.bytes.len() + usize::from(LEA_LEN) + layout.gate_jump.len() + SYSCALL.len();
        code.load_return(base + i64::try_from(return_at).ok()?)?;
        code.bytes.extend_from_slice(layout.gate_jump);
        code.bytes.extend(SYSCALL);
        places.push(site, site + 2, return_at)?;
        for (index, offset) in candidate.after.iter().enumerate() {
            if index != 0 {
                places.push(site, offset, code.bytes.len())?;
            }
            relocate(text, offset, code.here()?, &mut code.bytes)?;
        }
        if !candidate.terminated {
            if candidate.after.iter().next().is_some() {
                places.push(site, candidate.end, code.bytes.len())?;
            }
            code.jump(candidate.end)?;
        }
        ReturnTo::Trampoline(trampoline_offset + return_at)
    };

    let (prelude, write) = match candidate.filling {
        Some(at) => {
            let long = jump_between(i64::try_from(at).ok()?, base)?;
            let displacement = i8::try_from(at.cast_signed() - (site + 2).cast_signed()).ok()?;
            let short = [0xeb, displacement.cast_unsigned()];
            (
                Some(CodeWrite::new(at, &long)?),
                CodeWrite::new(site, &short)?,
            )
        }
        None => {
            let jump = jump_between(i64::try_from(candidate.jump_at).ok()?, base)?;
            (None, CodeWrite::new(candidate.jump_at, &jump)?)
        }
    };
    Some(Patch {
        site,
        window: candidate.window,
        replaced: candidate.jump_at..candidate.end,
        prelude,
        write,
        trampoline_offset,
        trampoline: code.bytes,
        return_to,
        places,
    })
}
