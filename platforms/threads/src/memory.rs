//! Guest memory of one process: mappings, and the pages that were touched.

use crate::page::{Page, Pool, lock};
use crate::world::{FileBytes, World};
use capsid_platform::{
    Advice, AtomicOp, Backing, Errno, GuestAddr, GuestRange, PAGE_SIZE, PoolPage, Protection,
    Sharing,
};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

const PAGE: u64 = PAGE_SIZE as u64;

/// What lies behind a mapping's first byte.
#[derive(Clone, Debug)]
enum Source {
    Zero,
    Pool(u64),
    Image(u64),
    File(FileBytes, u64),
}

#[derive(Clone, Debug)]
struct Mapping {
    end: u64,
    protection: Protection,
    source: Source,
    sharing: Sharing,
}

/// What an access needs of a page.
enum Target<'a> {
    Page(&'a Page),
    File(&'a FileBytes, u64),
}

/// The guest memory of one process.
#[derive(Debug, Default)]
pub struct GuestMemory {
    /// By start address.
    mappings: BTreeMap<u64, Mapping>,
    /// The process's own pages, by page number.
    pages: BTreeMap<u64, Arc<Page>>,
}

impl Source {
    fn after(&self, bytes: u64) -> Source {
        match self {
            Source::Zero => Source::Zero,
            Source::Pool(offset) => Source::Pool(offset + bytes),
            Source::Image(offset) => Source::Image(offset + bytes),
            Source::File(file, offset) => Source::File(file.clone(), offset + bytes),
        }
    }
}

impl GuestMemory {
    /// Replaces what lies in `range` by a mapping.
    pub fn map(
        &mut self,
        world: &World,
        range: GuestRange,
        protection: Protection,
        backing: Backing,
        sharing: Sharing,
    ) -> Result<(), Errno> {
        let source = match backing {
            Backing::Anonymous => Source::Zero,
            Backing::Pool(page) => Source::Pool(u64::from(page.0) * PAGE),
            Backing::Image(offset) => Source::Image(offset),
            Backing::HostFile(file, offset) => Source::File(world.file(file)?, offset),
        };
        self.unmap(range);
        let mapping = Mapping {
            end: range.end(),
            protection,
            source,
            sharing,
        };
        self.mappings.insert(range.start(), mapping);
        Ok(())
    }

    /// Splits the mapping that `at` lies inside.
    fn split(&mut self, at: u64) {
        let Some((&start, mapping)) = self.mappings.range_mut(..at).next_back() else {
            return;
        };
        if mapping.end > at {
            let mut upper = mapping.clone();
            upper.source = mapping.source.after(at - start);
            mapping.end = at;
            self.mappings.insert(at, upper);
        }
    }

    /// Removes all mappings in `range`.
    pub fn unmap(&mut self, range: GuestRange) {
        self.split(range.start());
        self.split(range.end());
        let starts: Vec<u64> = self.starts(range);
        for start in starts {
            self.mappings.remove(&start);
        }
        self.drop_pages(range);
    }

    fn starts(&self, range: GuestRange) -> Vec<u64> {
        self.mappings
            .range(range.as_range())
            .map(|(&start, _)| start)
            .collect()
    }

    fn drop_pages(&mut self, range: GuestRange) {
        let numbers = range.start() / PAGE..range.end().div_ceil(PAGE);
        let touched: Vec<u64> = self.pages.range(numbers).map(|(&n, _)| n).collect();
        for number in touched {
            self.pages.remove(&number);
        }
    }

    /// Whether all of `range` is mapped.
    pub fn is_mapped(&self, range: GuestRange) -> bool {
        let mut at = range.start();
        while at < range.end() {
            match self.find(at) {
                Some((_, mapping)) => at = mapping.end,
                None => return false,
            }
        }
        true
    }

    /// Sets the protection.
    pub fn protect(&mut self, range: GuestRange, protection: Protection) -> Result<(), Errno> {
        if !self.is_mapped(range) {
            return Err(Errno::ENOMEM);
        }
        self.split(range.start());
        self.split(range.end());
        for (_, mapping) in self.mappings.range_mut(range.as_range()) {
            mapping.protection = protection;
        }
        Ok(())
    }

    /// Moves one mapping.
    pub fn remap(&mut self, old: GuestRange, new: GuestRange) -> Result<(), Errno> {
        if old.overlaps(new) || !self.is_mapped(old) {
            return Err(Errno::EINVAL);
        }
        self.split(old.start());
        self.split(old.end());
        let mut moved = self
            .mappings
            .get(&old.start())
            .cloned()
            .ok_or(Errno::EFAULT)?;
        let first = old.start() / PAGE;
        let pages: Vec<_> = self
            .pages
            .range(first..old.end() / PAGE)
            .map(|(&number, page)| (number - first, page.clone()))
            .collect();
        self.unmap(old);
        self.unmap(new);
        moved.end = new.end();
        self.mappings.insert(new.start(), moved);
        for (index, page) in pages {
            if index < new.len() / PAGE {
                self.pages.insert(new.start() / PAGE + index, page);
            }
        }
        Ok(())
    }

    /// Follows advice.
    pub fn advise(&mut self, range: GuestRange, advice: Advice) {
        if matches!(advice, Advice::DontNeed | Advice::Free) {
            self.drop_pages(range);
        }
    }

    fn find(&self, address: u64) -> Option<(u64, &Mapping)> {
        let (&start, mapping) = self.mappings.range(..=address).next_back()?;
        (address < mapping.end).then_some((start, mapping))
    }

    /// Finds the bytes of one page for an access, making the process's own copy where needed.
    fn target<'a>(
        &'a mut self,
        world: &World,
        pool: &'a Pool,
        address: u64,
        access: Protection,
    ) -> Option<Target<'a>> {
        let (start, mapping) = self.find(address)?;
        if !mapping.protection.contains(access) {
            return None;
        }
        let number = address / PAGE;
        let offset = number * PAGE - start;
        let (source, sharing) = (mapping.source.after(offset), mapping.sharing);
        let own = self.pages.contains_key(&number);
        if !own && sharing == Sharing::Shared {
            return match source {
                Source::Pool(offset) => Some(Target::Page(pool.page(pool_page(offset)?)?)),
                Source::File(_, offset) => {
                    let (_, mapping) = self.find(address)?;
                    let Source::File(file, _) = &mapping.source else {
                        return None;
                    };
                    (offset < lock(file).len() as u64).then_some(Target::File(file, offset))
                }
                Source::Zero | Source::Image(_) => None,
            };
        }
        if !own {
            let page = Page::default();
            match source {
                Source::Zero => {}
                Source::Pool(offset) => {
                    let from = pool.page(pool_page(offset)?)?;
                    if !access.contains(Protection::WRITE) {
                        return Some(Target::Page(from));
                    }
                    return Some(Target::Page(self.keep(number, from.copy())));
                }
                Source::Image(offset) => fill(&page, world.image(), offset)?,
                Source::File(file, offset) => fill(&page, &lock(&file), offset)?,
            }
            return Some(Target::Page(self.keep(number, page)));
        }
        self.pages.get(&number).map(|page| Target::Page(page))
    }

    fn keep(&mut self, number: u64, page: Page) -> &Page {
        self.pages.entry(number).or_insert_with(|| Arc::new(page))
    }

    /// Copies out, and returns how many bytes.
    pub fn read(&mut self, world: &World, pool: &Pool, from: GuestAddr, to: &mut [u8]) -> usize {
        pieces(from, to.len(), |address, within, buffer| {
            match self.target(world, pool, address, Protection::READ) {
                Some(Target::Page(page)) => page.read(within.start, &mut to[buffer]),
                Some(Target::File(file, offset)) => {
                    let bytes = lock(file);
                    let offset = usize::try_from(offset).unwrap_or(usize::MAX) + within.start;
                    let rest = bytes.get(offset..).unwrap_or(&[]);
                    let to = &mut to[buffer];
                    let count = rest.len().min(to.len());
                    to[..count].copy_from_slice(&rest[..count]);
                    to[count..].fill(0);
                }
                None => return false,
            }
            true
        })
    }

    /// Copies in, and returns how many bytes.
    pub fn write(&mut self, world: &World, pool: &Pool, to: GuestAddr, from: &[u8]) -> usize {
        pieces(to, from.len(), |address, within, buffer| {
            match self.target(world, pool, address, Protection::WRITE) {
                Some(Target::Page(page)) => page.write(within.start, &from[buffer]),
                Some(Target::File(file, offset)) => {
                    let mut bytes = lock(file);
                    let offset = usize::try_from(offset).unwrap_or(usize::MAX) + within.start;
                    let rest = bytes.get_mut(offset..).unwrap_or(&mut []);
                    let count = rest.len().min(buffer.len());
                    rest[..count].copy_from_slice(&from[buffer][..count]);
                }
                None => return false,
            }
            true
        })
    }

    /// Performs an atomic operation.
    pub fn atomic(
        &mut self,
        world: &World,
        pool: &Pool,
        address: GuestAddr,
        operation: AtomicOp,
    ) -> Result<u32, Errno> {
        if !address.0.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        let access = match operation {
            AtomicOp::Load => Protection::READ,
            _ => Protection::READ | Protection::WRITE,
        };
        let within = usize::try_from(address.0 % PAGE).map_err(|_| Errno::EFAULT)?;
        match self.target(world, pool, address.0, access) {
            Some(Target::Page(page)) => Ok(page.update(within, |old| apply(operation, old))),
            Some(Target::File(file, offset)) => {
                let mut bytes = lock(file);
                let at = usize::try_from(offset).map_err(|_| Errno::EFAULT)? + within;
                let word = bytes.get_mut(at..at + 4).ok_or(Errno::EFAULT)?;
                let old = u32::from_le_bytes(word.try_into().map_err(|_| Errno::EFAULT)?);
                if let Some(new) = apply(operation, old) {
                    word.copy_from_slice(&new.to_le_bytes());
                }
                Ok(old)
            }
            None => Err(Errno::EFAULT),
        }
    }

    /// The memory of a copied process.
    pub fn fork(&self) -> GuestMemory {
        let copy = |(&number, page): (&u64, &Arc<Page>)| (number, Arc::new(page.copy()));
        GuestMemory {
            mappings: self.mappings.clone(),
            pages: self.pages.iter().map(copy).collect(),
        }
    }
}

