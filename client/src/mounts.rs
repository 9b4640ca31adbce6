//! The calls of `MountService`.

use tenure_proto::v1::{self, mount_service_client::MountServiceClient};
use tonic::transport::Channel;

use crate::{
    call::{Client, Scope, ask},
    error::Error,
    limits::ANSWER_BYTES_MAX,
    retry::Effect,
};

fn service(channel: Channel) -> MountServiceClient<Channel> {
    MountServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

fn shown(mount: Option<v1::MountInfo>) -> Result<v1::MountInfo, Error> {
    mount.ok_or_else(|| Error::protocol("the server's answer holds no mount"))
}

impl Client {
    /// Mounts a secrets engine. With a `request_id` the call is sent again even where the
    /// first one may have been carried out; without, only where it was not.
    pub async fn mount(&self, request: v1::MountRequest) -> Result<v1::MountInfo, Error> {
        let effect = match request.request_id.as_str() {
            "" => Effect::Once,
            _ => Effect::Repeatable,
        };
        let answer = self
            .call(
                Scope::Cluster,
                effect,
                request,
                |channel, request| async move { service(channel).mount(request).await },
            )
            .await?;
        shown(answer.mount)
    }

    /// Unmounts a secrets engine and deletes all that it holds.
    pub async fn unmount(&self, path: &str) -> Result<v1::UnmountResponse, Error> {
        let request = v1::UnmountRequest {
            path: path.to_owned(),
        };
        ask!(self, Once, unmount(request)).await
    }

    /// Changes a mount: what is absent in the request stays.
    pub async fn tune_mount(&self, request: v1::TuneMountRequest) -> Result<v1::MountInfo, Error> {
        let answer = ask!(self, Once, tune_mount(request)).await?;
        shown(answer.mount)
    }

    /// Moves a mount with all that it holds.
    pub async fn remount(&self, from: &str, to: &str) -> Result<v1::MountInfo, Error> {
        let request = v1::RemountRequest {
            from: from.to_owned(),
            to: to.to_owned(),
        };
        let answer = ask!(self, Once, remount(request)).await?;
        shown(answer.mount)
    }

    /// All mounts, sorted by path.
    pub async fn list_mounts(&self) -> Result<Vec<v1::MountInfo>, Error> {
        let request = v1::ListMountsRequest::default();
        let answer = ask!(self, Repeatable, list_mounts(request)).await?;
        Ok(answer.mounts)
    }

    /// The mount that answers for a path.
    pub async fn get_mount(&self, path: &str) -> Result<v1::MountInfo, Error> {
        let request = v1::GetMountRequest {
            path: path.to_owned(),
            ..v1::GetMountRequest::default()
        };
        let answer = ask!(self, Repeatable, get_mount(request)).await?;
        shown(answer.mount)
    }
}
