//! The logical path of every call, before anything is known of its caller: rate limits go by it.
//! It is the path that policies are asked about, in the one form that a name or a path has; what
//! can't be one is of no harm, since its call is refused.

use std::borrow::Cow;

use tenure_core::types::PolicyName;
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
    match rest {
        "" => folder.to_owned(),
        rest => format!("{folder}/{rest}"),
    }
}

/// The path of a policy, however its name is spelled.
fn policy(name: &str) -> String {
    let name = PolicyName::parse(name).map_or_else(|_| name.to_owned(), |name| name.to_string());
    below("sys/policies/acl", &name)
}

/// A folder or a mount, which may be written with "/" at its end.
fn bare(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// Where a mount is managed.
fn mount(path: &str) -> String {
    match bare(path).strip_prefix("auth/") {
        Some(method) => below("sys/auth", method),
        None => below("sys/mounts", bare(path)),
    }
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
    WritePolicyRequest(call) => policy(&call.name),
    ReadPolicyRequest(call) => policy(&call.name),
    ListPoliciesRequest => "sys/policies/acl",
    DeletePolicyRequest(call) => policy(&call.name),
    GetCapabilitiesRequest(call) => match &call.target {
        None => "sys/capabilities-self",
        Some(v1::get_capabilities_request::Target::Token(_)) => "sys/capabilities",
        Some(v1::get_capabilities_request::Target::Accessor(_)) => "sys/capabilities-accessor",
    },
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
    ListRequest(call) => bare(&call.path),
    DeleteRequest(call) => call.path.as_str(),
    MountRequest(call) => mount(&call.path),
    UnmountRequest(call) => mount(&call.path),
    TuneMountRequest(call) => mount(&call.path) + "/tune",
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
    match call.look() {
        v1::MountLook::Unspecified => below("sys/internal/ui/mounts", bare(&call.path)),
        v1::MountLook::Mount => mount(&call.path),
        v1::MountLook::Tuning => mount(&call.path) + "/tune",
    }
}

fn limit_name(call: &v1::WriteRateLimitRequest) -> &str {
    call.limit.as_ref().map_or("", |limit| &limit.name)
}

fn quota_name(call: &v1::WriteLeaseCountRequest) -> &str {
    call.quota.as_ref().map_or("", |quota| &quota.name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tenure_core::{
        barrier::{Barrier, Keyring},
        policy::{AclMemo, WritePolicy, write},
        state::{Txn, View},
        testing::{MemoryStore, TestRandom},
        token::{self, Create, CreatePath, CreateRequest, Revocations, TtlConfig, authorize},
        types::{PolicyName, PolicySet, TokenId, UnixMillis},
    };
    use tonic::Code;

    use super::*;
    use crate::{
        api::calls::calls,
        pipeline::{Call, Scope},
    };

    /// A state with a token that may do everything on one path and nothing elsewhere.
    struct World {
        store: MemoryStore,
        barrier: Barrier,
        revocations: Revocations,
        ttl: TtlConfig,
        acls: AclMemo,
    }

    impl World {
        fn new() -> (Self, TokenId) {
            let keyring = Keyring::generate(UnixMillis::new(0), &mut TestRandom::new(1));
            let mut world = Self {
                store: MemoryStore::default(),
                barrier: Barrier::new(&keyring).unwrap(),
                revocations: Revocations::default(),
                ttl: TtlConfig::default(),
                acls: AclMemo::default(),
            };
            let random = &mut TestRandom::new(2);
            let root = world.with(|context| token::create_root(context, None, random).unwrap());
            world.commit(root.txn);
            (world, root.response.id)
        }

        fn with<T>(&self, look: impl FnOnce(token::Context<'_>) -> T) -> T {
            let view = View::new(&self.store, &self.barrier);
            look(token::Context {
                view: &view,
                revocations: &self.revocations,
                ttl: &self.ttl,
                acls: &self.acls,
                now: UnixMillis::new(1_700_000_000_000),
                remote: None,
            })
        }

        fn commit(&mut self, txn: Txn) {
            self.store.commit(txn.into_ops());
        }

        /// Lets tokens of the policy do all at this path, and nothing else.
        fn allow(&mut self, root: &TokenId, path: &str) {
            let text = serde_json::json!({ "path": { path: {
                "capabilities": ["create", "read", "update", "patch", "delete", "list", "sudo"],
            } } });
            let plan = self.with(|context| {
                let caller = token::identify(context, root).unwrap();
                let action = WritePolicy(PolicyName::parse("one").unwrap(), text.to_string());
                let permit = authorize(context, &caller, action).unwrap();
                write(&permit, &mut TestRandom::new(3)).unwrap()
            });
            self.commit(plan.txn);
        }

        /// Whether policies refuse the call.
        fn refuses<C: Call>(&self, caller: &TokenId, call: &C) -> bool {
            self.with(|context| {
                let caller = token::identify(context, caller).unwrap();
                let scope = Scope {
                    context,
                    caller: &caller,
                };
                let planned = call.plan(&scope).err();
                planned.is_some_and(|error| error.code == Code::PermissionDenied)
            })
        }
    }

    /// Messages of a kind with this text in every field that has room for a text, and in each alone;
    /// of these, each with every switch in each of its positions. Field by field, as on the wire.
    fn messages<C: Call>(text: &str) -> Vec<C> {
        let field = |number: u8, kind: u8, content: &[u8]| {
            let mut bytes = prost::bytes::BytesMut::new();
            prost::encoding::encode_varint((u64::from(number) << 3) | u64::from(kind), &mut bytes);
            if kind == 2 {
                prost::encoding::encode_varint(content.len() as u64, &mut bytes);
            }
            bytes.extend_from_slice(content);
            bytes.to_vec()
        };
        // What isn't known is passed over, what doesn't fit is refused.
        let fits = |bytes: &Vec<u8>| {
            C::decode(bytes.as_slice()).is_ok_and(|call| !call.encode_to_vec().is_empty())
        };
        let named = field(1, 2, text.as_bytes());
        let texts: Vec<Vec<u8>> = (1..=20)
            .filter_map(|number| {
                let of = [text.as_bytes(), &named];
                of.map(|content| field(number, 2, content))
                    .into_iter()
                    .find(fits)
            })
            .collect();
        let switches = (1..=20).flat_map(|number| (1..=4).map(move |at| field(number, 0, &[at])));
        let mut switches: Vec<_> = switches.filter(fits).collect();
        switches.push(Vec::new());
        let filled = [texts.concat()].into_iter().chain(texts);
        let all = filled.flat_map(|filled| {
            let with = |switch| [&*filled, switch].concat();
            switches
                .iter()
                .map(|switch| with(switch))
                .collect::<Vec<_>>()
        });
        all.filter_map(|bytes| C::decode(bytes.as_slice()).ok())
            .collect()
    }

    /// Checks all messages of a kind, and says how many of them a policy judged.
    fn check<C: Call>(world: &mut World, root: &TokenId, caller: &TokenId) -> usize {
        let mut judged = 0;
        let accessor = "a".repeat(24);
        let lease = format!("a/{accessor}");
        for text in [
            "x", " X ", "x/", "/x", "X", "a/b", "a/b/", "auth/m", "auth/m/", "root", "3s", &lease,
            &accessor,
        ] {
            for call in messages::<C>(text) {
                world.allow(root, "elsewhere");
                if !world.refuses(caller, &call) {
                    continue;
                }
                // What no rule allows has no path.
                world.allow(root, "*");
                if world.refuses(caller, &call) {
                    continue;
                }
                judged += 1;
                let path = call.path().into_owned();
                world.allow(root, &path);
                let refused = world.refuses(caller, &call);
                assert!(!refused, "{} {text:?}: not what {path:?} grants", C::METHOD);
            }
        }
        judged
    }

    /// The path that a call is counted under is the one that policies are asked about: whoever may
    /// do all at that path alone isn't refused, however the call spells it.
    ///
    /// Planted bugs: names of policies and paths of mounts as they are spelled. Caught.
    #[test]
    fn a_call_is_counted_where_it_is_judged() {
        let (mut world, root) = World::new();
        let plan = world.with(|context| {
            let by = token::identify(context, &root).unwrap();
            let request = CreateRequest {
                policies: PolicySet::parse(["one"]).unwrap(),
                no_default_policy: true,
                ..CreateRequest::default()
            };
            let action = Create(CreatePath::Child, Default::default());
            let permit = authorize(context, &by, action).unwrap();
            token::create(&permit, request, &mut TestRandom::new(4)).unwrap()
        });
        world.commit(plan.txn);
        let caller = plan.response.id;
        let mut never = Vec::new();
        macro_rules! check_all {
            ($($call:ty,)*) => {$(
                if check::<$call>(&mut world, &root, &caller) == 0 {
                    never.push(<$call>::METHOD);
                }
            )*};
        }
        calls!(check_all);
        check_all!(v1::RestoreOptions,);
        // A request that is no call asks for nothing.
        assert_eq!(never, ["/tenure.internal.v1.Http/Refuse"]);
    }
}
