//! Every shape of window, on code made for it.

mod check;

use capsid_rewriter::{
    Hazards, Layout, Patch, Refusal, ReturnTo, SiteTable, Window, patch_proven_sites, patch_site,
    plain_sites, sweep,
};
use check::{assert_equivalent, layout};

/// Code with `code` in the middle of 400 harmless instructions on each side; returns the text and
/// where `code` starts, a multiple of 16.
fn text_with(code: &[u8]) -> (Vec<u8>, usize) {
    let mut text = [0x48, 0x89, 0xc3].repeat(400); // mov rbx, rax
    let start = text.len();
    text.extend(code);
    text.extend([0x48, 0x89, 0xc3].repeat(400));
    (text, start)
}

/// Offset of the only `syscall`.
fn site_of(text: &[u8]) -> usize {
    text.windows(2)
        .position(|pair| pair == [0x0f, 0x05])
        .unwrap()
}

/// Patches the only site and checks the result.
fn patched(code: &[u8]) -> Result<Patch, Refusal> {
    let (text, _) = text_with(code);
    let mut table = SiteTable::new();
    let layout = layout(text.len());
    let patch = patch_site(&text, site_of(&text), &layout, Hazards::empty(), &mut table)?;
    assert_equivalent(&text, &patch, &layout, &table);
    let mut copy = text.clone();
    patch.apply(&mut copy);
    assert_ne!(copy, text);
    table.restore(0, &mut copy);
    assert_eq!(copy, text);
    Ok(patch)
}

fn proven(text: &[u8], layout: &Layout<'_>, table: &mut SiteTable) -> Vec<Patch> {
    let mut patches = Vec::new();
    let none = Hazards::empty();
    patch_proven_sites(text, layout, none, table, |patch| patches.push(patch));
    patches
}

fn window(code: &[u8]) -> Result<Window, Refusal> {
    patched(code).map(|patch| patch.window())
}

#[test]
fn number_in_front() {
    let patch = patched(&[0xb8, 0x27, 0, 0, 0, 0x0f, 0x05]).unwrap();
    assert_eq!(patch.window(), Window::Number);
    assert_eq!(patch.write().offset() + 5, patch.site());
    assert!(patch.withstands(Hazards::all()));
    // mov rax, 15: the restorer of signal handlers.
    let patch = patched(&[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05]).unwrap();
    assert_eq!(patch.window(), Window::Number);
    assert_eq!(patch.write().bytes().len(), 5);
    assert_eq!(patch.return_to(), ReturnTo::Text(patch.site() + 2));
}

#[test]
fn number_in_another_register_is_not_plain() {
    // mov r8d, 0x27; syscall; ret; then an instruction that is reachable.
    let code = [
        0x41, 0xb8, 0x27, 0, 0, 0, 0x0f, 0x05, 0xc3, 0x90, 0x31, 0xc0,
    ];
    let (text, _) = text_with(&code);
    assert_eq!(plain_sites(&text).count(), 0);
    // All of the mov moves, with its prefix.
    let patch = patched(&code).unwrap();
    assert_eq!(patch.window(), Window::Before);
    assert_eq!(patch.write().offset() + 6, patch.site());
    assert!(patch.withstands(Hazards::all()));
}

#[test]
fn instructions_behind() {
    // xor eax, eax; syscall; cmp rax, -4096; ja +0x10
    let code = [
        0x31, 0xc0, 0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff, 0x77, 0x10,
    ];
    let patch = patched(&code).unwrap();
    assert_eq!(patch.window(), Window::After);
    assert_eq!(patch.replaced(), patch.site()..patch.site() + 8);
    // syscall; test eax, eax; je -8
    assert_eq!(
        window(&[0x0f, 0x05, 0x85, 0xc0, 0x74, 0xf8]),
        Ok(Window::After)
    );
    // syscall; mov ebx, [rip+0x100]
    assert_eq!(
        window(&[0x0f, 0x05, 0x8b, 0x1d, 0, 1, 0, 0]),
        Ok(Window::After)
    );
}

