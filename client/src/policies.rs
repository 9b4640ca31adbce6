//! The calls of `PolicyService`.

use tenure_proto::v1::{
    self, get_capabilities_request::Target, policy_service_client::PolicyServiceClient,
};
use tonic::transport::Channel;

use crate::{
    call::{Client, Scope},
    error::Error,
    limits::ANSWER_BYTES_MAX,
    retry::Effect,
    secret::Secret,
};

fn service(channel: Channel) -> PolicyServiceClient<Channel> {
    PolicyServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

/// Whose capabilities are asked for.
#[derive(Clone, Copy, Debug)]
pub enum CapabilitiesOf<'a> {
    /// The client's own token.
    Caller,
    /// The token of this id.
    Token(&'a Secret),
    /// The token of this accessor.
    Accessor(&'a str),
}

impl Client {
    /// Writes a policy, new or anew: HCL or JSON.
    pub async fn write_policy(&self, name: &str, policy: &str) -> Result<(), Error> {
        let request = v1::WritePolicyRequest {
            name: name.to_owned(),
            policy: policy.to_owned(),
        };
        // Twice is as good as once, unless somebody else writes in between.
        self.call(
            Scope::Cluster,
            Effect::Once,
            request,
            |channel, request| async move { service(channel).write_policy(request).await },
        )
        .await?;
        Ok(())
    }

    /// The text of a policy.
    pub async fn read_policy(&self, name: &str) -> Result<String, Error> {
        let request = v1::ReadPolicyRequest {
            name: name.to_owned(),
        };
        let answer = self
            .call(
                Scope::Cluster,
                Effect::Repeatable,
                request,
                |channel, request| async move { service(channel).read_policy(request).await },
            )
            .await?;
        Ok(answer.policy)
    }

    /// The names of all policies, sorted.
    pub async fn list_policies(&self) -> Result<Vec<String>, Error> {
        let (mut names, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = v1::ListPoliciesRequest {
                page_size: 0,
                page_token,
            };
            let page = self
                .call(
                    Scope::Cluster,
                    Effect::Repeatable,
                    request,
                    |channel, request| async move { service(channel).list_policies(request).await },
                )
                .await?;
            names.extend(page.names);
            if page.next_page_token.is_empty() {
                names.sort();
                return Ok(names);
            }
            page_token = page.next_page_token;
        }
    }

    /// Deletes a policy. One that doesn't exist is no error.
    pub async fn delete_policy(&self, name: &str) -> Result<(), Error> {
        let request = v1::DeletePolicyRequest {
            name: name.to_owned(),
        };
        self.call(
            Scope::Cluster,
            Effect::Once,
            request,
            |channel, request| async move { service(channel).delete_policy(request).await },
        )
        .await?;
        Ok(())
    }

    /// What a token may do with paths, in their order.
    pub async fn capabilities(
        &self,
        of: CapabilitiesOf<'_>,
        paths: &[&str],
    ) -> Result<Vec<v1::PathCapabilities>, Error> {
        let request = v1::GetCapabilitiesRequest {
            target: match of {
                CapabilitiesOf::Caller => None,
                CapabilitiesOf::Token(token) => Some(Target::Token(token.expose().to_owned())),
                CapabilitiesOf::Accessor(accessor) => Some(Target::Accessor(accessor.to_owned())),
            },
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        };
        let answer = self
            .call(
                Scope::Cluster,
                Effect::Repeatable,
                request,
                |channel, request| async move { service(channel).get_capabilities(request).await },
            )
            .await?;
        Ok(answer.paths)
    }
}
