//! `Debug` of the public messages that hold a secret: every field but the secret. It must
//! never show one.

use std::fmt;

use crate::{internal, v1};

/// `Name: (secret fields) (other fields)`, in the order in which they are shown. A message
/// gets here by being on the list `SECRET` of build.rs.
macro_rules! redacted_debug {
    ($package:ident; $($name:ident: ($($secret:ident),*) ($($shown:ident),*);)*) => {$(
        impl fmt::Debug for $package::$name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($secret), &"[redacted]"))*
                    $(.field(stringify!($shown), &self.$shown))*
                    .finish()
            }
        }
    )*};
}

redacted_debug! {
    v1;
    Auth: (client_token) (
        accessor, policies, meta, lease_duration, renewable, orphan, num_uses, r#type,
        warnings
    );
    TokenInfo: (id) (
        accessor, r#type, policies, path, meta, display_name, num_uses, orphan, renewable,
        entity_id, role, bound_cidrs, creation_time, issue_time, last_renewal_time,
        expire_time, ttl, creation_ttl, explicit_max_ttl, period
    );
    CreateTokenRequest: (id) (
        policies, meta, display_name, num_uses, no_parent, no_default_policy, renewable,
        ttl, explicit_max_ttl, period, r#type, request_id, role, orphan, bound_cidrs
    );
    LookupTokenRequest: (token) ();
    RenewTokenRequest: (token) (increment);
    RevokeTokenRequest: (token) ();
    RevokeOrphanRequest: (token) ();
    LeaseInfo: (payload) (
        lease_id, renewable, issue_time, expire_time, last_renewal_time, ttl, creation_ttl,
        owner_accessor, owner_display_name
    );
    GrantLeaseRequest: (payload) (path, ttl, renewable, request_id);
    WritePolicyRequest: (policy) (name);
    ReadPolicyResponse: (policy) (name);
    GetCapabilitiesRequest: (target, paths) ();
    ReadRequest: (data) (path);
    ReadResponse: (data) (deleted, lease_id, lease_duration, renewable, warnings);
    WriteRequest: (data) (path, request_id);
    WriteResponse: (data) (warnings);
    PatchRequest: (data) (path, request_id);
    PatchResponse: (data) (warnings);
    InitResponse: (shares, root_token, recovery_shares) ();
    UnsealRequest: (share) (reset);
    UpdateRekeyRequest: (share) (target, nonce);
    UpdateRekeyResponse: (shares) (status, complete, in_doubt);
    VerifyRekeyRequest: (share) (target, nonce);
    StartGenerateRootRequest: (otp) (pgp_key);
    StartGenerateRootResponse: (otp) (status);
    UpdateGenerateRootRequest: (share) (nonce);
    UpdateGenerateRootResponse: (encoded_token) (status, complete);
    CreateJoinTokenResponse: (join_token) (expire_time);
    JoinRequest: (join_token) (peer_addresses);
}

redacted_debug! {
    internal;
    ForwardRequest: (body, token) (
        format, method, remote_address, timeout_ms, trace_id, whole, open_rekey, open_generate_root
    );
    ForwardResponse: (body) ();
    JoinRequest: (proof) (
        format, name, peer_address, api_address, forwarded_public_key
    );
    ChallengeProof: (answer) (challenge);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_everything_but_the_secret() {
        let auth = v1::Auth {
            client_token: "hvs.canary".into(),
            accessor: "the-accessor".into(),
            ..Default::default()
        };
        let init = v1::InitResponse {
            shares: vec![vec![77; 33]],
            root_token: "hvs.canary".into(),
            recovery_shares: vec![vec![77; 33]],
        };
        let create = v1::CreateTokenRequest {
            id: Some("canary".into()),
            ..Default::default()
        };
        let nested = v1::CreateTokenResponse {
            auth: Some(auth.clone()),
        };
        let grant = v1::GrantLeaseRequest {
            payload: b"canary".to_vec(),
            ..Default::default()
        };
        let lease = v1::LookupLeaseResponse {
            lease: Some(v1::LeaseInfo {
                payload: Some(vec![77; 33]),
                ..Default::default()
            }),
        };
        let write = v1::WriteRequest {
            data: b"canary".to_vec(),
            ..Default::default()
        };
        let read = v1::ReadResponse {
            data: b"canary".to_vec(),
            ..Default::default()
        };
        let shown = format!(
            "{auth:?} {init:?} {create:#?} {nested:?} {grant:?} {lease:?} {write:?} {read:?}"
        );
        assert!(!shown.contains("canary"), "{shown}");
        assert!(!shown.contains("77"), "{shown}");
        assert!(!shown.contains("99, 97, 110"), "{shown}");
        assert!(shown.contains("the-accessor"), "{shown}");
    }
}
