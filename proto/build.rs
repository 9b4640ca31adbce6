//! Compiles the `.proto` files with protox, so that no `protoc` has to be installed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const PUBLIC: &[&str] = &[
    "tenure/v1/token.proto",
    "tenure/v1/lease.proto",
    "tenure/v1/policy.proto",
    "tenure/v1/quota.proto",
    "tenure/v1/secrets.proto",
    "tenure/v1/mount.proto",
    "tenure/v1/seal.proto",
    "tenure/v1/key.proto",
    "tenure/v1/cluster.proto",
    "tenure/v1/backup.proto",
    "tenure/v1/errors.proto",
];
/// Keys and answers are zeroized when they are dropped.
const ZEROIZED: &[&str] = &[
    ".tenure.state.v1.Keyring",
    ".tenure.state.v1.BarrierKey",
    ".tenure.state.v1.RootKey",
    ".tenure.state.v1.RecoveryKey",
    ".tenure.state.v1.Dedupe",
    ".tenure.state.v1.Lease",
    ".tenure.state.v1.BatchOwner",
    ".tenure.state.v1.Secret",
    ".tenure.state.v1.KvVersion",
    ".tenure.state.v1.Cubbyhole",
    ".tenure.state.v1.CubbyholeSecret",
];
/// Plaintext of what the barrier seals: none of it has a `Debug`.
const STATE: &str = ".tenure.state.v1";
/// Messages between nodes that hold a secret: src/redact.rs writes their `Debug`.
const INTERNAL_SECRET: &[&str] = &[
    ".tenure.internal.v1.ForwardRequest",
    ".tenure.internal.v1.ForwardResponse",
    ".tenure.internal.v1.JoinRequest",
    ".tenure.internal.v1.ChallengeProof",
];
/// Public messages that hold a secret: src/redact.rs writes their `Debug`.
const SECRET: &[&str] = &[
    ".tenure.v1.Auth",
    ".tenure.v1.TokenInfo",
    ".tenure.v1.CreateTokenRequest",
    ".tenure.v1.LookupTokenRequest",
    ".tenure.v1.RenewTokenRequest",
    ".tenure.v1.RevokeTokenRequest",
    ".tenure.v1.RevokeOrphanRequest",
    ".tenure.v1.LeaseInfo",
    ".tenure.v1.WritePolicyRequest",
    ".tenure.v1.ReadPolicyResponse",
    ".tenure.v1.GetCapabilitiesRequest",
    ".tenure.v1.GrantLeaseRequest",
    ".tenure.v1.ReadRequest",
    ".tenure.v1.ReadResponse",
    ".tenure.v1.WriteRequest",
    ".tenure.v1.WriteResponse",
    ".tenure.v1.PatchRequest",
    ".tenure.v1.PatchResponse",
    ".tenure.v1.InitResponse",
    ".tenure.v1.UnsealRequest",
    ".tenure.v1.UpdateRekeyRequest",
    ".tenure.v1.UpdateRekeyResponse",
    ".tenure.v1.VerifyRekeyRequest",
    ".tenure.v1.StartGenerateRootRequest",
    ".tenure.v1.StartGenerateRootResponse",
    ".tenure.v1.UpdateGenerateRootRequest",
    ".tenure.v1.UpdateGenerateRootResponse",
    ".tenure.v1.CreateJoinTokenResponse",
    ".tenure.v1.JoinRequest",
];
const INTERNAL: &[&str] = &[
    "tenure/internal/v1/backup.proto",
    "tenure/internal/v1/raft.proto",
    "tenure/internal/v1/forward.proto",
    "tenure/state/v1/state.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=tenure");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    // Reflection shows the public contract only.
    let public = protox::compile(PUBLIC, ["."])?;
    fs::write(out.join("tenure_v1.bin"), public.encode_to_vec())?;

    let all = protox::compile(PUBLIC.iter().chain(INTERNAL), ["."])?;
    let mut builder = tonic_prost_build::configure()
        .bytes(".tenure.internal.v1")
        // Pieces of a file are passed on, not copied.
        .bytes(".tenure.v1.SaveSnapshotResponse")
        .bytes(".tenure.v1.RestoreSnapshotRequest")
        // Ordered maps: equal messages give equal bytes on every node.
        .btree_map(".tenure.internal.v1")
        // Kept answers are found by the encoded request.
        .btree_map(".tenure.v1.CreateTokenRequest")
        .btree_map(".tenure.v1.MountRequest")
        .btree_map(".tenure.v1.MountInfo")
        .btree_map(".tenure.v1.TuneMountRequest")
        .skip_debug(SECRET.iter().chain(INTERNAL_SECRET).chain([&STATE]));
    for message in ZEROIZED {
        builder = builder.type_attribute(
            message,
            "#[derive(zeroize::Zeroize, zeroize::ZeroizeOnDrop)]",
        );
    }
    builder.compile_fds(all)?;
    Ok(())
}
