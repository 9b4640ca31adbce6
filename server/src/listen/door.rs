//! Which door a request came to. gRPC says so in its content type; everything else is HTTP.

use http::{Request, header::CONTENT_TYPE};

/// The two doors of one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// gRPC, of HTTP/2.
    Grpc,
    /// The JSON API, of HTTP/1.1 and HTTP/2.
    Http,
}

impl Door {
    /// The door of a request.
    pub fn of<T>(request: &Request<T>) -> Self {
        let kind = request.headers().get(CONTENT_TYPE);
        match kind {
            Some(kind) if kind.as_bytes().starts_with(b"application/grpc") => Self::Grpc,
            _ => Self::Http,
        }
    }
}