fn pool_page(offset: u64) -> Option<PoolPage> {
    u32::try_from(offset / PAGE).ok().map(PoolPage)
}

/// Fills a page from the bytes at `offset`; `None` if it lies past their end.
fn fill(page: &Page, bytes: &[u8], offset: u64) -> Option<()> {
    let offset = usize::try_from(offset).ok()?;
    let rest = bytes.get(offset..).filter(|rest| !rest.is_empty())?;
    page.write(0, &rest[..rest.len().min(PAGE_SIZE)]);
    Some(())
}

fn apply(operation: AtomicOp, old: u32) -> Option<u32> {
    match operation {
        AtomicOp::Load => None,
        AtomicOp::Swap(value) => Some(value),
        AtomicOp::Add(value) => Some(old.wrapping_add(value)),
        AtomicOp::Or(value) => Some(old | value),
        AtomicOp::And(value) => Some(old & value),
        AtomicOp::Xor(value) => Some(old ^ value),
        AtomicOp::CompareExchange { expected, new } => (old == expected).then_some(new),
    }
}

/// Calls `each(address, range in the page, range in the buffer)` page by page until it fails, and
/// returns how many bytes were done.
fn pieces(
    start: GuestAddr,
    length: usize,
    mut each: impl FnMut(u64, Range<usize>, Range<usize>) -> bool,
) -> usize {
    let mut done = 0;
    while done < length {
        let Some(address) = start.0.checked_add(done as u64) else {
            break;
        };
        let within = usize::try_from(address % PAGE).unwrap_or(0);
        let count = (PAGE_SIZE - within).min(length - done);
        if !each(address, within..within + count, done..done + count) {
            break;
        }
        done += count;
    }
    done
}
