//! Objects for talking between tasks: pipes, event counters, timers as files, epoll.

pub mod epoll;
mod eventfd;
pub mod pipe;
mod ring;
mod timerfd;

pub use eventfd::{EventCounter, EventMode};
pub use ring::Ring;
pub use timerfd::{TimerFile, TimerSetting};

#[cfg(test)]
mod tests;
