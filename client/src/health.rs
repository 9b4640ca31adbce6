//! `grpc.health.v1` of one node.

use tonic::{Code, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    call::{Client, Scope},
    error::Error,
    retry::Effect,
};

/// How a service of a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It serves.
    Serving,
    /// It doesn't serve now.
    NotServing,
    /// The node doesn't know such a service, or doesn't know how it is.
    Unknown,
}

impl Client {
    /// Asks the node of the first address how it is: `""` = its process and disk,
    /// `tenure.ready` = it can serve requests, `tenure.active` = it is the active node.
    /// Needs no token and sends none.
    pub async fn health(&self, service: &str) -> Result<Health, Error> {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = self
            .without_token()
            .call(
                Scope::FirstNode,
                Effect::Repeatable,
                request,
                |channel: Channel, request| async move {
                    HealthClient::new(channel).check(request).await
                },
            )
            .await;
        match answer {
            Ok(answer) => Ok(match answer.status() {
                ServingStatus::Serving => Health::Serving,
                ServingStatus::NotServing => Health::NotServing,
                ServingStatus::Unknown | ServingStatus::ServiceUnknown => Health::Unknown,
            }),
            Err(error) if error.code() == Code::NotFound => Ok(Health::Unknown),
            Err(error) => Err(error),
        }
    }
}
