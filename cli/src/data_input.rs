//! How the fields of a secret come in: as words, from files, from standard input. It must not
//! repeat a value in an error.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
};

use serde_json::value::{RawValue, to_raw_value};

use crate::failure::Failure;

/// The fields, each as its JSON text: numbers keep all their digits.
pub(crate) type Fields = BTreeMap<String, Box<RawValue>>;

/// Most bytes that are read for a secret: as many as a server takes.
const DATA_BYTES_MAX: u64 = 1 << 20;

/// What the commands say about it.
pub(crate) const HELP: &str = "\
Fields are given as key=value; key=@file takes the value from a file, key=- from standard
input. - alone reads all fields as one JSON object from standard input, @file from a file.
What stands on the command line can be read by other users of the machine.";

/// Reads the fields that the words name.
pub(crate) async fn fields(words: &[String]) -> Result<Fields, Failure> {
    let mut fields = Fields::new();
    let mut stdin_is_read = false;
    for word in words {
        let (key, source) = match word.split_once('=') {
            None if word == "-" || word.starts_with('@') => (None, word.as_str()),
            None | Some(("", _)) => {
                return Err(Failure::local(
                    "Error: each field is key=value, key=@file or key=-; all of them - or @file",
                ));
            }
            Some((key, value)) => (Some(key), value),
        };
        if source == "-" && std::mem::replace(&mut stdin_is_read, true) {
            return Err(Failure::local(
                "Error: standard input can be read for one field only",
            ));
        }
        let value = match source {
            "-" => text("standard input", stdin().await)?,
            // key=\@x is the value @x, as in Vault.
            _ if key.is_some() && source.starts_with("\\@") => {
                source.get(1..).unwrap_or_default().to_owned()
            }
            _ => match source.strip_prefix('@') {
                Some(path) => text(path, File::open(path).and_then(all))?,
                None => source.to_owned(),
            },
        };
        match key {
            Some(key) => {
                let value = to_raw_value(&value)
                    .map_err(|_| Failure::local("Error: a value can't be written as JSON"))?;
                fields.insert(key.to_owned(), value);
            }
            None => {
                let object: Fields = serde_json::from_str(&value)
                    .map_err(|_| Failure::local("Error: what was read isn't a JSON object"))?;
                fields.extend(object);
            }
        }
    }
    Ok(fields)
}

/// The fields as one JSON object.
pub(crate) fn object(fields: &Fields) -> Result<String, Failure> {
    serde_json::to_string(fields)
        .map_err(|_| Failure::local("Error: the fields can't be written as JSON"))
}

async fn stdin() -> io::Result<Vec<u8>> {
    let read = tokio::task::spawn_blocking(|| all(io::stdin().lock()));
    read.await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn all(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(DATA_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > DATA_BYTES_MAX {
        return Err(io::Error::other("longer than 1 MiB"));
    }
    Ok(bytes)
}

fn text(place: &str, read: io::Result<Vec<u8>>) -> Result<String, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::local(format!("Error reading a value from {place}: {why}"))
    };
    let bytes = read.map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|_| failed(&"not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn words_become_fields() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value");
        std::fs::write(&path, "from file\n").unwrap();
        let whole = folder.path().join("object");
        std::fs::write(&whole, r#"{"n": 12345678901234567890123, "k": "old"}"#).unwrap();
        let words = [
            format!("@{}", whole.display()),
            "k=v=w".to_owned(),
            format!("f=@{}", path.display()),
            "at=\\@x".to_owned(),
            "empty=".to_owned(),
        ];
        let shown = object(&fields(&words).await.unwrap()).unwrap();
        assert_eq!(
            shown,
            r#"{"at":"@x","empty":"","f":"from file\n","k":"v=w","n":12345678901234567890123}"#
        );
    }

    #[tokio::test]
    async fn what_is_no_field_is_refused_and_not_repeated() {
        for word in ["canary", "=canary", "k=@/canary/none"] {
            let failure = fields(&[word.to_owned()]).await.unwrap_err();
            assert_eq!(failure.code(), 1);
        }
        let failure = fields(&["canary".to_owned()]).await.unwrap_err();
        assert!(!failure.message().unwrap().contains("canary"));
    }
}
