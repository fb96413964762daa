//! The boot configuration: any bytes are one or an error, and any one starts a kernel or does not.

use capsid_linux::task::{ExitStatus, Tree, end_thread};
use capsid_platform::Errno;
use capsid_wire::{BootConfig, Export, ExportAccess, RootKind, RootSymlink};

/// Decodes a configuration as the sandbox does, and builds its tree of files. There is no broker:
/// what one can do is the affair of the target `hostfs`.
pub fn run(bytes: &[u8]) {
    let Ok(config) = postcard::from_bytes::<BootConfig>(bytes) else {
        return;
    };
    let encoded = postcard::to_allocvec(&config).expect("what was decoded can be encoded");
    assert_eq!(postcard::from_bytes(&encoded), Ok(config.clone()));
    let world = capsid_platform_threads::install().world();
    world.set_broker(|_, _| Err(Errno::EIO));
    // The errno is for the log, and the sandbox ends.
    if let Ok(thread) = capsid_linux::start(&config) {
        end_thread(&thread, ExitStatus::exited(0));
        // A kernel and its processes hold each other for as long as the sandbox lives.
        *thread.process.kernel.tree.lock() = Tree::default();
    }
}

/// One configuration for each kind of root.
pub fn seeds() -> Vec<Vec<u8>> {
    let config = BootConfig {
        arguments: vec![b"/bin/sh".to_vec(), b"-c".to_vec()],
        environment: vec![b"PATH=/bin:/usr/bin".to_vec()],
        working_directory: b"/srv/here".to_vec(),
        hostname: "host".into(),
        user: 1000,
        group: 1000,
        process_limit: 64,
        streams: 7,
        ..BootConfig::default()
    };
    let export = |mount_point: &[u8], directory| Export {
        mount_point: mount_point.to_vec(),
        access: ExportAccess::ReadOnly,
        stable: true,
        directory,
    };
    let link = |path: &[u8], target: &[u8]| RootSymlink {
        path: path.to_vec(),
        target: target.to_vec(),
    };
    let configs = [
        config.clone(),
        BootConfig {
            exports: vec![export(b"/usr", true), export(b"/etc/passwd", false)],
            symlinks: vec![link(b"/bin", b"usr/bin"), link(b"/a/b/c", b"/")],
            ..config.clone()
        },
        BootConfig {
            root: RootKind::Image,
            ..config.clone()
        },
        BootConfig {
            root: RootKind::Export,
            exports: vec![export(b"/", true)],
            ..config
        },
    ];
    let encode = |config| postcard::to_allocvec(config).expect("a configuration can be encoded");
    configs.iter().map(encode).collect()
}
