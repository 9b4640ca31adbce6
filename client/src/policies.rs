//! The calls of `PolicyService`.

use tenure_proto::v1::{
    self, get_capabilities_request::Target, policy_service_client::PolicyServiceClient,
};
use tonic::transport::Channel;

use crate::{
    call::{Client, ask},
    error::Error,
    limits::ANSWER_BYTES_MAX,
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
        ask!(self, Once, write_policy(request)).await?;
        Ok(())
    }

    /// The text of a policy.
    pub async fn read_policy(&self, name: &str) -> Result<String, Error> {
        let request = v1::ReadPolicyRequest {
            name: name.to_owned(),
        };
        let answer = ask!(self, Repeatable, read_policy(request)).await?;
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
            let page = ask!(self, Repeatable, list_policies(request)).await?;
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
        ask!(self, Once, delete_policy(request)).await?;
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
        let answer = ask!(self, Repeatable, get_capabilities(request)).await?;
        Ok(answer.paths)
    }
}
