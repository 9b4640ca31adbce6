//! What every call between nodes says about its sender: the cluster and the format version.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tonic::{
    Request, Status,
    metadata::{AsciiMetadataValue, MetadataValue},
    service::Interceptor,
};

use crate::limits::FORMAT;

/// Metadata that holds the 16 bytes of the cluster id.
pub(crate) const CLUSTER_HEADER: &str = "x-tenure-cluster-bin";
/// Metadata that holds the format version that the sender writes.
pub(crate) const FORMAT_HEADER: &str = "x-tenure-format";

/// Marks outgoing calls with the cluster id, once there is one, and the format version.
#[derive(Clone)]
pub struct Stamp {
    cluster_id: Arc<ArcSwapOption<[u8; 16]>>,
}

impl Stamp {
    pub(super) fn new(cluster_id: Arc<ArcSwapOption<[u8; 16]>>) -> Self {
        Self { cluster_id }
    }
}

impl Interceptor for Stamp {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        if let Some(cluster_id) = self.cluster_id.load().as_deref() {
            metadata.insert_bin(CLUSTER_HEADER, MetadataValue::from_bytes(cluster_id));
        }
        metadata.insert(FORMAT_HEADER, AsciiMetadataValue::from(FORMAT));
        Ok(request)
    }
}
