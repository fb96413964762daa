//! One instruction at another address, doing what it did at its own.

use alloc::vec::Vec;
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Register};

/// Added to text offsets to make the addresses that the decoder sees, so that targets before the
/// text do not wrap.
const ADDRESS_BIAS: i64 = 1 << 40;

/// Appends to `out` the instruction at `offset` of `text` as it must read at the address `to`
/// (relative to the text). Refuses (`None`, nothing appended) what cannot run elsewhere: calls,
/// interrupts, transactions, `loop`, `jrcxz`, EIP-relative operands, and targets out of reach.
pub(crate) fn relocate(text: &[u8], offset: usize, to: i64, out: &mut Vec<u8>) -> Option<()> {
    let from = i64::try_from(offset).ok()?;
    let bytes = text.get(offset..)?;
    let ip = (ADDRESS_BIAS + from).cast_unsigned();
    let mut decoder = Decoder::with_ip(64, bytes, ip, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    decoder.decode_out(&mut instruction);
    if instruction.is_invalid() {
        return None;
    }
    let length = instruction.len();
    let original = bytes.get(..length)?;
    match instruction.flow_control() {
        FlowControl::Next | FlowControl::IndirectBranch | FlowControl::Return => {}
        FlowControl::ConditionalBranch if instruction.is_jcc_short_or_near() => {
            // The condition is the low half of the last opcode byte; a conditional branch has no
            // prefix that matters (a branch hint or BND), so it is encoded anew.
            let condition = condition_bits(&instruction)?;
            let target = branch_target(&instruction)?;
            let displacement = i32::try_from(target - (to + 6)).ok()?;
            out.extend([0x0f, 0x80 | condition]);
            out.extend(displacement.to_le_bytes());
            return Some(());
        }
        FlowControl::UnconditionalBranch
            if matches!(instruction.code(), Code::Jmp_rel8_64 | Code::Jmp_rel32_64) =>
        {
            let displacement = i32::try_from(branch_target(&instruction)? - (to + 5)).ok()?;
            out.push(0xe9);
            out.extend(displacement.to_le_bytes());
            return Some(());
        }
        _ => return None,
    }
    if !instruction.is_ip_rel_memory_operand() {
        out.extend_from_slice(original);
        return Some(());
    }
    if instruction.memory_base() != Register::RIP {
        return None;
    }
    let constants = decoder.get_constant_offsets(&instruction);
    let at = constants.displacement_offset();
    if !constants.has_displacement() || constants.displacement_size() != 4 {
        return None;
    }
    let target = instruction.ip_rel_memory_address().cast_signed() - ADDRESS_BIAS;
    let end = to + i64::try_from(length).ok()?;
    let displacement = i32::try_from(target - end).ok()?;
    let copy = out.len();
    out.extend_from_slice(original);
    out[copy + at..copy + at + 4].copy_from_slice(&displacement.to_le_bytes());
    Some(())
}

/// The low four bits of the opcode of a conditional branch.
fn condition_bits(instruction: &Instruction) -> Option<u8> {
    /// The 16 conditions in encoding order, each as rel8 and rel32.
    const CODES: [[Code; 2]; 16] = [
        [Code::Jo_rel8_64, Code::Jo_rel32_64],
        [Code::Jno_rel8_64, Code::Jno_rel32_64],
        [Code::Jb_rel8_64, Code::Jb_rel32_64],
        [Code::Jae_rel8_64, Code::Jae_rel32_64],
        [Code::Je_rel8_64, Code::Je_rel32_64],
        [Code::Jne_rel8_64, Code::Jne_rel32_64],
        [Code::Jbe_rel8_64, Code::Jbe_rel32_64],
        [Code::Ja_rel8_64, Code::Ja_rel32_64],
        [Code::Js_rel8_64, Code::Js_rel32_64],
        [Code::Jns_rel8_64, Code::Jns_rel32_64],
        [Code::Jp_rel8_64, Code::Jp_rel32_64],
        [Code::Jnp_rel8_64, Code::Jnp_rel32_64],
        [Code::Jl_rel8_64, Code::Jl_rel32_64],
        [Code::Jge_rel8_64, Code::Jge_rel32_64],
        [Code::Jle_rel8_64, Code::Jle_rel32_64],
        [Code::Jg_rel8_64, Code::Jg_rel32_64],
    ];
    let code = instruction.code();
    let found = CODES.iter().position(|codes| codes.contains(&code))?;
    u8::try_from(found).ok()
}

fn branch_target(instruction: &Instruction) -> Option<i64> {
    instruction
        .near_branch_target()
        .cast_signed()
        .checked_sub(ADDRESS_BIAS)
}

#[cfg(test)]
mod tests {
    use super::relocate;
    use alloc::vec::Vec;

    fn moved(bytes: &[u8], to: i64) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        relocate(bytes, 0, to, &mut out).map(|()| out)
    }

    #[test]
    fn plain_instructions_are_copied() {
        for bytes in [
            &[0x31, 0xc0][..],
            &[0x48, 0x89, 0xe5],
            &[0xc3],
            &[0xff, 0xe0],
        ] {
            assert_eq!(moved(bytes, 0x1000).as_deref(), Some(bytes));
        }
    }

    #[test]
    fn rip_relative_operands_keep_their_target() {
        // mov eax, [rip+0x10] → target 0x16; at 0x1000 it ends at 0x1006.
        let load = [0x8b, 0x05, 0x10, 0, 0, 0];
        assert_eq!(
            moved(&load, 0x1000),
            Some([&[0x8b, 0x05][..], &(0x16i32 - 0x1006).to_le_bytes()].concat())
        );
        // cmp dword [rip+8], 7 has an immediate behind the displacement: target 0x0f.
        let compare = [0x83, 0x3d, 8, 0, 0, 0, 7];
        assert_eq!(
            moved(&compare, -0x2000),
            Some(
                [
                    &[0x83, 0x3d][..],
                    &(0x0fi32 + 0x2000 - 7).to_le_bytes(),
                    &[7]
                ]
                .concat()
            )
        );
        assert_eq!(moved(&load, 1 << 33), None, "out of reach");
        assert_eq!(
            moved(&[0x67, 0x8b, 0x05, 0, 0, 0, 0], 0),
            None,
            "EIP-relative"
        );
    }

    #[test]
    fn branches_become_long() {
        // ja +0x10 → target 0x12.
        assert_eq!(
            moved(&[0x77, 0x10], 0x100),
            Some([&[0x0f, 0x87][..], &(0x12i32 - 0x106).to_le_bytes()].concat())
        );
        assert_eq!(
            moved(&[0x0f, 0x8d, 0xf0, 0xff, 0xff, 0xff], 0x100),
            Some([&[0x0f, 0x8d][..], &(-10i32 - 0x106).to_le_bytes()].concat())
        );
        assert_eq!(
            moved(&[0xeb, 0xf8], 0x100),
            Some([&[0xe9][..], &(-6i32 - 0x105).to_le_bytes()].concat())
        );
    }

    #[test]
    fn what_cannot_move_is_refused() {
        for bytes in [
            &[0xe8, 0, 0, 0, 0][..],   // call
            &[0xff, 0xd0],             // call rax
            &[0xe3, 0x10],             // jrcxz
            &[0xe2, 0x10],             // loop
            &[0xcc],                   // int3
            &[0x0f, 0x05],             // syscall
            &[0xc7, 0xf8, 0, 0, 0, 0], // xbegin
            &[0x0f, 0x0b],             // ud2
            &[0x06],                   // no instruction
            &[0x48],                   // cut short
        ] {
            assert_eq!(moved(bytes, 0x1000), None, "{bytes:x?}");
        }
    }
}
