//! PGP public keys as they are named on the command line: files that hold one each, binary, in base64
//! or armored. They are no secrets.

use std::{fs::File, io::Read};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::failure::Failure;

/// Most bytes of a file: what the server takes, in base64.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Reads the keys of these files, in their order.
pub(super) fn read_all(files: &[String]) -> Result<Vec<Vec<u8>>, Failure> {
    files.iter().map(|file| read(file)).collect()
}

/// Reads the key of a file; an `@` before its name is as good as none.
pub(super) fn read(file: &str) -> Result<Vec<u8>, Failure> {
    let file = file.trim();
    if file.starts_with("keybase:") {
        return Err(Failure::local(
            "Error: keys of Keybase are not fetched: export the key to a file and name that",
        ));
    }
    let name = file.strip_prefix('@').unwrap_or(file);
    let unreadable = |why: &dyn std::fmt::Display| {
        Failure::local(format!("Error reading the PGP key {name:?}: {why}"))
    };
    let mut bytes = Vec::new();
    let opened = File::open(name).map_err(|error| unreadable(&error))?;
    let read = opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unreadable(&"longer than 64 KiB"));
    }
    if bytes.is_empty() {
        return Err(unreadable(&"the file is empty"));
    }
    Ok(decode(bytes))
}

/// Base64, over several lines too, is decoded; the server tells binary from armored.
fn decode(bytes: Vec<u8>) -> Vec<u8> {
    let text: Vec<u8> = bytes
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    STANDARD.decode(text).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_binary_base64_or_armored() {
        let key = vec![0x99, 1, 0, 0xff];
        let text = STANDARD.encode(&key);
        let lines = format!("{}\n{}\n", &text[..4], &text[4..]);
        assert_eq!(decode(key.clone()), key);
        assert_eq!(decode(lines.into_bytes()), key);
        let armored = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n".to_vec();
        assert_eq!(decode(armored.clone()), armored);
    }

    #[test]
    fn what_can_not_be_read_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let name = path.display().to_string();
        assert!(read(&name).is_err());
        std::fs::write(&path, b"").unwrap();
        assert!(read(&name).is_err());
        std::fs::write(&path, [0x99; 3]).unwrap();
        assert_eq!(read(&format!("@{name}")).unwrap(), [0x99; 3]);
        assert!(read_all(&[name, "keybase:somebody".into()]).is_err());
    }
}
