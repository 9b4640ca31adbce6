//! The logical path of every call, before anything is known of its caller: rate limits go by it.
//! It is the path that policies are asked about, as far as the message tells it; one that can't be
//! is of no harm, since its call is refused.

use std::borrow::Cow;

use tenure_proto::v1;

/// A call that has a logical path.
pub trait Logical {
    /// The path, without a leading slash.
    fn path(&self) -> Cow<'_, str>;
}

/// The table: a path for each call, or how it is made of the call.
macro_rules! paths {
    ($($call:ident $(($of:ident))? => $path:expr,)*) => {$(
        impl Logical for v1::$call {
            fn path(&self) -> Cow<'_, str> {
                $(let $of = self;)?
                Cow::from($path)
            }
        }
    )*};
}

fn below(folder: &str, rest: &str) -> String {
    format!("{folder}/{rest}")
}

fn rekey(target: i32, step: &str) -> String {
    let shares = match v1::RekeyTarget::try_from(target) {
        Ok(v1::RekeyTarget::Recovery) => "recovery",
        _ => "root",
    };
    format!("sys/rotate/{shares}/{step}")
}

paths! {
    CreateTokenRequest(call) => create_path(call),
    LookupTokenRequest => "auth/token/lookup",
    LookupSelfRequest => "auth/token/lookup-self",
    LookupAccessorRequest => "auth/token/lookup-accessor",
    RenewTokenRequest => "auth/token/renew",
    RenewSelfRequest => "auth/token/renew-self",
    RenewAccessorRequest => "auth/token/renew-accessor",
    RevokeTokenRequest => "auth/token/revoke",
    RevokeSelfRequest => "auth/token/revoke-self",
    RevokeOrphanRequest => "auth/token/revoke-orphan",
    RevokeAccessorRequest => "auth/token/revoke-accessor",
    ListAccessorsRequest => "auth/token/accessors",
    WriteTokenRoleRequest(call) => below("auth/token/roles", &call.name),
    ReadTokenRoleRequest(call) => below("auth/token/roles", &call.name),
    DeleteTokenRoleRequest(call) => below("auth/token/roles", &call.name),
    ListTokenRolesRequest => "auth/token/roles",
    TuneTokensRequest => "sys/auth/token/tune",
    GetTokenTuningRequest => "sys/auth/token/tune",
    TidyTokensRequest => "auth/token/tidy",
    TidyLeasesRequest => "sys/leases/tidy",
    GrantLeaseRequest(call) => below("sys/leases/grant", &call.path),
    LookupLeaseRequest => "sys/leases/lookup",
    RenewLeaseRequest => "sys/leases/renew",
    RevokeLeaseRequest => "sys/leases/revoke",
    RevokePrefixRequest(call) => match call.force {
        true => below("sys/leases/revoke-force", &call.prefix),
        false => below("sys/leases/revoke-prefix", &call.prefix),
    },
    ListLeasesRequest(call) => match call.irrevocable {
        true => "sys/leases".to_owned(),
        false => below("sys/leases/lookup", &call.prefix),
    },
    CountLeasesRequest(call) => match call.irrevocable {
        true => "sys/leases/count".to_owned(),
        false => below("sys/leases/lookup", &call.prefix),
    },
    KeepAliveRequest => "sys/leases/renew",
    WatchRequest(call) => below("sys/leases/watch", &call.prefix),
    WritePolicyRequest(call) => below("sys/policies/acl", &call.name),
    ReadPolicyRequest(call) => below("sys/policies/acl", &call.name),
    ListPoliciesRequest => "sys/policies/acl",
    DeletePolicyRequest(call) => below("sys/policies/acl", &call.name),
    GetCapabilitiesRequest => "sys/capabilities",
    WriteRateLimitRequest(call) => below("sys/quotas/rate-limit", limit_name(call)),
    ReadRateLimitRequest(call) => below("sys/quotas/rate-limit", &call.name),
    ListRateLimitsRequest => "sys/quotas/rate-limit",
    DeleteRateLimitRequest(call) => below("sys/quotas/rate-limit", &call.name),
    WriteQuotaConfigRequest => "sys/quotas/config",
    ReadQuotaConfigRequest => "sys/quotas/config",
    WriteLeaseCountRequest(call) => below("sys/quotas/lease-count", quota_name(call)),
    ReadLeaseCountRequest(call) => below("sys/quotas/lease-count", &call.name),
    ListLeaseCountsRequest => "sys/quotas/lease-count",
    DeleteLeaseCountRequest(call) => below("sys/quotas/lease-count", &call.name),
    ReadRequest(call) => call.path.as_str(),
    WriteRequest(call) => call.path.as_str(),
    PatchRequest(call) => call.path.as_str(),
    ListRequest(call) => call.path.as_str(),
    DeleteRequest(call) => call.path.as_str(),
    MountRequest(call) => below("sys/mounts", &call.path),
    UnmountRequest(call) => below("sys/mounts", &call.path),
    TuneMountRequest(call) => format!("sys/mounts/{}/tune", call.path),
    RemountRequest => "sys/remount",
    ListMountsRequest(call) => match call.listing() {
        v1::MountListing::Auth => "sys/auth",
        v1::MountListing::Visible => "sys/internal/ui/mounts",
        v1::MountListing::Unspecified => "sys/mounts",
    },
    GetMountRequest(call) => mount_looked_at(call),
    GetClusterStatusRequest(call) => match call.look() {
        v1::ClusterLook::Ha => "sys/ha-status",
        v1::ClusterLook::Health => "sys/storage/raft/autopilot/state",
        v1::ClusterLook::Watch => "sys/storage/raft/autopilot/configuration",
        v1::ClusterLook::Unspecified => "sys/storage/raft/configuration",
    },
    GetMetricsRequest => "sys/metrics",
    CreateJoinTokenRequest => "sys/storage/raft/join-token",
    RemovePeerRequest => "sys/storage/raft/remove-peer",
    StepDownRequest => "sys/step-down",
    SealRequest => "sys/seal",
    RotateRequest => "sys/rotate",
    GetKeyStatusRequest => "sys/key-status",
    GetRotationConfigRequest => "sys/rotate/config",
    WriteRotationConfigRequest => "sys/rotate/config",
    StartRekeyRequest(call) => rekey(call.target, "init"),
    GetRekeyRequest(call) => rekey(call.target, "init"),
    UpdateRekeyRequest(call) => rekey(call.target, "update"),
    CancelRekeyRequest(call) => rekey(call.target, "init"),
    GetRekeyVerificationRequest(call) => rekey(call.target, "verify"),
    VerifyRekeyRequest(call) => rekey(call.target, "verify"),
    ResetRekeyVerificationRequest(call) => rekey(call.target, "verify"),
    GetRekeyBackupRequest(call) => rekey(call.target, "backup"),
    DeleteRekeyBackupRequest(call) => rekey(call.target, "backup"),
    StartGenerateRootRequest => "sys/generate-root/attempt",
    GetGenerateRootRequest => "sys/generate-root/attempt",
    UpdateGenerateRootRequest => "sys/generate-root/update",
    CancelGenerateRootRequest => "sys/generate-root/attempt",
    SaveSnapshotRequest => "sys/storage/raft/snapshot",
    RestoreOptions(call) => snapshot_path(call.force),
    ResumeExpirationRequest => "sys/expiration/resume",
}

