//! The id of a mount: random, never used again. It says nothing about what is mounted.

use std::fmt;

use crate::{
    barrier::NameHash,
    random::{Random, array},
};

/// Stands for a mount in storage keys, so that a mount can be moved, and nothing that an
/// earlier mount held is found by a later one at the same path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MountId([u8; 16]);

impl MountId {
    /// Bytes of an id.
    pub const BYTES: usize = 16;

    /// A new id: a random UUID (version 4).
    pub fn issue(random: &mut dyn Random) -> Self {
        let mut bytes: [u8; 16] = array(random);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// The id of a built-in mount: a UUID (version 8) made of a hash of its name.
    pub fn of_name(name: &NameHash) -> Self {
        let mut bytes = *name.as_bytes();
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// Takes an id back; `None` for another length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Reads an id as it is shown; `None` if it isn't one.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = hex::decode(text.replace('-', "")).ok()?;
        Self::from_slice(&bytes).filter(|id| id.to_string() == text)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// As UUIDs are written.
impl fmt::Display for MountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = hex::encode(self.0);
        let (a, b, c) = (&text[..8], &text[8..12], &text[12..16]);
        write!(f, "{a}-{b}-{c}-{}-{}", &text[16..20], &text[20..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRandom;

    #[test]
    fn an_id_is_a_uuid() {
        let id = MountId::issue(&mut TestRandom::new(1));
        let text = id.to_string();
        assert_eq!(text.len(), 36);
        let dashes: Vec<_> = text.match_indices('-').map(|(at, _)| at).collect();
        assert_eq!(dashes, [8, 13, 18, 23]);
        assert_eq!(&text[14..15], "4");
        assert_eq!(MountId::from_slice(id.as_bytes()), Some(id));
        assert_eq!(MountId::from_slice(b"short"), None);
        assert_eq!(MountId::parse(&text), Some(id));
        for wrong in ["", "x", &text.to_uppercase(), &text.replace('-', "")] {
            assert_eq!(MountId::parse(wrong), None, "{wrong}");
        }
    }
}
