//! Routes: verb and path of a request → the call that it is. A path is decoded once and must be
//! canonical, so that no spelling of one path reaches another. Decides nothing about rights.

use std::{cmp::Reverse, sync::OnceLock};

use http::Method;

use super::{Handler, routes};
use crate::{error::Error, limits::HTTP_PATH_BYTES_MAX};

/// What is done to a path, as the peers name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// GET.
    Read,
    /// LIST, or GET with `list=true`.
    List,
    /// POST or PUT, which are the same.
    Write,
    /// DELETE.
    Delete,
    /// PATCH.
    Patch,
    /// HEAD, which only health knows.
    Head,
}

/// One operation on one pattern of paths.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// What is done.
    pub operation: Operation,
    /// The path, such as `/v1/sys/leases/renew/{id...}`: `{x}` is one segment, `{x...}` is one or
    /// more, at the end or before one that is written. It is the name of the request in metrics
    /// and logs.
    pub pattern: &'static str,
}

/// GET.
pub const fn read(pattern: &'static str) -> Route {
    Route {
        operation: Operation::Read,
        pattern,
    }
}

/// LIST, or GET with `list=true`.
pub const fn list(pattern: &'static str) -> Route {
    Route {
        operation: Operation::List,
        pattern,
    }
}

/// POST or PUT.
pub const fn write(pattern: &'static str) -> Route {
    Route {
        operation: Operation::Write,
        pattern,
    }
}

/// DELETE.
pub const fn delete(pattern: &'static str) -> Route {
    Route {
        operation: Operation::Delete,
        pattern,
    }
}

/// PATCH.
pub const fn patch(pattern: &'static str) -> Route {
    Route {
        operation: Operation::Patch,
        pattern,
    }
}

/// The paths of mounts: what no other route knows. It is the name of all of them in metrics and
/// logs.
pub const LOGICAL: &str = "/v1/{path...}";

/// What a request came to.
pub enum Found {
    /// A route, with what its pattern captured.
    Route(&'static Entry, Vec<String>),
    /// The path is known, and offers other operations.
    OtherOperations,
    /// The path is nobody's.
    Nothing,
}

/// A route and what serves it.
pub struct Entry {
    /// The route.
    pub route: Route,
    /// What serves it.
    pub handler: Handler,
}

/// All routes, the more specific ones first: those without a capture, those with an end, the longer
/// ones.
fn table() -> &'static [Entry] {
    static TABLE: OnceLock<Vec<Entry>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut entries = routes();
        entries.sort_by_key(|entry| {
            let pattern = entry.route.pattern;
            let is_open = pattern.ends_with("...}");
            (pattern.contains('{'), is_open, Reverse(pattern.len()))
        });
        entries
    })
}

/// Every name that a request can have.
pub fn patterns() -> impl Iterator<Item = &'static str> {
    table().iter().map(|entry| entry.route.pattern)
}

/// The name of a raw path: one of [`patterns`], or empty outside of `/v1`.
pub fn pattern_of(raw: &str) -> &'static str {
    if !is_ours(raw) {
        return "";
    }
    let Ok(path) = canonical(raw) else {
        return LOGICAL;
    };
    let path = path.strip_suffix('/').unwrap_or(&path);
    let found = table()
        .iter()
        .find(|entry| captures(entry.route.pattern, path).is_some());
    found.map_or(LOGICAL, |entry| entry.route.pattern)
}

/// Whether a raw path lies under `/v1/`.
pub fn is_ours(raw: &str) -> bool {
    raw.starts_with("/v1/")
}

/// Finds the route of a canonical path.
pub fn find(operation: Operation, path: &str) -> Found {
    // The peers list `a` and `a/` alike. A read of `a/` is another path than that of `a`.
    let path = match operation {
        Operation::List => path.strip_suffix('/').unwrap_or(path),
        _ => path,
    };
    // The most specific pattern decides, whatever it offers.
    let mut patterns = table().iter().map(|entry| entry.route.pattern);
    let found = patterns.find_map(|pattern| Some((pattern, captures(pattern, path)?)));
    let Some((pattern, captured)) = found else {
        return Found::Nothing;
    };
    let mut entries = table().iter();
    let entry = entries.find(|entry| {
        let route = entry.route;
        route.pattern == pattern && route.operation == operation
    });
    match entry {
        Some(entry) => Found::Route(entry, captured),
        None => Found::OtherOperations,
    }
}

