//! `capsid run` on a terminal, as a person uses it: job control, keys, the window, and that the
//! terminal is left as it was. What a shell of the host shows, one inside must show, too.
//!
//! A marker such as `a42` is written `a$((40+2))` where it is typed, so that its echo is not it. A
//! job is sent keys once it has shown that it runs in the foreground.

use capsid_tests::{Session, capsid_binary, need};
use rustix::process::{Pid, Signal, kill_process};

/// Shows `b42`, and then `a42` whenever it goes on; ends by a key.
const WAITS: &str = "trap 'echo a'$((40+2)) CONT; echo b$((40+2)); until read x; do :; done";

fn capsid() -> String {
    format!("{} run", capsid_binary().display())
}

/// What starts a program natively, and then inside.
fn prefixes() -> [String; 2] {
    [String::new(), capsid()]
}

/// A script as an argument for `sh -c`, in double quotes.
fn quoted(script: &str) -> String {
    format!("\"{}\"", script.replace('$', "\\$"))
}

/// An interactive bash inside.
fn inner_shell() -> Session {
    let capsid = capsid_binary();
    let capsid = capsid.to_str().expect("a path");
    let bash = ["bash", "--norc", "--noprofile", "--noediting", "-i"];
    let mut arguments = vec![capsid, "run", "-ti", "-e", "PS1=prompt> ", "--"];
    arguments.extend(bash);
    Session::start("dumb", &arguments)
}

/// Runs a conversation with a shell of the host, and then with one inside.
fn both(conversation: impl Fn(&mut Session)) {
    for mut session in [Session::shell(), inner_shell()] {
        conversation(&mut session);
        session.command("exit 3");
        assert_eq!(session.end(), 3, "{}", session.transcript());
    }
}

#[test]
fn shells_have_a_terminal() {
    both(|shell| {
        shell.command("test -t 0 && test -t 1 && test -t 2 && echo a$((40+2))");
        shell.expect("a42");
        shell.command("stty size; tty | sed 's/[0-9]*$/N/'");
        shell.expect("24 80");
        shell.expect("/dev/pts/N");
        shell.command("stat -c %F \"$(tty)\" /dev/tty");
        shell.expect("character special file");
        shell.expect("character special file");
        shell.command("ls -l /proc/self/fd/0 | sed 's/.*-> //; s/[0-9]*$/N/'");
        shell.expect("/dev/pts/N");
        shell.command("echo b$((40+2)) > /dev/tty; read x < /dev/tty; echo got-$x");
        shell.expect("b42");
        shell.line("typed");
        shell.expect("got-typed");
    });
}

#[test]
fn jobs_stop_and_go_on() {
    both(|shell| {
        shell.command(&format!("sh -c {}", quoted(WAITS)));
        shell.expect("b42");
        shell.send("\x1a");
        shell.expect("Stopped");
        shell.command("jobs; echo c$?");
        shell.expect("Stopped");
        shell.expect("c0");
        shell.command("fg");
        shell.expect("a42");
        shell.send("\x03");
        shell.command("echo d$?");
        shell.expect("d130");
        shell.command("sleep 1000 & jobs");
        shell.expect("Running");
        shell.command("kill -STOP %1; wait %1; jobs");
        shell.expect("Stopped");
        shell.command("bg; jobs");
        shell.expect("Running");
        shell.command("kill %1; wait; jobs; echo e$((40+2))");
        shell.expect("e42");
    });
}

#[test]
fn background_jobs_stop_when_they_touch_the_terminal() {
    both(|shell| {
        // Tells of stopped jobs at once.
        shell.command("set -b");
        shell.command("sh -c 'read x; echo got-$x' &");
        shell.expect("Stopped");
        shell.line("fg");
        shell.expect("got-$x'\r\n");
        shell.line("it");
        shell.expect("got-it");
        shell.command("stty tostop; sh -c 'echo c$((40+2))' &");
        shell.expect("Stopped");
        shell.line("fg; stty -tostop");
        shell.expect("c42");
    });
}

