//! Programs of other kinds: busybox, musl, Go, fixed addresses, code made at run time, root images.

use capsid_tests::compile::{Link, program};
use capsid_tests::{Command, Scratch, capsid_binary, need, skip, workspace};
use std::path::{Path, PathBuf};

fn abi_volume() -> String {
    format!("{0}:{0}", workspace().join("target/abi").display())
}

fn run(name: &str, link: Link) {
    let Some(path) = program(name, link) else {
        return;
    };
    Command::new(&[&path.to_string_lossy()])
        .options(&["-v", &abi_volume()])
        .same();
}

#[test]
fn every_way_to_link_runs() {
    for link in [
        Link::Dynamic,
        Link::Static,
        Link::StaticPie,
        Link::NoPie,
        Link::Musl,
    ] {
        run("hello", link);
    }
}

#[test]
fn code_made_at_run_time_stays_inside() {
    run("self_made", Link::Dynamic);
    run("self_made", Link::Static);
}

#[test]
fn vector_state_survives_calls() {
    run("vectors", Link::Static);
}

#[test]
fn busybox_applets_run() {
    need!("/bin/busybox");
    for script in [
        "busybox echo hi; busybox seq 5 | busybox tac",
        "busybox printf '%s\\n' c a b | busybox sort | busybox head -n 2",
        "busybox sh -c 'for i in 1 2 3; do busybox expr $i \\* 2; done'",
        "d=$(busybox mktemp -d); cd $d; busybox dd if=/dev/zero of=z bs=1k count=9 2>/dev/null; \
         busybox md5sum z; busybox gzip z; busybox gunzip z.gz; busybox wc -c z; busybox tar cf t z; \
         busybox tar tf t; busybox find . | busybox sort; busybox stat -c %s t; cd /; busybox rm -r $d",
        "busybox awk 'BEGIN { for (i = 0; i < 3; i++) print i * i }'; busybox sed s/a/b/ <<< aaa",
        "busybox grep -c root /etc/passwd; busybox cut -d: -f1 /etc/passwd | busybox head -n 1",
        "busybox sleep 0.01; busybox usleep 10; busybox true; busybox false; echo $?",
        "busybox env | busybox sort | busybox grep PATH; busybox basename /a/b; busybox dirname /a/b",
        "busybox timeout 1 busybox sleep 5; echo $?; busybox nproc >/dev/null; busybox uname -s",
        "busybox ps >/dev/null && echo ps; busybox free >/dev/null && echo free; busybox df >/dev/null && echo df",
    ] {
        Command::script("/bin/bash", script).same();
    }
}

#[test]
fn a_go_program_runs() {
    need!("go");
    let directory = workspace().join("target/abi");
    std::fs::create_dir_all(&directory).expect("target/abi can be made");
    let output = directory.join("goprogram");
    let source = workspace().join("tests/abi/goprogram.go");
    let status = std::process::Command::new("go")
        .args(["build", "-o"])
        .arg(&output)
        .arg(&source)
        .env("GOCACHE", directory.join("gocache"))
        .env("GO111MODULE", "off")
        .status()
        .expect("go starts");
    assert!(status.success(), "the Go program does not compile");
    Command::new(&[&output.to_string_lossy()])
        .options(&["-v", &abi_volume()])
        .same();
}

/// A minimal Debian tree, made once.
fn debian() -> Option<PathBuf> {
    let tree = workspace().join("target/debian");
    if tree.join("ready").exists() {
        return Some(tree);
    }
    if !capsid_tests::installed("debootstrap") {
        skip("debian", "debootstrap is not installed");
        return None;
    }
    let _ = std::fs::remove_dir_all(&tree);
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let mut command = std::process::Command::new("debootstrap");
    command
        .args(["--variant=minbase", codename.unwrap_or("stable")])
        .arg(&tree);
    if let Some(mirror) = mirror() {
        command.arg(mirror);
    }
    let output = command.output().expect("debootstrap starts");
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stdout);
        skip(
            "debian",
            &format!("debootstrap failed: {}", text.lines().last().unwrap_or("")),
        );
        return None;
    }
    std::fs::write(tree.join("ready"), "").expect("the mark can be written");
    Some(tree)
}

/// The Debian mirror that the machine's apt uses.
fn mirror() -> Option<String> {
    let mut texts = Vec::new();
    for path in [
        "/etc/apt/sources.list",
        "/etc/apt/sources.list.d/debian.sources",
    ] {
        texts.push(std::fs::read_to_string(path).unwrap_or_default());
    }
    let words = texts.iter().flat_map(|text| text.lines()).filter(|line| {
        (line.starts_with("deb ") || line.starts_with("URIs:")) && !line.contains("security")
    });
    words
        .flat_map(str::split_whitespace)
        .find(|word| word.starts_with("http"))
        .map(ToOwned::to_owned)
}

const IN_DEBIAN: &str = "cat /etc/debian_version; dpkg -l | wc -l; ls / | sort; \
    perl -e 'print 6 * 7, \"\\n\"'; touch /new /usr/new && rm /new /usr/new && echo writable; \
    rm -rf /usr/share/doc && test ! -e /usr/share/doc && echo removed; mv /etc/issue /etc/issue2 && cat /etc/issue2";

fn in_root(root: &Path) -> String {
    let output = Command::script("/bin/sh", IN_DEBIAN)
        .options(&["--rootfs", &root.to_string_lossy()])
        .limit(120)
        .inside();
    assert_eq!(output.status, 0, "{output:#?}");
    assert!(
        output.stdout.contains("42\nwritable\nremoved\n"),
        "{output:#?}"
    );
    output.stdout
}

#[test]
fn a_debian_tree_is_a_root_directory_and_an_image() {
    let Some(tree) = debian() else { return };
    let from_tree = in_root(&tree);
    assert!(
        tree.join("usr/share/doc").exists(),
        "the host's tree was changed"
    );
    let scratch = Scratch::new("debian");
    let image = scratch.join("debian.erofs");
    let status = std::process::Command::new(capsid_binary())
        .args(["image", "import"])
        .arg(&tree)
        .arg("-o")
        .arg(&image)
        .status()
        .expect("capsid starts");
    assert!(status.success());
    assert_eq!(in_root(&image), from_tree);
}
