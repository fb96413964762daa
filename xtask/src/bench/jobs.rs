//! Whole programs, from start to exit.

use super::{Bench, Figures, record};
use crate::shell;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Runs every job in every engine.
pub fn run(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let directory = bench
        .directory
        .to_str()
        .context("the workspace's path is not UTF-8")?;
    prepare(&bench.directory)?;
    let at = |name: &str| format!("{directory}/{name}");
    let sh = |script: String| vec!["/bin/sh".to_owned(), "-c".to_owned(), script];
    let python = |script: &str| {
        ["/usr/bin/python3", "-c", script]
            .map(str::to_owned)
            .to_vec()
    };
    let git = "git -c safe.directory='*' clone -q --no-hardlinks";
    let jobs: Vec<(&str, Vec<String>, usize)> = vec![
        ("start_static", vec![at("true-static")], 4),
        ("start_dynamic", vec!["/bin/true".to_owned()], 4),
        ("start_python", python("pass"), 2),
        (
            "sh_loop_200",
            sh("i=0; while [ $i -lt 200 ]; do /bin/true || exit 7; i=$((i+1)); done".to_owned()),
            1,
        ),
        (
            "gcc_1000",
            sh(format!(
                "gcc -O2 -c {0}/gen.c -o /tmp/gen.o && rm /tmp/gen.o",
                directory
            )),
            1,
        ),
        (
            "git_clone",
            sh(format!(
                "{git} {directory}/repo /tmp/bench-clone && rm -rf /tmp/bench-clone"
            )),
            1,
        ),
        (
            "tar_5000",
            sh(format!(
                "tar cf /tmp/bench.tar -C {directory} tree && rm /tmp/bench.tar"
            )),
            1,
        ),
        (
            "sqlite_200k",
            vec![
                "/usr/bin/sqlite3".into(),
                ":memory:".into(),
                format!(".read {directory}/rows.sql"),
            ],
            1,
        ),
        (
            "python_sum",
            python("s = 0\nfor i in range(3000000): s = (s + i * i) % 1000003\nprint(s)"),
            1,
        ),
    ];
    for (name, arguments, weight) in jobs {
        if !bench.wants(name) {
            continue;
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut samples: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for round in 0..=bench.rounds * weight {
            for engine in &bench.engines {
                // The first round warms caches, and is not counted.
                let time = engine.time(&arguments, 120);
                if let Some(time) = time.filter(|_| round > 0) {
                    samples.entry(engine.name).or_default().push(time);
                }
            }
        }
        record(figures, name, samples);
    }
    Ok(())
}

/// Makes the data: a C file of 1,000 functions, SQL of 200,000 rows, a tree of 5,000 files and a
/// git repository. Kept between runs.
fn prepare(directory: &Path) -> Result<()> {
    if directory.join("ready").exists() {
        return Ok(());
    }
    let mut code = String::new();
    for i in 0..1000 {
        writeln!(
            code,
            "int f{i}(int a, int b) {{ int s = {i}; for (int i = 0; i < a; i++) s = s * 31 + (b ^ i); return s; }}"
        )?;
    }
    std::fs::write(directory.join("gen.c"), code)?;
    let rows = "create table t(a integer primary key, b text);\nbegin;\n\
        with recursive c(i) as (select 1 union all select i + 1 from c where i < 200000)\n\
        insert into t select i, 'row ' || (i * 7919 % 200000) from c;\ncommit;\n\
        create index x on t(b);\nselect count(*), max(b) from t where b > 'row 5';\n";
    std::fs::write(directory.join("rows.sql"), rows)?;
    let tree = directory.join("tree");
    for d in 0..50 {
        let folder = tree.join(d.to_string());
        std::fs::create_dir_all(&folder)?;
        for f in 0..100 {
            let text = format!("file {f} of folder {d}\n").repeat(1 + (f * 7 + d) % 40);
            std::fs::write(folder.join(f.to_string()), text)?;
        }
    }
    let script = "rm -rf repo && cp -r tree repo && cd repo && git init -q . && \
        git config user.name bench && git config user.email bench@localhost && \
        git add . && git commit -qm one";
    let mut command = shell::command("sh", &["-c", script]);
    shell::run(command.current_dir(directory))?;
    std::fs::write(directory.join("ready"), "")?;
    Ok(())
}