#[test]
fn return_behind_takes_the_filling_after_it() {
    // Starts at a multiple of 16: `ret` ends at +3, filling until +16.
    let mut code = vec![0x0f, 0x05, 0xc3];
    code.extend([0xcc; 13]);
    let patch = patched(&code).unwrap();
    assert_eq!(patch.window(), Window::After);
    assert_eq!(patch.replaced().len(), 3);
    // The filling may be a function when it starts where functions are aligned.
    let mut code = [0x48, 0x89, 0xc3].repeat(4);
    code.extend([0x99, 0x0f, 0x05, 0xc3]);
    code.extend([0x90; 16]);
    let patch = patched(&code).unwrap();
    assert_eq!(patch.window(), Window::Before);
}

#[test]
fn instructions_in_front() {
    // mov rdi, rbx; mov eax, ebp; syscall; call +0
    let code = [0x48, 0x89, 0xdf, 0x89, 0xe8, 0x0f, 0x05, 0xe8, 0, 0, 0, 0];
    let patch = patched(&code).unwrap();
    assert_eq!(patch.window(), Window::Before);
    // Two instructions move: a thread may stand between them.
    assert!(!patch.withstands(Hazards::all()));
    assert_eq!(patch.return_to(), ReturnTo::Text(patch.site() + 2));
    // and esi, 0x80; syscall; call +0: one instruction, which is long enough.
    let code = [0x81, 0xe6, 0x80, 0, 0, 0, 0x0f, 0x05, 0xe8, 0, 0, 0, 0];
    let patch = patched(&code).unwrap();
    assert_eq!(patch.window(), Window::Before);
    assert!(patch.withstands(Hazards::all()));
    // lea rdi, [rip+0x20]; syscall; call
    let code = [
        0x48, 0x8d, 0x3d, 0x20, 0, 0, 0, 0x0f, 0x05, 0xe8, 0, 0, 0, 0,
    ];
    assert_eq!(window(&code), Ok(Window::Before));
}

#[test]
fn a_loop_that_ends_the_process() {
    // 1: xor edi, edi; mov eax, edx; syscall; jmp 1b; as in glibc's exit.
    let code = [0x31, 0xff, 0x89, 0xd0, 0x0f, 0x05, 0xeb, 0xf8, 0x31, 0xc0];
    let patch = patched(&code).unwrap();
    assert_eq!(patch.window(), Window::Before);
    assert_eq!(
        patch.replaced().end,
        patch.site() + 4,
        "the jump moves as well"
    );
}

#[test]
fn short_jump_into_filling() {
    // call +0; syscall; call +0; ret; int3 until the next multiple of 16.
    let mut code = vec![0xe8, 0, 0, 0, 0, 0x0f, 0x05, 0xe8, 0, 0, 0, 0, 0xc3];
    code.extend([0xcc; 19]);
    assert_eq!(
        window(&code),
        Err(Refusal::NoWindow),
        "three bytes do not suffice"
    );
    let mut code = vec![0x90, 0xc3];
    code.extend([0xcc; 14]);
    code.extend([0xe8, 0, 0, 0, 0, 0x0f, 0x05, 0xe8, 0, 0, 0, 0, 0xc3]);
    let patch = patched(&code).unwrap();
    assert_eq!(patch.window(), Window::Filling);
    assert!(patch.withstands(Hazards::all()));
    assert_eq!(patch.prelude().unwrap().bytes()[0], 0xe9);
}

