//! Which door a request came to. gRPC says so in its content type; everything else is HTTP.

use http::{Method, Request, header::CONTENT_TYPE};

/// Requests that bring a file of any size, piece by piece.
const FILES: [(Door, &str); 3] = [
    (Door::Grpc, "/tenure.v1.BackupService/RestoreSnapshot"),
    (Door::Http, "/v1/sys/storage/raft/snapshot"),
    (Door::Http, "/v1/sys/storage/raft/snapshot-force"),
];

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

/// Whether a request brings a file: then bounds of its own hold for its size and its time, and
/// whoever takes it looks at the token before the first byte.
pub fn brings_file<T>(request: &Request<T>) -> bool {
    let writes = matches!(*request.method(), Method::POST | Method::PUT);
    writes && FILES.contains(&(Door::of(request), request.uri().path()))
}