fn captures(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut captured = Vec::new();
    let mut rest = Some(path);
    for (at, part) in pattern.split('/').enumerate() {
        let left = rest?;
        if part.ends_with("...}") {
            let end = pattern.split('/').nth(at + 1);
            let taken = match end {
                None => Some(left),
                Some(end) => left
                    .strip_suffix(end)
                    .and_then(|left| left.strip_suffix('/')),
            };
            captured.push(taken.filter(|taken| !taken.is_empty())?.to_owned());
            return Some(captured);
        }
        let (segment, after) = match left.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (left, None),
        };
        if part.starts_with('{') {
            if segment.is_empty() {
                return None;
            }
            captured.push(segment.to_owned());
        } else if part != segment {
            return None;
        }
        rest = after;
    }
    rest.is_none().then_some(captured)
}

/// The verb of a request. `None`: there is no such verb.
pub fn operation(method: &Method, wants_list: bool) -> Option<Operation> {
    match method.as_str() {
        "GET" if wants_list => Some(Operation::List),
        "GET" => Some(Operation::Read),
        "LIST" => Some(Operation::List),
        "POST" | "PUT" => Some(Operation::Write),
        "DELETE" => Some(Operation::Delete),
        "PATCH" => Some(Operation::Patch),
        "HEAD" => Some(Operation::Head),
        _ => None,
    }
}

/// Decodes a raw path, once, and refuses what is not canonical: empty segments (but for one slash
/// at the end), `.` and `..`, control characters.
///
/// # Errors
/// It is not, or too long.
pub fn canonical(raw: &str) -> Result<String, Error> {
    if raw.len() > HTTP_PATH_BYTES_MAX {
        let message = format!("the path has more than {HTTP_PATH_BYTES_MAX} bytes");
        return Err(Error::invalid_argument(message));
    }
    let bad = || Error::invalid_argument("the path is not canonical");
    let path = percent_decode(raw, false).ok_or_else(bad)?;
    let inner = path.strip_prefix('/').unwrap_or(&path);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let good = |segment: &str| !matches!(segment, "" | "." | "..");
    if !inner.split('/').all(good) || path.chars().any(char::is_control) {
        return Err(bad());
    }
    Ok(path)
}