#[test]
fn branches_into_a_window_are_respected() {
    // test eax, eax; je to the cmp behind the syscall; xor eax, eax; syscall; cmp; call
    let code = [
        0x85, 0xc0, 0x74, 0x04, 0x31, 0xc0, 0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff, 0xe8, 0,
        0, 0, 0,
    ];
    let patch = patched(&code).unwrap();
    assert_eq!(patch.window(), Window::Before, "the comparison is a target");
    // The same from afar, with a long branch, and nothing in front that can move.
    let code = [
        0xe8, 0, 0, 0, 0, 0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff,
    ];
    let (mut text, start) = text_with(&code);
    let site = start + 5;
    let refused = |text: &[u8]| {
        patch_site(
            text,
            site,
            &layout(text.len()),
            Hazards::empty(),
            &mut SiteTable::new(),
        )
        .unwrap_err()
    };
    text[0] = 0xe9;
    text[1..5].copy_from_slice(&u32::try_from(site + 2 - 5).unwrap().to_le_bytes());
    text[5] = 0x90;
    assert_eq!(refused(&text), Refusal::BranchTarget);
    // A branch to the syscall itself is harmless.
    text[1..5].copy_from_slice(&u32::try_from(site - 5).unwrap().to_le_bytes());
    let table = &mut SiteTable::new();
    let patch = patch_site(&text, site, &layout(text.len()), Hazards::empty(), table).unwrap();
    assert_eq!(patch.window(), Window::After);
}

#[test]
fn a_branch_to_the_syscall_keeps_the_number_window() {
    // mov eax, 0x2d; 1: syscall; test eax, eax; je 1b
    let code = [0xb8, 0x2d, 0, 0, 0, 0x0f, 0x05, 0x85, 0xc0, 0x74, 0xfa];
    assert_eq!(window(&code), Ok(Window::Number));
}

#[test]
fn pinned_instructions_stay() {
    // endbr64 between the syscall and the next instructions.
    let code = [
        0xe8, 0, 0, 0, 0, 0x0f, 0x05, 0xf3, 0x0f, 0x1e, 0xfa, 0x31, 0xc0,
    ];
    assert_eq!(window(&code), Err(Refusal::NoWindow));
    // A second syscall.
    let code = [0xe8, 0, 0, 0, 0, 0x0f, 0x05, 0x0f, 0x05, 0x31, 0xc0];
    assert_eq!(window(&code), Err(Refusal::NoWindow));
    // A prefix.
    let code = [
        0xb8, 1, 0, 0, 0, 0x48, 0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff,
    ];
    assert_eq!(window(&code), Err(Refusal::NoWindow));
    // Undecodable bytes on both sides.
    assert_eq!(window(&[0x06, 0x0f, 0x05, 0x06]), Err(Refusal::NoWindow));
}

#[test]
fn sites_in_operands_are_not_proven() {
    // mov rbx, imm64 whose bytes are `mov eax, 1; syscall`.
    let code = [0x48, 0xbb, 0xb8, 0x01, 0, 0, 0, 0x0f, 0x05, 0];
    let (text, _) = text_with(&code);
    assert_eq!(plain_sites(&text).count(), 0);
    let table = &mut SiteTable::new();
    assert!(proven(&text, &layout(text.len()), table).is_empty());
    assert!(table.is_empty());
}

#[test]
fn proven_sites_are_patched_together() {
    let mut code = Vec::new();
    for number in 0..100 {
        code.extend([
            0xb8, number, 0, 0, 0, 0x0f, 0x05, 0x48, 0x3d, 1, 0xf0, 0xff, 0xff, 0xc3,
        ]);
        code.extend([
            0x31, 0xc0, 0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff, 0x77, 0x10,
        ]);
    }
    let (text, _) = text_with(&code);
    let layout = layout(text.len());
    let mut table = SiteTable::new();
    let patches = proven(&text, &layout, &mut table);
    assert_eq!((patches.len(), table.len()), (200, 200));
    let mut copy = text.clone();
    for patch in &patches {
        assert_equivalent(&text, patch, &layout, &table);
        patch.apply(&mut copy);
    }
    table.restore(0, &mut copy);
    assert_eq!(copy, text);
    assert!(
        proven(&text, &layout, &mut table).is_empty(),
        "all are patched"
    );
    assert_eq!(sweep(&text, &layout).patches.len(), 200);
}