#[test]
fn keys_reach_the_foreground_only() {
    both(|shell| {
        shell.command("sleep 1000 & echo $((40+2))");
        shell.expect("42");
        let script = "trap 'echo a'$((40+2)) INT; echo b$((40+2)); until read x; do :; done";
        shell.command(&format!("sh -c {}", quoted(script)));
        shell.expect("b42");
        shell.send("\x03");
        shell.expect("a42");
        shell.send("\r");
        shell.command("kill -0 %1 && echo c$((40+2)); kill %1; wait");
        shell.expect("c42");
        shell.command("sh -c 'echo d$((40+2)); exec sleep 1000'; echo e$?");
        shell.expect("d42");
        shell.send("\x1c");
        shell.expect("e131");
        shell.command("sh -c 'echo f$((40+2)); exec cat'; echo g$?");
        shell.expect("f42");
        shell.line("line");
        shell.expect("line\r\nline");
        shell.send("\x04");
        shell.expect("g0");
    });
}

#[test]
fn secrets_are_not_shown() {
    both(|shell| {
        shell.command("read -s -p 'word'$((40+2))': ' x; echo; echo got-$x");
        shell.expect("word42: ");
        shell.line("hidden");
        assert_eq!(shell.expect("got-hidden").trim(), "");
        shell.command("stty -echo; echo a$((40+2)); read x; stty echo; echo got-$x");
        shell.expect("a42\r\n");
        shell.line("hidden");
        assert_eq!(shell.expect("got-hidden").trim(), "");
    });
}

#[test]
fn the_window_changes_its_size() {
    both(|shell| {
        let script = "trap 'stty size; exit' WINCH; echo a$((40+2)); until read x; do :; done";
        shell.command(&format!("sh -c {}", quoted(script)));
        shell.expect("a42");
        shell.resize(31, 77);
        shell.expect("31 77");
        shell.command("stty rows 20 cols 60; stty size");
        shell.expect("20 60");
    });
}

/// capsid is a job of the user's shell like any other.
#[test]
fn capsid_stops_with_its_program() {
    for prefix in prefixes() {
        let mut shell = Session::shell();
        shell.command(&format!("{prefix} sh -c {}", quoted(WAITS)));
        shell.expect("b42");
        for _ in 0..2 {
            shell.send("\x1a");
            shell.expect("Stopped");
            shell.command("fg");
            shell.expect("a42");
        }
        shell.send("\x03");
        shell.command("echo c$?");
        shell.expect("c130");
        // Nobody in the sandbox cares for signals.
        shell.command(&format!("{prefix} sh -c 'echo d$((40+2)); exec cat'"));
        shell.expect("d42");
        shell.send("\x1a");
        shell.expect("Stopped");
        shell.command("fg");
        shell.expect("exec cat'\r\n");
        shell.line("line");
        shell.expect("line\r\nline");
        shell.send("\x03");
        shell.command("echo e$?");
        shell.expect("e130");
    }
}

#[test]
fn capsid_in_the_background_leaves_the_terminal_alone() {
    for prefix in prefixes() {
        let mut shell = Session::shell();
        shell.command("set -b");
        shell.command(&format!("{prefix} sh -c 'read x; echo got-$x' &"));
        shell.expect("Stopped");
        shell.line("fg");
        shell.expect("got-$x'\r\n");
        shell.line("it");
        shell.expect("got-it");
    }
}

#[test]
fn the_terminal_is_read_though_the_input_is_a_pipe() {
    for prefix in prefixes() {
        let mut shell = Session::shell();
        let script = "read a; echo b$((40+2)) > /dev/tty; read b < /dev/tty; echo $a-$b";
        shell.command(&format!("echo one | {prefix} sh -c '{script}'"));
        shell.expect("b42");
        shell.line("two");
        shell.expect("one-two");
    }
}

#[test]
fn no_input_means_none_from_the_terminal() {
    let mut shell = Session::shell();
    let script = "read x < /dev/tty; echo a$?; read x; echo b$?";
    shell.command(&format!("{} --no-stdin sh -c '{script}'", capsid()));
    shell.expect("a1");
    shell.expect("b1");
}

