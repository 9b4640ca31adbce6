//! The one place that turns a refusal of the pipeline or the edge into an HTTP status. Texts hold
//! no secret; who is refused for want of a right is told one thing only.

use http::{Response, StatusCode};
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt;

use super::envelope::Reply;
use crate::error::AMONG_OWN;

/// The status of a refusal. `pattern` is the route: the peers answer some refusals by where they
/// were met.
///
/// | refusal | HTTP |
/// |---|---|
/// | no token, a made-up, an expired or a revoked one; no right | 403, one text for all |
/// | a token to look up that is unknown | 403 |
/// | a lease to revoke that isn't there: it is as the caller wants it | 204 |
/// | the same for who may revoke its own alone: it may be another's, and live | 403 |
/// | any other token, accessor, lease or member that is unknown | 400 |
/// | a mount that isn't there: to whom it is shown by any right in it, to its manager | 403, 400 |
/// | a path under no mount, or that its engine doesn't have; nothing at it | 404 |
/// | an option of a new token that the caller has no right to | 400 |
/// | a mistake in the request, or not in this state | 400 |
/// | an operation that the path doesn't offer | 405 |
/// | too large | 413 |
/// | a PATCH of another content type | 415 |
/// | sealed, not initialised, no active node, overloaded | 503 |
/// | known and not offered | 501 |
fn status_of(code: Code, reason: &str, pattern: &str) -> StatusCode {
    let creates = pattern.starts_with("/v1/auth/token/create");
    match (code, reason) {
        (_, "TOKEN_NOT_FOUND") if pattern == "/v1/auth/token/lookup" => StatusCode::FORBIDDEN,
        (_, "LEASE_NOT_FOUND") if pattern.starts_with("/v1/sys/leases/revoke") => {
            StatusCode::NO_CONTENT
        }
        (_, "TOKEN_NOT_FOUND" | "LEASE_NOT_FOUND" | "NO_SUCH_MEMBER") => StatusCode::BAD_REQUEST,
        (_, "MOUNT_NOT_FOUND") if pattern.starts_with("/v1/sys/internal/ui/mounts") => {
            StatusCode::FORBIDDEN
        }
        (_, "MOUNT_NOT_FOUND") if pattern.starts_with("/v1/sys/") => StatusCode::BAD_REQUEST,
        (_, "RESERVED_PATH") => StatusCode::NOT_FOUND,
        (_, "UNSUPPORTED_MEDIA_TYPE") => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        (_, "POLICIES_NOT_SUBSET") => StatusCode::BAD_REQUEST,
        (_, "ROOT_REQUIRED" | "SUDO_REQUIRED") if creates => StatusCode::BAD_REQUEST,
        (_, "MESSAGE_TOO_LARGE" | "TOO_LARGE") => StatusCode::PAYLOAD_TOO_LARGE,
        (_, "NOT_INITIALIZED" | "OVERLOADED" | "CONFLICT") => StatusCode::SERVICE_UNAVAILABLE,
        (_, "UNSUPPORTED_OPERATION") => StatusCode::METHOD_NOT_ALLOWED,
        (_, "UNKNOWN_METHOD") => StatusCode::NOT_FOUND,
        (Code::Unauthenticated | Code::PermissionDenied, _) => StatusCode::FORBIDDEN,
        (Code::NotFound, _) => StatusCode::NOT_FOUND,
        (
            Code::InvalidArgument
            | Code::OutOfRange
            | Code::FailedPrecondition
            | Code::AlreadyExists,
            _,
        ) => StatusCode::BAD_REQUEST,
        (Code::ResourceExhausted, _) => StatusCode::TOO_MANY_REQUESTS,
        (Code::Unimplemented, _) => StatusCode::NOT_IMPLEMENTED,
        (Code::Unavailable | Code::Aborted | Code::Cancelled, _) => StatusCode::SERVICE_UNAVAILABLE,
        (Code::DeadlineExceeded, _) => StatusCode::GATEWAY_TIMEOUT,
        (Code::Internal | Code::Unknown | Code::DataLoss | Code::Ok, _) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// Whether a refusal means that another node has to be asked.
pub fn is_elsewhere(refusal: &Status) -> bool {
    let info = refusal.get_details_error_info();
    info.is_some_and(|info| info.reason == "NOT_PASSED_ON")
}

/// What the refused see: `{"errors": [...]}`.
pub fn refused(refusal: &Status, pattern: &str) -> Reply {
    let info = refusal.get_details_error_info();
    let reason = info.as_ref().map_or("", |info| info.reason.as_str());
    let among_own = info
        .as_ref()
        .is_some_and(|info| info.metadata.contains_key(AMONG_OWN));
    let status = match status_of(refusal.code(), reason, pattern) {
        StatusCode::NO_CONTENT if among_own => StatusCode::FORBIDDEN,
        status => status,
    };
    let message = match status {
        StatusCode::NO_CONTENT => return Reply::done(),
        // Nobody learns whether a token was unknown, expired, revoked or too weak.
        StatusCode::FORBIDDEN => "permission denied",
        // The peers' command lines look for these words, to show the status of a sealed node.
        _ if reason == "SEALED" => "Vault is sealed",
        _ if reason == "NOT_INITIALIZED" => "Vault is sealed: this node is not initialized",
        // Nothing is there, and nothing more is said of it.
        _ if reason == "SECRET_NOT_FOUND" => "",
        _ if reason == "NOT_A_VERSIONED_PATH" => {
            let warnings = vec![refusal.message().to_owned()];
            return Reply::text(Vec::new(), 0, warnings).not_found();
        }
        StatusCode::NOT_FOUND if matches!(reason, "MOUNT_NOT_FOUND" | "RESERVED_PATH") => {
            "no handler for route: nothing is mounted at this path"
        }
        _ => refusal.message(),
    };
    let mut reply = Reply::error(status, refusal.code(), message);
    reply.tell(refusal.metadata());
    reply
}

/// The same as a response.
pub fn refusal_reply(refusal: &Status, pattern: &str) -> Response<Body> {
    refused(refusal, pattern).into_response(None)
}

#[cfg(test)]
mod tests {
    use tenure_core::lease::LeaseError;

    use super::*;
    use crate::{error::Error, listen::Applied};

    #[test]
    fn each_refusal_has_its_status() {
        let lookup = "/v1/auth/token/lookup";
        let rows = [
            (Error::invalid_token(), "", 403),
            (Error::permission_denied(), "", 403),
            (Error::sealed(), "", 503),
            (Error::not_initialized(), "", 503),
            (Error::no_active_node(), "", 503),
            (Error::active_node_lost(Applied::Maybe), "", 503),
            (Error::deadline(Applied::No), "", 504),
            (Error::invalid_argument("x"), "", 400),
            (Error::internal("x"), "", 500),
            (Error::needs_active_node(), "", 400),
            (
                Error::new(Code::NotFound, "TOKEN_NOT_FOUND", "x"),
                lookup,
                403,
            ),
            (
                Error::new(Code::NotFound, "TOKEN_NOT_FOUND", "x"),
                "/v1/auth/token/renew",
                400,
            ),
            (Error::new(Code::NotFound, "LEASE_NOT_FOUND", "x"), "", 400),
            (
                Error::new(Code::NotFound, "LEASE_NOT_FOUND", "x"),
                "/v1/sys/leases/revoke",
                204,
            ),
            (
                Error::from(LeaseError::NotFoundAmongOwn),
                "/v1/sys/leases/revoke",
                403,
            ),
            (Error::new(Code::NotFound, "NO_ROUTE", "x"), "", 404),
            (
                Error::new(Code::NotFound, "MOUNT_NOT_FOUND", "x"),
                "/v1/{path...}",
                404,
            ),
            (
                Error::new(Code::NotFound, "MOUNT_NOT_FOUND", "x"),
                "/v1/sys/internal/ui/mounts/{path...}",
                403,
            ),
            (
                Error::new(Code::NotFound, "MOUNT_NOT_FOUND", "x"),
                "/v1/sys/remount",
                400,
            ),
            (
                Error::new(Code::NotFound, "NOT_A_VERSIONED_PATH", "x"),
                "",
                404,
            ),
            (Error::new(Code::NotFound, "SECRET_NOT_FOUND", ""), "", 404),
            (
                Error::new(Code::Unimplemented, "RESERVED_PATH", "x"),
                "",
                404,
            ),
            (
                Error::new(Code::InvalidArgument, "UNSUPPORTED_MEDIA_TYPE", "x"),
                "",
                415,
            ),
            (
                Error::new(Code::PermissionDenied, "ROOT_REQUIRED", "x"),
                "/v1/auth/token/create",
                400,
            ),
            (
                Error::new(Code::PermissionDenied, "ROOT_REQUIRED", "x"),
                lookup,
                403,
            ),
            (
                Error::new(Code::PermissionDenied, "POLICIES_NOT_SUBSET", "x"),
                "",
                400,
            ),
            (Error::new(Code::AlreadyExists, "X", "x"), "", 400),
            (Error::new(Code::Unimplemented, "NOT_OFFERED", "x"), "", 501),
            (
                Error::new(Code::Unimplemented, "UNSUPPORTED_OPERATION", "x"),
                "",
                405,
            ),
            (
                Error::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", "x"),
                "",
                413,
            ),
            (
                Error::new(Code::ResourceExhausted, "OVERLOADED", "x"),
                "",
                503,
            ),
            (Error::new(Code::ResourceExhausted, "BUSY", "x"), "", 429),
            (Error::new(Code::Aborted, "CONFLICT", "x"), "", 503),
        ];
        for (error, pattern, wanted) in rows {
            let said = format!("{error:?}");
            let reply = refusal_reply(&Status::from(error), pattern);
            assert_eq!(reply.status().as_u16(), wanted, "{said} at {pattern}");
        }
        // What the gRPC library says without details is mapped, too.
        for code in 0..=16 {
            let reply = refusal_reply(&Status::new(Code::from_i32(code), "x"), "");
            assert!(reply.status().as_u16() >= 400, "{code}");
        }
    }
}
