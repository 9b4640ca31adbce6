//! Mounts and what is mounted: over gRPC alone so far. `sys/mounts` and the paths of mounts are
//! 404 at this door until their shapes are here.

use tenure_proto::v1;

use super::HttpCall;

impl HttpCall for v1::ReadRequest {}
impl HttpCall for v1::WriteRequest {}
impl HttpCall for v1::PatchRequest {}
impl HttpCall for v1::ListRequest {}
impl HttpCall for v1::DeleteRequest {}
impl HttpCall for v1::MountRequest {}
impl HttpCall for v1::UnmountRequest {}
impl HttpCall for v1::TuneMountRequest {}
impl HttpCall for v1::RemountRequest {}
impl HttpCall for v1::ListMountsRequest {}
impl HttpCall for v1::GetMountRequest {}
