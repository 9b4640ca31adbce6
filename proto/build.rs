//! Compiles the `.proto` files with protox, so that no `protoc` has to be installed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const PUBLIC: &[&str] = &[
    "tenure/v1/token.proto",
    "tenure/v1/seal.proto",
    "tenure/v1/cluster.proto",
];
const INTERNAL: &[&str] = &["tenure/internal/v1/raft.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=tenure");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    // Reflection shows the public contract only.
    let public = protox::compile(PUBLIC, ["."])?;
    fs::write(out.join("tenure_v1.bin"), public.encode_to_vec())?;

    let all = protox::compile(PUBLIC.iter().chain(INTERNAL), ["."])?;
    tonic_prost_build::configure()
        .bytes(".tenure.internal.v1")
        // Ordered maps: equal messages give equal bytes on every node.
        .btree_map(".tenure.internal.v1")
        .compile_fds(all)?;
    Ok(())
}