/// Decodes `%xx` once, and `+` as a space where forms say so. `None`: broken, or no UTF-8.
pub fn percent_decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            b'+' if plus_is_space => b' ',
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Planted bug: decoded twice. Caught.
    #[test]
    fn paths_are_decoded_once_and_must_be_canonical() {
        for (raw, wanted) in [
            ("/v1/sys/health", Some("/v1/sys/health")),
            ("/v1/a%20b/c", Some("/v1/a b/c")),
            ("/v1/a/", Some("/v1/a/")),
            ("/v1/a%2Fb", Some("/v1/a/b")),
            // Decoded once: what is encoded twice stays encoded once.
            ("/v1/a/%252e%252e/b", Some("/v1/a/%2e%2e/b")),
            ("/v1/a%252Fb", Some("/v1/a%2Fb")),
            ("/v1/a/../b", None),
            ("/v1/a/./b", None),
            ("/v1/a/%2e%2e/b", None),
            ("/v1/a/%2E./b", None),
            ("/v1/a/..%2fb", None),
            ("/v1/a//b", None),
            ("/v1/a/%2fb", None),
            ("/v1//", None),
            ("/v1/a%00b", None),
            ("/v1/a%0ab", None),
            ("/v1/a%c2%80b", None),
            ("/v1/a%ff", None),
            ("/v1/a%2", None),
            ("/v1/a%zz", None),
            ("/v1/a%+1", None),
            ("/v1/..", None),
        ] {
            assert_eq!(canonical(raw).ok().as_deref(), wanted, "{raw}");
        }
        let long = |n: usize| format!("/v1/{}", "a".repeat(n - 4));
        assert!(canonical(&long(HTTP_PATH_BYTES_MAX)).is_ok());
        assert!(canonical(&long(HTTP_PATH_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn patterns_capture() {
        let of = |pattern: &str, path: &str| captures(pattern, path).map(|found| found.join("|"));
        assert_eq!(of("/v1/a", "/v1/a").as_deref(), Some(""));
        for path in ["/v1/a/", "/v1/b", "/v1", "/v1/a/b", ""] {
            assert_eq!(of("/v1/a", path), None, "{path}");
        }
        assert_eq!(of("/v1/a/{x}", "/v1/a/b").as_deref(), Some("b"));
        assert_eq!(of("/v1/a/{x}", "/v1/a/b/c"), None);
        assert_eq!(of("/v1/a/{x}", "/v1/a/"), None);
        assert_eq!(of("/v1/a/{x...}", "/v1/a/b/c").as_deref(), Some("b/c"));
        assert_eq!(of("/v1/a/{x...}", "/v1/a/"), None);
        assert_eq!(of("/v1/a/{x...}", "/v1/a"), None);
        assert_eq!(of("/v1/a/{x...}/t", "/v1/a/b/c/t").as_deref(), Some("b/c"));
        for path in ["/v1/a/t", "/v1/a//t", "/v1/a/b/c", "/v1/a/bt", "/v1/a/b/t/"] {
            assert_eq!(of("/v1/a/{x...}/t", path), None, "{path}");
        }
    }

    #[test]
    fn verbs_are_operations() {
        let of = |verb: &str, list| {
            let method = Method::from_bytes(verb.as_bytes()).unwrap();
            operation(&method, list)
        };
        assert_eq!(of("GET", false), Some(Operation::Read));
        assert_eq!(of("GET", true), Some(Operation::List));
        assert_eq!(of("LIST", false), Some(Operation::List));
        assert_eq!(of("POST", true), of("PUT", false));
        for verb in ["FROB", "get", "TRACE", "CONNECT", "SCAN"] {
            assert_eq!(of(verb, false), None);
        }
    }

    #[test]
    fn a_known_path_with_another_verb_is_told_from_an_unknown_one() {
        let found = |operation, path| match find(operation, path) {
            Found::Route(entry, _) => entry.route.pattern,
            Found::OtherOperations => "other",
            Found::Nothing => "nothing",
        };
        let lookup = "/v1/sys/leases/lookup";
        assert_eq!(found(Operation::Write, lookup), lookup);
        assert_eq!(found(Operation::Delete, lookup), "other");
        assert_eq!(found(Operation::List, "/v1/sys/leases/lookup/"), lookup);
        let prefix = "/v1/sys/leases/lookup/{prefix...}";
        assert_eq!(found(Operation::List, "/v1/sys/leases/lookup/a/b/"), prefix);
        for path in ["/v1/secret/data/a", "/v1/v1/sys/health", "/v1/SYS/health"] {
            for operation in [Operation::Read, Operation::Write, Operation::Patch] {
                assert_eq!(found(operation, path), LOGICAL);
            }
            assert_eq!(found(Operation::Head, path), "other");
        }
        assert_eq!(found(Operation::Delete, "/v1/sys/seal"), "other");
        assert_eq!(found(Operation::Read, "/v1/"), "nothing");
        // A mount is never taken for the tuning of the one above, nor the other way.
        let tune = "/v1/sys/mounts/{path...}/tune";
        assert_eq!(found(Operation::Write, "/v1/sys/mounts/a/b/tune"), tune);
        assert_eq!(found(Operation::Delete, "/v1/sys/mounts/a/tune"), "other");
        let mount = "/v1/sys/mounts/{path...}";
        assert_eq!(found(Operation::Delete, "/v1/sys/mounts/a/b"), mount);
    }

    #[test]
    fn names_come_from_a_closed_set() {
        let known: Vec<_> = patterns().collect();
        for raw in ["/v1/sys/leases/renew/hvs.canary", "/v1/canary", "/v1/a//b"] {
            let name = pattern_of(raw);
            assert!(known.contains(&name) && !name.contains("canary"), "{name}");
        }
        assert_eq!(pattern_of("/canary"), "");
        assert_eq!(pattern_of("/v1/sys/health"), "/v1/sys/health");
    }

    #[test]
    fn no_two_routes_are_the_same() {
        let mut seen: Vec<String> = table()
            .iter()
            .map(|entry| format!("{:?} {}", entry.route.operation, entry.route.pattern))
            .collect();
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
