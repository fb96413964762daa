//! Everything about execve(2) that can fail without harm.

use crate::exec::credentials::{self, NewCredentials};
use crate::exec::image::{self, Image};
use crate::exec::script;
use crate::exec::strings::{self, Strings};
use crate::task::{Resource, Thread};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::fs::{LookupFlags, Path, Place, View};

/// Interpreters of interpreters: as deep as Linux goes.
const SCRIPT_DEPTH_MAX: usize = 5;

/// A program to execute.
#[derive(Debug)]
pub struct Request {
    /// Where a relative path starts; `None` for the working directory.
    pub start: Option<Path>,
    /// The descriptor that `start` came from, for the name that scripts see.
    pub descriptor: Option<i32>,
    /// The path.
    pub path: Vec<u8>,
    /// How it is looked up.
    pub flags: LookupFlags,
    /// The arguments.
    pub arguments: Strings,
    /// The environment.
    pub environment: Strings,
}

/// A program that can be loaded.
#[derive(Debug)]
pub struct Prepared {
    pub(super) image: Image,
    pub(super) interpreter: Option<Image>,
    pub(super) credentials: NewCredentials,
    pub(super) arguments: Strings,
    pub(super) environment: Strings,
    /// What `AT_EXECFN` says.
    pub(super) name: Vec<u8>,
    /// The thread's new name.
    pub(super) thread_name: Vec<u8>,
    /// It is loaded in another host process than the call was made in.
    pub(crate) moved: bool,
}

/// Finds and checks a program: all errors of execve(2) that leave the caller as it is.
pub fn prepare(thread: &Thread, request: Request) -> Result<Box<Prepared>, Errno> {
    let mut arguments = request.arguments;
    if arguments.is_empty() {
        // Programs rely on a first argument.
        arguments.push(Vec::new());
    }
    let mut budget = strings::budget(thread.process.limits.soft(Resource::Stack));
    strings::charge(&arguments, &mut budget)?;
    strings::charge(&request.environment, &mut budget)?;
    let mut path = resolve(thread, request.start.as_ref(), &request.path, request.flags)?;
    let name = match request.descriptor {
        Some(fd) if request.path.is_empty() => format!("/dev/fd/{fd}").into_bytes(),
        Some(fd) if request.path.first() != Some(&b'/') => {
            [format!("/dev/fd/{fd}/").as_bytes(), &request.path].concat()
        }
        _ => request.path.clone(),
    };
    let mut script_name = name.clone();
    for _ in 0..=SCRIPT_DEPTH_MAX {
        let (file, hold) = image::open(thread, path)?;
        let start = image::read_start(&file)?;
        let Some(line) = script::parse(&start) else {
            let credentials = credentials::after(thread, &file)?;
            let image = Image::read(file, hold, &start)?;
            let interpreter = match image.interpreter()? {
                Some(path) => Some(open_interpreter(thread, &path)?),
                None => None,
            };
            return Ok(Box::new(Prepared {
                thread_name: last_component(&name).to_vec(),
                image,
                interpreter,
                credentials,
                arguments,
                environment: request.environment,
                name,
                moved: false,
            }));
        };
        let line = line?;
        arguments.remove(0);
        let mut replaced = alloc::vec![line.interpreter.to_vec()];
        replaced.extend(line.argument.map(<[u8]>::to_vec));
        replaced.push(core::mem::replace(
            &mut script_name,
            line.interpreter.to_vec(),
        ));
        strings::charge(&replaced, &mut budget)?;
        arguments.splice(0..0, replaced);
        path = resolve(thread, None, line.interpreter, LookupFlags::FOLLOW)?;
    }
    Err(Errno::ELOOP)
}

fn last_component(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

fn resolve(
    thread: &Thread,
    start: Option<&Path>,
    path: &[u8],
    flags: LookupFlags,
) -> Result<Path, Errno> {
    let fs = thread.fs();
    let places = fs.places();
    let credentials = thread.credentials();
    let view = View {
        namespace: &thread.process.kernel.namespace,
        root: &places.root,
        credentials: &credentials,
        umask: fs.umask(),
    };
    let start = start.unwrap_or(&places.directory);
    view.resolve(Place::new(start, path), flags)
}

/// Opens the program that loads dynamic ones: `ELIBBAD` on Linux if it is no ELF file.
fn open_interpreter(thread: &Thread, path: &[u8]) -> Result<Image, Errno> {
    const ELIBBAD: u32 = 80;
    let path = resolve(thread, None, path, LookupFlags::FOLLOW)?;
    let (file, hold) = image::open(thread, path)?;
    let start = image::read_start(&file)?;
    match Image::read(file, hold, &start) {
        Err(Errno::ENOEXEC) => Err(Errno::from_raw(ELIBBAD)),
        result => result,
    }
}
