//! Readiness events, with the bits of poll(2) and epoll(7).

use bitflags::bitflags;

bitflags! {
    /// What an object is ready for.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Events: u32 {
        /// Reading will not block.
        const IN = 0x001;
        /// Urgent data.
        const PRI = 0x002;
        /// Writing will not block.
        const OUT = 0x004;
        /// An error is pending. Always reported.
        const ERR = 0x008;
        /// The other end hung up. Always reported.
        const HUP = 0x010;
        /// The descriptor is not open (poll only).
        const NVAL = 0x020;
        /// As IN.
        const RDNORM = 0x040;
        /// Priority-band data.
        const RDBAND = 0x080;
        /// As OUT.
        const WRNORM = 0x100;
        /// Priority data may be written.
        const WRBAND = 0x200;
        /// The other end shut down writing.
        const RDHUP = 0x2000;
    }
}

impl Events {
    /// Ready to read, in both spellings.
    pub const READABLE: Events = Events::IN.union(Events::RDNORM);
    /// Ready to write, in both spellings.
    pub const WRITABLE: Events = Events::OUT.union(Events::WRNORM);
    /// What is reported whether asked for or not.
    pub const ALWAYS: Events = Events::ERR.union(Events::HUP);
}
