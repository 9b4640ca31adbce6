//! Lets flags be written the way Vault's users write them: `-ttl=10h` as well as
//! `--ttl=10h`. Works on the words before clap sees them, and knows no flag by name.

use std::ffi::{OsStr, OsString};

/// Gives every long flag two dashes. Left as they are: `-` (standard input), flags of one
/// letter (`-h`, `-n=5`), negative numbers, and everything after `--`.
pub(crate) fn double_dashes<I: IntoIterator<Item = OsString>>(argv: I) -> Vec<OsString> {
    let mut literal = false;
    argv.into_iter()
        .enumerate()
        .map(|(index, word)| {
            // The first word is the program's own name.
            literal |= index > 0 && word == "--";
            if index == 0 || literal || !is_long_with_one_dash(&word) {
                return word;
            }
            let mut doubled = OsString::from("-");
            doubled.push(word);
            doubled
        })
        .collect()
}

fn is_long_with_one_dash(word: &OsStr) -> bool {
    let [b'-', rest @ ..] = word.as_encoded_bytes() else {
        return false;
    };
    let name = rest.split(|byte| *byte == b'=').next().unwrap_or_default();
    match name {
        [] | [_] => false,
        [first, ..] => first.is_ascii_alphabetic(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(words: &[&str]) -> Vec<String> {
        double_dashes(words.iter().map(OsString::from))
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect()
    }

    #[test]
    fn long_flags_get_their_second_dash() {
        assert_eq!(
            passed(&[
                "tenure", "token", "create", "-ttl=10h", "--ttl", "10h", "-ttl", "10h"
            ]),
            [
                "tenure",
                "token",
                "create",
                "--ttl=10h",
                "--ttl",
                "10h",
                "--ttl",
                "10h"
            ]
        );
    }

    #[test]
    fn the_rest_stays() {
        let words = [
            "tenure", "-h", "-n=5", "-n", "5", "-", "-5s", "@file", "--", "-ttl=1h", "-x",
        ];
        assert_eq!(passed(&words), words);
        assert_eq!(passed(&["-tenure"]), ["-tenure"]);
        assert!(passed(&[]).is_empty());
    }

    #[test]
    fn a_value_with_dashes_and_equals_is_not_touched() {
        assert_eq!(
            passed(&["t", "-metadata", "a=-b", "-metadata=k=v"]),
            ["t", "--metadata", "a=-b", "--metadata=k=v"]
        );
    }
}
