//! The methods that exist. A path that a stranger made up never becomes a label or a log field: the
//! name of an HTTP request is the pattern of its route.

use std::collections::HashSet;
use std::sync::Arc;

use http::Request;
use prost::Message;
use prost_types::FileDescriptorSet;

use super::door::Door;

/// A method's path, such as `/tenure.v1.TokenService/Create`, or `unknown`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MethodName(Arc<str>);

impl MethodName {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for MethodName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Finds the pattern of an HTTP path: one of a set that is fixed at build time.
pub type PatternOf = fn(&str) -> &'static str;

/// The set of all methods that are served.
#[derive(Clone, Debug)]
pub struct Methods {
    known: HashSet<MethodName>,
    pattern_of: PatternOf,
    unknown: MethodName,
}

impl Default for Methods {
    fn default() -> Self {
        Self {
            known: HashSet::new(),
            pattern_of: |_| "",
            unknown: MethodName("unknown".into()),
        }
    }
}

impl Methods {
    /// Adds one path.
    pub fn add(&mut self, path: &str) {
        self.known.insert(MethodName(path.into()));
    }

    /// Adds the routes of the HTTP door, and how a path finds its own.
    pub fn add_patterns(
        &mut self,
        patterns: impl IntoIterator<Item = &'static str>,
        of: PatternOf,
    ) {
        patterns.into_iter().for_each(|pattern| self.add(pattern));
        self.pattern_of = of;
    }

    /// Adds every method of an encoded `FileDescriptorSet` (those that reflection is given).
    pub fn add_descriptors(&mut self, encoded: &[u8]) -> Result<(), prost::DecodeError> {
        for file in FileDescriptorSet::decode(encoded)?.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    self.add(&path);
                }
            }
        }
        Ok(())
    }

    /// The method of a request.
    pub fn name_of<T>(&self, request: &Request<T>) -> MethodName {
        let path = request.uri().path();
        match Door::of(request) {
            Door::Grpc => self.name(path),
            Door::Http => self.name((self.pattern_of)(path)),
        }
    }

    /// The method of a gRPC path.
    pub fn name(&self, path: &str) -> MethodName {
        self.known.get(path).unwrap_or(&self.unknown).clone()
    }
}
