//! The methods that exist. A path that a stranger made up never becomes a label or a log field.

use std::collections::HashSet;
use std::sync::Arc;

use prost::Message;
use prost_types::FileDescriptorSet;

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

/// The set of all methods that are served.
#[derive(Clone, Debug)]
pub struct Methods {
    known: HashSet<MethodName>,
    unknown: MethodName,
}

impl Default for Methods {
    fn default() -> Self {
        Self {
            known: HashSet::new(),
            unknown: MethodName("unknown".into()),
        }
    }
}

impl Methods {
    /// Adds one path.
    pub fn add(&mut self, path: &str) {
        self.known.insert(MethodName(path.into()));
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

    /// The method of a request path.
    pub fn name(&self, path: &str) -> MethodName {
        self.known.get(path).unwrap_or(&self.unknown).clone()
    }
}
