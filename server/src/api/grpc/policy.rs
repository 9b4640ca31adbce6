//! PolicyService.

use tenure_core::{
    barrier::NameHash,
    policy::{self, DeletePolicy, ListPolicies, ReadPolicy, ShowCapabilities, WritePolicy},
    token::{Target, authorize},
    types::PolicyName,
};
use tenure_proto::v1::{self, get_capabilities_request};

use super::{
    Services,
    convert::{page_rows, page_start, page_token},
    token::{by_accessor, by_id},
};
use crate::{
    error::Error,
    pipeline::{Access, Call, Planned, Scope},
};

serve! {
    v1::policy_service_server::PolicyService:
    write_policy: WritePolicyRequest -> WritePolicyResponse,
    read_policy: ReadPolicyRequest -> ReadPolicyResponse,
    list_policies: ListPoliciesRequest -> ListPoliciesResponse,
    delete_policy: DeletePolicyRequest -> DeletePolicyResponse,
    get_capabilities: GetCapabilitiesRequest -> GetCapabilitiesResponse,
}

fn name(text: &str) -> Result<PolicyName, Error> {
    PolicyName::parse(text).map_err(|error| Error::invalid_argument(format!("name: {error}")))
}

impl Call for v1::WritePolicyRequest {
    const METHOD: &'static str = "/tenure.v1.PolicyService/WritePolicy";
    const ACCESS: Access = Access::Write;
    type Answer = v1::WritePolicyResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let action = WritePolicy(name(&self.name)?, self.policy.clone());
        let permit = authorize(scope.context, scope.caller, action)?;
        let plan = policy::write(&permit, &mut scope.random())?;
        Ok(Planned {
            txn: plan.txn,
            answer: v1::WritePolicyResponse {},
        })
    }
}

impl Call for v1::ReadPolicyRequest {
    const METHOD: &'static str = "/tenure.v1.PolicyService/ReadPolicy";
    const ACCESS: Access = Access::Read;
    type Answer = v1::ReadPolicyResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let name = name(&self.name)?;
        let permit = authorize(scope.context, scope.caller, ReadPolicy(name.clone()))?;
        Ok(Planned::answer(v1::ReadPolicyResponse {
            name: name.as_str().to_owned(),
            policy: policy::read(&permit)?,
        }))
    }
}

impl Call for v1::ListPoliciesRequest {
    const METHOD: &'static str = "/tenure.v1.PolicyService/ListPolicies";
    const ACCESS: Access = Access::Read;
    type Answer = v1::ListPoliciesResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let permit = authorize(scope.context, scope.caller, ListPolicies)?;
        let after = page_start(&self.page_token, NameHash::from_slice)?;
        let limit = page_rows(self.page_size);
        let page = policy::list(&permit, after.as_ref(), limit)?;
        let names = page.names.iter().map(|name| name.as_str().to_owned());
        Ok(Planned::answer(v1::ListPoliciesResponse {
            names: names.collect(),
            next_page_token: page_token(page.next.as_ref().map(|next| next.as_bytes().as_slice())),
        }))
    }

    pages_of!(names);
}

impl Call for v1::DeletePolicyRequest {
    const METHOD: &'static str = "/tenure.v1.PolicyService/DeletePolicy";
    const ACCESS: Access = Access::Write;
    type Answer = v1::DeletePolicyResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let action = DeletePolicy(name(&self.name)?);
        let permit = authorize(scope.context, scope.caller, action)?;
        let plan = policy::delete(&permit)?;
        Ok(Planned {
            txn: plan.txn,
            answer: v1::DeletePolicyResponse {},
        })
    }
}

impl Call for v1::GetCapabilitiesRequest {
    const METHOD: &'static str = "/tenure.v1.PolicyService/GetCapabilities";
    const ACCESS: Access = Access::Read;
    type Answer = v1::GetCapabilitiesResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        use get_capabilities_request::Target as Asked;
        let target = match &self.target {
            None => Target::Caller,
            Some(Asked::Token(id)) => by_id(id)?,
            Some(Asked::Accessor(accessor)) => by_accessor(accessor)?,
        };
        let action = ShowCapabilities(target, self.paths.clone());
        let shown = policy::capabilities(&authorize(scope.context, scope.caller, action)?)?;
        let paths = self.paths.iter().zip(shown);
        let paths = paths.map(|(path, capabilities)| v1::PathCapabilities {
            path: path.clone(),
            capabilities: capabilities.into_iter().map(str::to_owned).collect(),
        });
        Ok(Planned::answer(v1::GetCapabilitiesResponse {
            paths: paths.collect(),
        }))
    }
}
