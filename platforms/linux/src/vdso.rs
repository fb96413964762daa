//! Finding functions in the host's vDSO: a small ELF image that the host maps into every process.
//!
//! The host is trusted to map a well-formed one; reads still stay inside [`LIMIT`] bytes.

/// More than any vDSO has.
const LIMIT: u64 = 64 << 10;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_GNU_HASH: u64 = 0x6fff_fef5;
const SYMBOL_BYTES: u64 = 24;

/// A reader of the image at `base`, by offsets.
#[derive(Clone, Copy)]
struct Image {
    base: u64,
}

impl Image {
    fn read<T: Copy + Default>(self, offset: u64) -> T {
        if offset.saturating_add(size_of::<T>() as u64) > LIMIT {
            return T::default();
        }
        // SAFETY: `find`'s caller says that a vDSO is mapped there, and the offsets come from it.
        unsafe { ((self.base + offset) as *const T).read_unaligned() }
    }
}

/// Returns the address of the function `name`.
///
/// # Safety
/// `base` is the address of the host's vDSO, or 0.
pub unsafe fn find(base: u64, name: &[u8]) -> Option<usize> {
    if base == 0 {
        return None;
    }
    let image = Image { base };
    let headers: u64 = image.read(32);
    let count: u16 = image.read(56);
    let mut dynamic = None;
    let mut load_address = None;
    for index in 0..u64::from(count) {
        let header = headers + 56 * index;
        match image.read::<u32>(header) {
            PT_LOAD if load_address.is_none() => {
                load_address = Some(image.read::<u64>(header + 16) - image.read::<u64>(header + 8));
            }
            PT_DYNAMIC => dynamic = Some(image.read::<u64>(header + 8)),
            _ => {}
        }
    }
    let load_address = load_address?;
    let (mut strings, mut symbols, mut hash, mut gnu_hash) = (0, 0, 0, 0);
    let mut entry = dynamic?;
    loop {
        let value = image.read::<u64>(entry + 8).wrapping_sub(load_address);
        match image.read::<u64>(entry) {
            0 => break,
            DT_STRTAB => strings = value,
            DT_SYMTAB => symbols = value,
            DT_HASH => hash = value,
            DT_GNU_HASH => gnu_hash = value,
            _ => {}
        }
        entry += 16;
    }
    let symbol_count = match (hash, gnu_hash) {
        (0, 0) => return None,
        (0, table) => gnu_symbol_count(image, table),
        (table, _) => image.read::<u32>(table + 4),
    };
    (0..u64::from(symbol_count))
        .map(|index| symbols + SYMBOL_BYTES * index)
        .find(|symbol| {
            let text = strings + u64::from(image.read::<u32>(*symbol));
            let matches = name
                .iter()
                .zip(text..)
                .all(|(byte, offset)| image.read::<u8>(offset) == *byte);
            matches && image.read::<u8>(text + name.len() as u64) == 0
        })
        .map(|symbol| (base + image.read::<u64>(symbol + 8) - load_address) as usize)
}

/// The number of symbols: one more than the highest that a chain of the GNU hash table reaches.
fn gnu_symbol_count(image: Image, table: u64) -> u32 {
    let buckets = image.read::<u32>(table);
    let first = image.read::<u32>(table + 4);
    let bloom_words = image.read::<u32>(table + 8);
    let bucket_table = table + 16 + 8 * u64::from(bloom_words);
    let chains = bucket_table + 4 * u64::from(buckets);
    let highest = (0..u64::from(buckets))
        .map(|index| image.read::<u32>(bucket_table + 4 * index))
        .max()
        .unwrap_or(0);
    if highest < first {
        return first;
    }
    let mut symbol = highest;
    while image.read::<u32>(chains + 4 * u64::from(symbol - first)) & 1 == 0
        && u64::from(symbol) < LIMIT / SYMBOL_BYTES
    {
        symbol += 1;
    }
    symbol + 1
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn finds_the_clock_function_and_nothing_else() {
        // SAFETY: asks for a number.
        let base = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
        // SAFETY: the host maps its vDSO there, or says 0.
        let look = |name: &[u8]| unsafe { find(base, name) };
        if base == 0 {
            return;
        }
        let function = look(b"__vdso_clock_gettime").expect("every vDSO has it");
        // SAFETY: the host's function of that name has this type.
        let clock_gettime: extern "C" fn(i32, *mut [i64; 2]) -> i32 =
            unsafe { core::mem::transmute(function) };
        let mut time = [0; 2];
        assert_eq!(clock_gettime(libc::CLOCK_REALTIME, &raw mut time), 0);
        assert!(time[0] > 1_600_000_000);
        assert_eq!(look(b"__vdso_clock"), None);
        assert_eq!(look(b"no such function"), None);
        // SAFETY: 0 stands for none.
        assert_eq!(unsafe { find(0, b"__vdso_clock_gettime") }, None);
    }
}