fn snapshot_path(force: bool) -> &'static str {
    match force {
        false => "sys/storage/raft/snapshot",
        true => "sys/storage/raft/snapshot-force",
    }
}

fn create_path(call: &v1::CreateTokenRequest) -> Cow<'_, str> {
    match (call.role.as_str(), call.orphan) {
        ("", true) => "auth/token/create-orphan".into(),
        ("", false) => "auth/token/create".into(),
        (role, _) => below("auth/token/create", role).into(),
    }
}

fn mount_looked_at(call: &v1::GetMountRequest) -> String {
    if !call.uuid.is_empty() {
        return format!("sys/remount/status/{}", call.uuid);
    }
    let path = call.path.as_str();
    match (call.look(), path.strip_prefix("auth/")) {
        (v1::MountLook::Unspecified, _) => format!("sys/internal/ui/mounts/{path}"),
        (v1::MountLook::Mount, None) => format!("sys/mounts/{path}"),
        (v1::MountLook::Mount, Some(method)) => format!("sys/auth/{method}"),
        (v1::MountLook::Tuning, None) => format!("sys/mounts/{path}/tune"),
        (v1::MountLook::Tuning, Some(method)) => format!("sys/auth/{method}/tune"),
    }
}

fn limit_name(call: &v1::WriteRateLimitRequest) -> &str {
    call.limit.as_ref().map_or("", |limit| &limit.name)
}

fn quota_name(call: &v1::WriteLeaseCountRequest) -> &str {
    call.quota.as_ref().map_or("", |quota| &quota.name)
}
