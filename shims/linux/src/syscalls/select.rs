//! Polling by bit sets: select(2), pselect6(2).

use super::poll::{Polled, wait_for_any};
use super::timeouts::{self, Unit};
use crate::call::{Call, CallResult, restart};
use alloc::vec;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::wait::Events;
use capsid_platform::GuestAddr;

const BITS: usize = u64::BITS as usize;

/// What each of the three sets waits for.
const WAITED: [Events; 3] = [
    Events::READABLE
        .union(Events::RDBAND)
        .union(Events::HUP)
        .union(Events::ERR),
    Events::WRITABLE.union(Events::WRBAND).union(Events::ERR),
    Events::PRI,
];

/// A set of descriptor numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct DescriptorSet(Vec<u64>);

impl DescriptorSet {
    /// Reads the first `count` bits; the null pointer is the empty set.
    fn read(address: GuestAddr, count: usize) -> Result<DescriptorSet, Errno> {
        let mut words = vec![0; count.div_ceil(BITS)];
        if address.is_null() {
            return Ok(DescriptorSet(words));
        }
        let mut bytes = vec![0; words.len() * size_of::<u64>()];
        address.read(&mut bytes)?;
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        if let Some(last) = words.last_mut()
            && !count.is_multiple_of(BITS)
        {
            *last &= (1 << (count % BITS)) - 1;
        }
        Ok(DescriptorSet(words))
    }

    fn write(&self, address: GuestAddr) -> Result<(), Errno> {
        if address.is_null() {
            return Ok(());
        }
        let bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        address.write(&bytes)
    }

    fn contains(&self, number: usize) -> bool {
        let word = self.0.get(number / BITS).copied().unwrap_or(0);
        word & 1 << (number % BITS) != 0
    }

    fn insert(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / BITS) {
            *word |= 1 << (number % BITS);
        }
    }
}

/// select(2).
pub fn sys_select(call: &mut Call<'_>) -> CallResult {
    select_until(call, Unit::Microseconds)
}

/// pselect6(2).
pub fn sys_pselect6(call: &mut Call<'_>) -> CallResult {
    let argument = call.pointer(5);
    if !argument.is_null() {
        let mask = GuestAddr(argument.read_u64()?);
        let size = usize::try_from(argument.offset(8)?.read_u64()?).unwrap_or(usize::MAX);
        timeouts::replace_mask(call, mask, size)?;
    }
    select_until(call, Unit::Nanoseconds)
}

fn select_until(call: &Call<'_>, unit: Unit) -> CallResult {
    let timeout = timeouts::read(call.pointer(4), unit)?;
    let deadline = timeout.map(|timeout| match timeout {
        0 => 0,
        timeout => call.deadline(timeout),
    });
    let result = do_select(call, deadline);
    if let Some(deadline) = deadline {
        timeouts::write_left(call.pointer(4), unit, deadline);
    }
    result.map_err(|error| match error {
        Errno::EINTR => restart::if_no_handler(),
        error => error,
    })
}

fn do_select(call: &Call<'_>, deadline: Option<u64>) -> CallResult {
    let count = usize::try_from(call.int(0)).map_err(|_| Errno::EINVAL)?;
    // Numbers beyond the table are not looked at, as on Linux.
    let count = count.min(call.thread.files().size());
    let addresses = [call.pointer(1), call.pointer(2), call.pointer(3)];
    let mut sets = [const { DescriptorSet(Vec::new()) }; 3];
    for (set, address) in sets.iter_mut().zip(addresses) {
        *set = DescriptorSet::read(address, count)?;
    }
    let mut polled = Vec::new();
    let mut numbers = Vec::new();
    for number in 0..count {
        let mut interest = Events::empty();
        for (set, waited) in sets.iter().zip(WAITED) {
            if set.contains(number) {
                interest |= waited;
            }
        }
        if interest.is_empty() {
            continue;
        }
        numbers.push(number);
        polled.push(Polled {
            file: call.file(i32::try_from(number).map_err(|_| Errno::EBADF)?)?,
            interest,
            ready: Events::empty(),
        });
    }
    wait_for_any(call, &mut polled, deadline)?;
    let (results, ready) = shown(&sets, &numbers, &polled);
    for (result, address) in results.iter().zip(addresses) {
        result.write(address)?;
    }
    Ok(ready)
}

/// The sets of what is ready, and how many bits they have.
fn shown(
    sets: &[DescriptorSet; 3],
    numbers: &[usize],
    polled: &[Polled],
) -> ([DescriptorSet; 3], u64) {
    let mut results = sets.clone();
    let mut ready = 0;
    for ((result, set), waited) in results.iter_mut().zip(sets).zip(WAITED) {
        result.0.fill(0);
        for (number, one) in numbers.iter().zip(polled) {
            if set.contains(*number) && one.ready.intersects(waited) {
                result.insert(*number);
                ready += 1;
            }
        }
    }
    (results, ready)
}

#[cfg(test)]
mod tests {
    use super::DescriptorSet;

    #[test]
    fn bits_are_where_they_belong() {
        let mut set = DescriptorSet(alloc::vec![0; 2]);
        for number in [0, 63, 64, 100] {
            assert!(!set.contains(number));
            set.insert(number);
            assert!(set.contains(number));
        }
        set.insert(128);
        assert!(!set.contains(128) && !set.contains(1));
        assert_eq!(set.0, [1 | 1 << 63, 1 | 1 << 36]);
    }
}
