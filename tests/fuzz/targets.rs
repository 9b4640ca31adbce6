//! What is fuzzed: each target takes any bytes, and says what must hold of them beside "no panic".
//! `cargo fuzz` runs them with fuzz_targets/, the tests over the corpus with corpus.rs.

use bytes::Bytes;
use tenure_core::{
    barrier::shamir,
    policy,
    types::{
        Accessor, LeaseId, Path, PolicyName, Secret, TokenId, Ttl, TtlRequest,
        limits::{PATH_BYTES_MAX, TTL_SECONDS_MAX},
    },
};
use tenure_raft::codec;

/// A target.
pub type Target = fn(&[u8]);

/// All of them, by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("policy", policy_text),
    ("path", path),
    ("duration", duration),
    ("token", token),
    ("share", shares),
    ("command", command),
];

/// What is a policy stays the same one when it is formatted; formatting is stable.
pub fn policy_text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = policy::parse_base64(text);
    let Ok(parsed) = policy::parse(text) else {
        return;
    };
    // JSON isn't formatted.
    if let Ok(formatted) = policy::fmt(text) {
        let again = policy::parse(&formatted).ok();
        assert!(
            again.is_some_and(|again| again == parsed),
            "formatting changed it"
        );
        assert!(policy::fmt(&formatted).is_ok_and(|twice| twice == formatted));
    }
}

/// A path is its own text, without anything that could reach another one; no name folds to root
/// but root's spellings.
pub fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(path) = Path::parse(text) {
        assert_eq!(path.as_str(), text);
        assert!(text.len() <= PATH_BYTES_MAX && !text.chars().any(char::is_control));
        assert!(
            path.segments()
                .all(|segment| !matches!(segment, "" | "." | ".."))
        );
    }
    if let Ok(name) = PolicyName::parse(text) {
        assert_eq!(name.is_root(), text.trim().eq_ignore_ascii_case("root"));
        assert!(PolicyName::parse(name.as_str()).is_ok_and(|again| again == name));
    }
    if let Ok(id) = LeaseId::parse(text) {
        assert_eq!(id.text(), text);
    }
}

/// No text gives more than the longest duration, and what is shown is read back.
pub fn duration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(ttl) = text.parse::<Ttl>() {
        assert!(ttl.as_seconds() <= TTL_SECONDS_MAX);
        assert!(
            ttl.to_string()
                .parse::<Ttl>()
                .is_ok_and(|again| again == ttl)
        );
    }
    if let Ok(request) = text.parse::<TtlRequest>()
        && let Some(asked) = request.asked()
    {
        assert!((1..=TTL_SECONDS_MAX).contains(&asked.as_seconds()));
    }
}

/// An id is its own text; a chosen one holds no dot, which tells the kinds of tokens apart.
pub fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(id) = TokenId::parse(text) {
        assert_eq!(id.expose(), text);
    }
    if let Ok(id) = TokenId::custom(text) {
        assert!(!id.expose().contains('.') && TokenId::parse(text).is_ok());
    }
    if let Some(accessor) = Accessor::parse(text) {
        assert_eq!(accessor.as_str(), text);
    }
}

/// The first byte says how many shares the rest is cut into.
pub fn shares(bytes: &[u8]) {
    let Some((&count, rest)) = bytes.split_first() else {
        return;
    };
    let length = rest
        .len()
        .checked_div(usize::from(count))
        .unwrap_or(0)
        .max(1);
    let shares: Vec<_> = rest
        .chunks(length)
        .map(|share| Secret::new(share.to_vec()))
        .collect();
    if let Ok(secret) = shamir::combine(&shares) {
        assert!(!secret.expose().is_empty());
    }
}

/// An entry of the log that is read is written as one that reads the same.
pub fn command(bytes: &[u8]) {
    if let Ok(entry) = codec::decode_entry(Bytes::copy_from_slice(bytes)) {
        let written = codec::encode_entry(&entry);
        let again = codec::decode_entry(written.clone().into());
        assert!(again.is_ok_and(|again| codec::encode_entry(&again) == written));
    }
}
