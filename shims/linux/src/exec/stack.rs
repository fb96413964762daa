//! The first stack of a program: strings, auxiliary vector, environment, arguments (System V ABI,
//! getauxval(3)).

use alloc::vec::Vec;

/// `AT_*` of the auxiliary vector.
pub mod auxiliary {
    #![allow(missing_docs, reason = "getauxval(3) describes each")]
    pub const NULL: u64 = 0;
    pub const PHDR: u64 = 3;
    pub const PHENT: u64 = 4;
    pub const PHNUM: u64 = 5;
    pub const PAGESZ: u64 = 6;
    pub const BASE: u64 = 7;
    pub const FLAGS: u64 = 8;
    pub const ENTRY: u64 = 9;
    pub const UID: u64 = 11;
    pub const EUID: u64 = 12;
    pub const GID: u64 = 13;
    pub const EGID: u64 = 14;
    pub const PLATFORM: u64 = 15;
    pub const HWCAP: u64 = 16;
    pub const CLKTCK: u64 = 17;
    pub const SECURE: u64 = 23;
    pub const RANDOM: u64 = 25;
    pub const HWCAP2: u64 = 26;
    pub const EXECFN: u64 = 31;
    pub const SYSINFO_EHDR: u64 = 33;
    pub const MINSIGSTKSZ: u64 = 51;
}

/// What goes onto the stack.
#[derive(Debug)]
pub struct StackContents<'a> {
    /// The arguments.
    pub arguments: &'a [Vec<u8>],
    /// The environment.
    pub environment: &'a [Vec<u8>],
    /// The name the program was executed by.
    pub name: &'a [u8],
    /// Random bytes for the C library.
    pub random: [u8; 16],
    /// The auxiliary vector, without what points to the stack.
    pub auxiliary: Vec<(u64, u64)>,
}

/// A stack as it is written to memory.
#[derive(Debug)]
pub struct StackImage {
    /// The stack pointer, and the address of the first byte.
    pub pointer: u64,
    /// The bytes up to the top.
    pub bytes: Vec<u8>,
    /// Where the arguments' strings lie: start and end.
    pub arguments: (u64, u64),
    /// Where the environment's strings lie: start and end.
    pub environment: (u64, u64),
    /// The whole auxiliary vector.
    pub auxiliary: Vec<(u64, u64)>,
}

const PLATFORM: &[u8] = b"x86_64\0";
/// Linux leaves a null pointer at the very top.
const TOP_BYTES: u64 = 8;

fn strings_bytes(strings: &[Vec<u8>]) -> u64 {
    strings.iter().map(|string| string.len() as u64 + 1).sum()
}

/// Lays out a stack that ends at `top`.
#[must_use]
pub fn build(top: u64, contents: &StackContents<'_>) -> StackImage {
    let name_at = top - TOP_BYTES - (contents.name.len() as u64 + 1);
    let environment_at = name_at - strings_bytes(contents.environment);
    let arguments_at = environment_at - strings_bytes(contents.arguments);
    let platform_at = (arguments_at - PLATFORM.len() as u64) & !15;
    let random_at = platform_at - 16;

    let mut auxiliary = contents.auxiliary.clone();
    auxiliary.push((auxiliary::RANDOM, random_at));
    auxiliary.push((auxiliary::EXECFN, name_at));
    auxiliary.push((auxiliary::PLATFORM, platform_at));
    auxiliary.push((auxiliary::NULL, 0));

    let pointers = contents.arguments.len() + contents.environment.len() + 3;
    let words = pointers + auxiliary.len() * 2;
    let pointer = (random_at - words as u64 * 8) & !15;

    let mut bytes = Vec::new();
    let mut word = |value: u64| bytes.extend_from_slice(&value.to_le_bytes());
    word(contents.arguments.len() as u64);
    let mut table = |mut at: u64, strings: &[Vec<u8>]| {
        for string in strings {
            word(at);
            at += string.len() as u64 + 1;
        }
        word(0);
    };
    table(arguments_at, contents.arguments);
    table(environment_at, contents.environment);
    for (kind, value) in &auxiliary {
        word(*kind);
        word(*value);
    }
    let place = |bytes: &mut Vec<u8>, at: u64, content: &[u8]| {
        // Addresses only rise from here on, up to `top`.
        bytes.resize(usize::try_from(at - pointer).unwrap_or(0), 0);
        bytes.extend_from_slice(content);
    };
    place(&mut bytes, random_at, &contents.random);
    place(&mut bytes, platform_at, PLATFORM);
    place(&mut bytes, arguments_at, &[]);
    for string in contents.arguments.iter().chain(contents.environment) {
        bytes.extend_from_slice(string);
        bytes.push(0);
    }
    bytes.extend_from_slice(contents.name);
    bytes.resize(usize::try_from(top - pointer).unwrap_or(0), 0);
    StackImage {
        pointer,
        bytes,
        arguments: (arguments_at, environment_at),
        environment: (environment_at, name_at),
        auxiliary,
    }
}

#[cfg(test)]
mod tests {
    use super::{StackContents, auxiliary, build};
    use alloc::vec;

    #[test]
    fn pointers_point_to_their_strings() {
        let top = 0x7fff_f000;
        let contents = StackContents {
            arguments: &[b"ls".to_vec(), b"-l".to_vec()],
            environment: &[b"A=b".to_vec()],
            name: b"/bin/ls",
            random: [7; 16],
            auxiliary: vec![(auxiliary::PAGESZ, 4096)],
        };
        let stack = build(top, &contents);
        assert_eq!(stack.pointer % 16, 0);
        assert_eq!(stack.pointer + stack.bytes.len() as u64, top);
        let word = |index: usize| {
            let at = index * 8;
            u64::from_le_bytes(stack.bytes[at..at + 8].try_into().unwrap())
        };
        let string = |address: u64| {
            let at = usize::try_from(address - stack.pointer).unwrap();
            let rest = &stack.bytes[at..];
            &rest[..rest.iter().position(|byte| *byte == 0).unwrap()]
        };
        assert_eq!(word(0), 2);
        assert_eq!(string(word(1)), b"ls");
        assert_eq!(string(word(2)), b"-l");
        assert_eq!((word(3), string(word(4)), word(5)), (0, &b"A=b"[..], 0));
        assert_eq!((word(6), word(7)), (auxiliary::PAGESZ, 4096));
        let find = |kind| {
            let entry = stack.auxiliary.iter().find(|entry| entry.0 == kind);
            entry.unwrap().1
        };
        assert_eq!(string(find(auxiliary::EXECFN)), b"/bin/ls");
        assert_eq!(string(find(auxiliary::PLATFORM)), b"x86_64");
        assert_eq!(string(stack.arguments.0), b"ls");
    }
}