#[test]
fn patches_keep_out_of_each_others_way() {
    // call +0; syscall; mov ebx, eax; test eax, eax; syscall; call +0: either could move the two
    // instructions between them.
    let code = [
        0xe8, 0, 0, 0, 0, 0x0f, 0x05, 0x89, 0xc3, 0x85, 0xc0, 0x0f, 0x05, 0xe8, 0, 0, 0, 0,
    ];
    let (text, start) = text_with(&code);
    let layout = layout(text.len());
    let mut table = SiteTable::new();
    let mut patch = |site| patch_site(&text, start + site, &layout, Hazards::empty(), &mut table);
    assert_eq!(patch(5).unwrap().window(), Window::After);
    assert_eq!(patch(5), Err(Refusal::Patched));
    assert_eq!(patch(11), Err(Refusal::NoWindow));
    assert!(
        patch_site(
            &text,
            start + 11,
            &layout,
            Hazards::empty(),
            &mut SiteTable::new()
        )
        .is_ok()
    );
}

#[test]
fn areas_are_bounded() {
    let (text, start) = text_with(&[0xb8, 1, 0, 0, 0, 0x0f, 0x05]);
    let with = |layout: Layout<'_>| {
        patch_site(
            &text,
            start + 5,
            &layout,
            Hazards::empty(),
            &mut SiteTable::new(),
        )
        .map(|patch| patch.window())
    };
    let good = layout(text.len());
    assert_eq!(with(good), Ok(Window::Number));
    let full = Layout {
        trampoline_bytes: 8,
        ..good
    };
    assert_eq!(with(full), Err(Refusal::NoRoom));
    let far = Layout {
        trampoline_base: 1 << 32,
        ..good
    };
    assert!(with(far).is_err());
    let before = Layout {
        trampoline_base: -(1 << 30),
        ..good
    };
    assert_eq!(with(before), Ok(Window::Number));
    let no_gate = Layout {
        gate_jump: &[],
        ..good
    };
    assert_eq!(with(no_gate), Err(Refusal::NoWindow));
    let nothing = patch_site(&text, start, &good, Hazards::empty(), &mut SiteTable::new());
    assert_eq!(nothing, Err(Refusal::NotSyscall));
}

#[test]
fn a_second_thread_at_the_site_goes_on_in_the_trampoline() {
    // xor eax, eax; syscall; mov ebx, eax; test eax, eax
    let (text, start) = text_with(&[0x31, 0xc0, 0x0f, 0x05, 0x89, 0xc3, 0x85, 0xc0]);
    let layout = layout(text.len());
    let mut table = SiteTable::new();
    let patch = patch_site(&text, start + 2, &layout, Hazards::empty(), &mut table).unwrap();
    assert_eq!(patch.window(), Window::After);
    let ReturnTo::Trampoline(at) = patch.return_to() else {
        panic!("the bytes behind the syscall are gone");
    };
    assert_eq!(table.resume(start + 4), Some(at));
    assert_eq!(
        table.resume(start + 6),
        Some(at + 2),
        "behind the first that moved"
    );
    assert_eq!(table.resume(start + 2), None, "the jump itself");
    assert_eq!(table.resume(start + 8), None);
    assert!(patch.withstands(Hazards::RUNNING | Hazards::THREADS_BEFORE));
    assert!(!patch.withstands(Hazards::THREADS_BEHIND));
    let strict = &mut SiteTable::new();
    let refused = patch_site(&text, start + 2, &layout, Hazards::all(), strict);
    assert_eq!(refused, Err(Refusal::NoWindow));
    assert_eq!(table.original(at + 2), Some(start + 6));
    assert_eq!(table.original(at + 4), Some(start + 8));
}
