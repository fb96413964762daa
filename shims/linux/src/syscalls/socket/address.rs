//! `struct sockaddr_un`, unix(7).

use super::write_sized;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::net::unix::Name;
use capsid_platform::GuestAddr;
use linux_raw_sys::net;

/// The whole structure, in bytes.
const ADDRESS_BYTES: usize = 110;
const FAMILY_BYTES: usize = 2;
/// `struct sockaddr_storage`, in bytes: no address is longer.
const STORAGE_BYTES: usize = 128;

/// What an address names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SocketAddress {
    /// `AF_UNSPEC`: no peer.
    Unspecified,
    /// Nothing: a name is to be chosen.
    Unnamed,
    /// A path.
    Path(Vec<u8>),
    /// An abstract name, without the NUL in front.
    Abstract(Vec<u8>),
}

impl SocketAddress {
    /// Reads an address of `length` bytes: `EINVAL`, `EAFNOSUPPORT`, `EFAULT`.
    pub(super) fn read(address: GuestAddr, length: u32) -> Result<SocketAddress, Errno> {
        let length = length as usize;
        if !(FAMILY_BYTES..=STORAGE_BYTES).contains(&length) {
            return Err(Errno::EINVAL);
        }
        let mut bytes = [0; STORAGE_BYTES];
        let bytes = bytes.get_mut(..length).ok_or(Errno::EINVAL)?;
        address.read(bytes)?;
        SocketAddress::parse(bytes)
    }

    fn parse(bytes: &[u8]) -> Result<SocketAddress, Errno> {
        let (family, name) = bytes.split_at_checked(FAMILY_BYTES).ok_or(Errno::EINVAL)?;
        match family {
            [0, 0] => return Ok(SocketAddress::Unspecified),
            [low, 0] if u32::from(*low) == net::AF_UNIX => {}
            _ => return Err(Errno::EINVAL),
        }
        if bytes.len() > ADDRESS_BYTES {
            return Err(Errno::EINVAL);
        }
        match name {
            [] => Ok(SocketAddress::Unnamed),
            [0, rest @ ..] => Ok(SocketAddress::Abstract(rest.to_vec())),
            path => {
                let end = path.iter().position(|&byte| byte == 0);
                let path = path.get(..end.unwrap_or(path.len())).unwrap_or(path);
                Ok(SocketAddress::Path(path.to_vec()))
            }
        }
    }
}

/// A name as an address.
pub(super) fn encode_name(name: &Name) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ADDRESS_BYTES);
    bytes.extend_from_slice(&u16::try_from(net::AF_UNIX).unwrap_or(0).to_ne_bytes());
    match name {
        Name::Unnamed => {}
        Name::Path(path) => {
            bytes.extend_from_slice(path);
            bytes.push(0);
        }
        Name::Abstract(name) => {
            bytes.push(0);
            bytes.extend_from_slice(name);
        }
    }
    bytes
}

/// Gives the guest a name.
pub(super) fn write_name(name: &Name, address: GuestAddr, length: GuestAddr) -> Result<(), Errno> {
    write_sized(&encode_name(name), address, length)
}

#[cfg(test)]
mod tests {
    use super::{SocketAddress, encode_name};
    use capsid_core::Errno;
    use capsid_core::net::unix::Name;

    #[test]
    fn addresses_are_told_apart() {
        let parse = SocketAddress::parse;
        assert_eq!(parse(&[1, 0]), Ok(SocketAddress::Unnamed));
        assert_eq!(parse(&[0, 0, 9]), Ok(SocketAddress::Unspecified));
        let path = SocketAddress::Path(b"/a".to_vec());
        assert_eq!(parse(b"\x01\0/a\0junk"), Ok(path));
        let name = SocketAddress::Abstract(b"x\0y".to_vec());
        assert_eq!(parse(b"\x01\0\0x\0y"), Ok(name));
        assert_eq!(parse(&[2, 0, 1]), Err(Errno::EINVAL));
        assert_eq!(encode_name(&Name::Path((*b"/a").into())), b"\x01\0/a\0");
    }
}
