//! The environment of the program: a few variables of our own, and what `-e` names.

use anyhow::{Result, ensure};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Makes the environment. `TERM` is the host's when the program gets a terminal: it says what the
/// terminal understands, and programs that draw need it. The locale is not passed on, so that
/// output does not depend on who runs it.
pub fn environment(user: u32, terminal: bool, wanted: &[OsString]) -> Result<Vec<Vec<u8>>> {
    let mut variables = vec![
        variable("PATH", OsStr::new(PATH)),
        variable("HOME", OsStr::new(if user == 0 { "/root" } else { "/" })),
    ];
    if terminal {
        let term = std::env::var_os("TERM").unwrap_or_else(|| "xterm".into());
        variables.push(variable("TERM", &term));
    }
    for text in wanted {
        let bytes = text.as_bytes();
        let end = bytes
            .iter()
            .position(|byte| *byte == b'=')
            .unwrap_or(bytes.len());
        let name = OsStr::from_bytes(&bytes[..end]);
        ensure!(
            !name.is_empty(),
            "bad variable {text:?}: use NAME=VALUE, or NAME for the value it has here"
        );
        let value = match bytes.get(end + 1..) {
            Some(value) => OsStr::from_bytes(value).to_owned(),
            None => match std::env::var_os(name) {
                Some(value) => value,
                None => continue,
            },
        };
        let prefix = variable(&name.to_string_lossy(), OsStr::new(""));
        let new = [name.as_bytes(), b"=", value.as_bytes()].concat();
        variables.retain(|old| !old.starts_with(&prefix));
        variables.push(new);
    }
    Ok(variables)
}

fn variable(name: &str, value: &OsStr) -> Vec<u8> {
    let mut text = OsString::from(name);
    text.push("=");
    text.push(value);
    text.into_vec()
}

#[cfg(test)]
mod tests {
    use super::environment;

    #[test]
    fn variables_replace_and_copy() {
        let names = [
            "A=1".into(),
            "A=2".into(),
            "HOME=/h".into(),
            "NO_SUCH_VARIABLE".into(),
            "E=".into(),
        ];
        let variables = environment(0, false, &names).expect("good names");
        let has = |text: &str| variables.iter().any(|variable| variable == text.as_bytes());
        assert!(has("A=2") && has("HOME=/h") && has("E="));
        assert!(!has("A=1") && !has("HOME=/root"));
        assert_eq!(variables.len(), 4);
        assert!(environment(0, false, &["=x".into()]).is_err());
        let user = environment(1000, true, &[]).expect("no names");
        assert!(user.contains(&b"HOME=/".to_vec()));
        assert!(user.iter().any(|variable| variable.starts_with(b"TERM=")));
    }
}
