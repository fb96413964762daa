//! Taking an input apart: zeros once it is used up, so that every input means something.

/// The rest of an input.
#[derive(Clone, Debug)]
pub struct Input<'a>(&'a [u8]);

/// Numbers that mean something to one side or the other.
const NUMBERS: [u64; 14] = [
    0o100,
    0o1102,
    0o200_000,
    4095,
    4096,
    0x1_0000,
    0x1_0001,
    0x7fff_ffff,
    0x8000_0000,
    u32::MAX as u64,
    1 << 40,
    i64::MAX as u64,
    u64::MAX - 1,
    u64::MAX,
];

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Input<'a> {
        Input(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// Up to `count` bytes.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Bytes, with their number in front.
    pub fn short_bytes(&mut self) -> &'a [u8] {
        let count = self.byte();
        self.bytes(count.into())
    }

    pub fn word(&mut self) -> u64 {
        let mut word = [0; 8];
        let bytes = self.bytes(8);
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    }

    /// A number: small ones take one byte.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            0xff => self.word(),
            byte => {
                let special = usize::from(byte).checked_sub(0xff - NUMBERS.len());
                special.map_or(byte.into(), |index| NUMBERS[index])
            }
        }
    }

    /// The rest.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Writes what [`Input::number`] reads.
pub fn put_number(bytes: &mut Vec<u8>, number: u64) {
    match u8::try_from(number) {
        Ok(byte) if usize::from(byte) < 0xff - NUMBERS.len() => bytes.push(byte),
        _ => {
            bytes.push(0xff);
            bytes.extend(number.to_le_bytes());
        }
    }
}

/// Writes what [`Input::short_bytes`] reads.
pub fn put_short_bytes(bytes: &mut Vec<u8>, short: &[u8]) {
    let short = &short[..short.len().min(255)];
    bytes.push(short.len() as u8);
    bytes.extend_from_slice(short);
}