/// However the run ends, the terminal is as before.
#[test]
fn the_terminal_is_put_back() {
    for (rest, signal, status) in [
        ("exit 4", None, 4),
        ("kill -SEGV $$", None, 139),
        ("exec sleep 1000", Some(Signal::TERM), 143),
        ("exec sleep 1000", Some(Signal::HUP), 129),
        (
            "trap : INT; trap - INT; while :; do :; done",
            Some(Signal::INT),
            130,
        ),
    ] {
        // A shell, so that somebody has the terminal when capsid has ended.
        let mut shell = Session::shell();
        let script = format!("stty raw -echo; echo a$((40+2)); {rest}");
        let run = format!("{} sh -c {}", capsid(), quoted(&script));
        shell.command(&format!("sh -c 'echo $$; exec \"$@\"' sh {run}; echo b$?"));
        let before = shell.attributes();
        let shown = shell.expect("a42");
        if let Some(signal) = signal {
            let mut numbers = shown.lines().filter_map(|line| line.trim().parse().ok());
            let pid = Pid::from_raw(numbers.next().expect("a pid")).expect("a pid");
            assert_ne!(shell.attributes().local_modes, before.local_modes);
            kill_process(pid, signal).expect("sent");
        }
        shell.expect(&format!("b{status}"));
        let after = shell.attributes();
        assert_eq!(after.input_modes, before.input_modes);
        assert_eq!(after.output_modes, before.output_modes);
        assert_eq!(after.local_modes, before.local_modes);
    }
}

#[test]
fn editors_and_pagers_draw() {
    need!("vim", "less");
    for prefix in prefixes() {
        let mut shell = Session::shell();
        shell.command("export TERM=xterm");
        shell.command(&format!("{prefix} vim -u NONE -i NONE -n"));
        shell.expect("VIM - Vi IMproved");
        shell.send("ihello\x1b");
        shell.send(":q\r");
        shell.expect("E37");
        shell.send("\x1a");
        shell.expect("Stopped");
        shell.command("fg");
        shell.expect("hello");
        shell.send(":q!\r");
        shell.command(&format!("seq 1000 | {prefix} less; echo a$((40+2))"));
        shell.expect("22\r\n");
        shell.send("G");
        shell.expect("1000");
        shell.send("q");
        shell.expect("a42");
    }
}

#[test]
fn python_has_its_prompt() {
    need!("/usr/bin/python3");
    for prefix in prefixes() {
        let mut shell = Session::shell();
        shell.command(&format!("{prefix} /usr/bin/python3 -q"));
        shell.expect(">>> ");
        shell.line("import getpass, time");
        shell.expect(">>> ");
        shell.line("print(40+2, flush=True); time.sleep(1000)");
        shell.expect("42\r\n");
        shell.send("\x03");
        shell.expect("KeyboardInterrupt");
        shell.expect(">>> ");
        shell.line("getpass.getpass('word' + ': ')");
        shell.expect("word: ");
        shell.line("hidden");
        shell.expect("'hidden'");
        shell.expect(">>> ");
        shell.send("\x04");
        shell.command("echo a$?");
        shell.expect("a0");
    }
}

#[test]
fn programs_make_terminals_inside() {
    need!("tmux", "script", "expect");
    both(|shell| {
        shell.command("script -qc 'tty | sed s/[0-9]*$/N/; stty size' /dev/null");
        shell.expect("/dev/pts/N\r\n24 80");
        let spawn = "spawn -noecho sh -c {read x; echo a$((40+2)) got-$x}";
        shell.command(&format!(
            "expect -c '{spawn}; send typed\\r; expect got-typed; expect eof'"
        ));
        shell.expect("a42 got-typed");
        let window = "sh -c 'echo b$((40+2)); read x'";
        shell.command(&format!(
            "TERM=xterm tmux -L capsid-$$ -f /dev/null new {}",
            quoted(window)
        ));
        shell.expect("b42");
        shell.send("\r");
        shell.expect("[exited]");
    });
}
