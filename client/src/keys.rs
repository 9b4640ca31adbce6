//! The calls of `KeyService`.

use tenure_proto::v1::{self, RekeyTarget, key_service_client::KeyServiceClient};
use tonic::transport::Channel;

use crate::{
    call::{Client, Scope},
    error::Error,
    retry::Effect,
};

fn service(channel: Channel) -> KeyServiceClient<Channel> {
    KeyServiceClient::new(channel)
}

/// What the answer must hold.
fn known<T>(part: Option<T>) -> Result<T, Error> {
    part.ok_or_else(|| Error::protocol("the server's answer lacks a status"))
}

/// Sends a request of this service to the cluster.
macro_rules! send {
    ($client:expr, $effect:ident, $method:ident, $request:expr) => {
        $client
            .call(
                Scope::Cluster,
                Effect::$effect,
                $request,
                |channel, request| async move { service(channel).$method(request).await },
            )
            .await
    };
}

impl Client {
    /// Adds a barrier key, which seals all that is written from then on.
    pub async fn rotate(&self) -> Result<(), Error> {
        send!(self, Once, rotate, v1::RotateRequest {})?;
        Ok(())
    }

    /// Shows the barrier key's term.
    pub async fn key_status(&self) -> Result<v1::GetKeyStatusResponse, Error> {
        send!(self, Repeatable, get_key_status, v1::GetKeyStatusRequest {})
    }

    /// Shows when keys are rotated by themselves.
    pub async fn rotation_config(&self) -> Result<v1::GetRotationConfigResponse, Error> {
        let request = v1::GetRotationConfigRequest {};
        send!(self, Repeatable, get_rotation_config, request)
    }

    /// Changes that; what isn't given stays.
    pub async fn write_rotation_config(
        &self,
        request: v1::WriteRotationConfigRequest,
    ) -> Result<(), Error> {
        send!(self, Repeatable, write_rotation_config, request)?;
        Ok(())
    }

    /// Begins to make shares anew.
    pub async fn start_rekey(
        &self,
        request: v1::StartRekeyRequest,
    ) -> Result<v1::RekeyStatus, Error> {
        known(send!(self, Once, start_rekey, request)?.status)
    }

    /// Shows how far a rekey is.
    pub async fn rekey_status(&self, target: RekeyTarget) -> Result<v1::RekeyStatus, Error> {
        let request = v1::GetRekeyRequest {
            target: target.into(),
        };
        known(send!(self, Repeatable, get_rekey, request)?.status)
    }

    /// Gives a share in force. Keep the shares that the last one is answered with: they are
    /// shown once.
    pub async fn update_rekey(
        &self,
        target: RekeyTarget,
        nonce: &str,
        share: &[u8],
    ) -> Result<v1::UpdateRekeyResponse, Error> {
        let request = v1::UpdateRekeyRequest {
            target: target.into(),
            share: share.to_vec(),
            nonce: nonce.to_owned(),
        };
        send!(self, Once, update_rekey, request)
    }

    /// Gives a rekey up. Without a token, its nonce is needed.
    pub async fn cancel_rekey(&self, target: RekeyTarget, nonce: &str) -> Result<(), Error> {
        let request = v1::CancelRekeyRequest {
            target: target.into(),
            nonce: nonce.to_owned(),
        };
        send!(self, Once, cancel_rekey, request)?;
        Ok(())
    }

    /// Shows how far the proof of new shares is.
    pub async fn rekey_verification(
        &self,
        target: RekeyTarget,
    ) -> Result<v1::RekeyVerificationStatus, Error> {
        let request = v1::GetRekeyVerificationRequest {
            target: target.into(),
        };
        known(send!(self, Repeatable, get_rekey_verification, request)?.status)
    }

    /// Gives a new share, to prove it.
    pub async fn verify_rekey(
        &self,
        target: RekeyTarget,
        nonce: &str,
        share: &[u8],
    ) -> Result<v1::VerifyRekeyResponse, Error> {
        let request = v1::VerifyRekeyRequest {
            target: target.into(),
            share: share.to_vec(),
            nonce: nonce.to_owned(),
        };
        send!(self, Once, verify_rekey, request)
    }

    /// Begins the proof of new shares again.
    pub async fn reset_rekey_verification(
        &self,
        target: RekeyTarget,
        nonce: &str,
    ) -> Result<v1::RekeyVerificationStatus, Error> {
        let request = v1::ResetRekeyVerificationRequest {
            target: target.into(),
            nonce: nonce.to_owned(),
        };
        known(send!(self, Once, reset_rekey_verification, request)?.status)
    }

    /// Shows the encrypted shares that were kept at a rekey.
    pub async fn rekey_backup(
        &self,
        target: RekeyTarget,
    ) -> Result<v1::GetRekeyBackupResponse, Error> {
        let request = v1::GetRekeyBackupRequest {
            target: target.into(),
        };
        send!(self, Repeatable, get_rekey_backup, request)
    }

    /// Deletes them.
    pub async fn delete_rekey_backup(&self, target: RekeyTarget) -> Result<(), Error> {
        let request = v1::DeleteRekeyBackupRequest {
            target: target.into(),
        };
        send!(self, Repeatable, delete_rekey_backup, request)?;
        Ok(())
    }

    /// Begins to make a root token. Without a one-time password the server makes one.
    pub async fn start_generate_root(
        &self,
        otp: &str,
    ) -> Result<v1::StartGenerateRootResponse, Error> {
        self.start_generate_root_with(v1::StartGenerateRootRequest {
            otp: otp.to_owned(),
            ..v1::StartGenerateRootRequest::default()
        })
        .await
    }

    /// As [`Client::start_generate_root`], also with a PGP key in the place of the password.
    pub async fn start_generate_root_with(
        &self,
        request: v1::StartGenerateRootRequest,
    ) -> Result<v1::StartGenerateRootResponse, Error> {
        send!(self, Once, start_generate_root, request)
    }

    /// Shows how far the making of a root token is.
    pub async fn generate_root_status(&self) -> Result<v1::GenerateRootStatus, Error> {
        let request = v1::GetGenerateRootRequest {};
        known(send!(self, Repeatable, get_generate_root, request)?.status)
    }

    /// Gives a share in force; the last one makes the token.
    pub async fn update_generate_root(
        &self,
        nonce: &str,
        share: &[u8],
    ) -> Result<v1::UpdateGenerateRootResponse, Error> {
        let request = v1::UpdateGenerateRootRequest {
            share: share.to_vec(),
            nonce: nonce.to_owned(),
        };
        send!(self, Once, update_generate_root, request)
    }

    /// Gives the making of a root token up. Without a token, its nonce is needed.
    pub async fn cancel_generate_root(&self, nonce: &str) -> Result<(), Error> {
        let request = v1::CancelGenerateRootRequest {
            nonce: nonce.to_owned(),
        };
        send!(self, Once, cancel_generate_root, request)?;
        Ok(())
    }
}
