//! `sys/policies/acl`, its older form `sys/policy`, and `sys/capabilities…`: PolicyService as
//! Vault's clients know it.

use serde_json::{Map, Value, json};
use tenure_core::types::limits::PAGE_ROWS_MAX;
use tenure_proto::v1::{self, get_capabilities_request::Target};

use super::{
    HttpCall,
    body::Input,
    envelope::Reply,
    part::Part,
    route::{Route, delete, list, read, write},
};
use crate::error::Error;

const OLD: &str = "/v1/sys/policy/{name}";
const OLD_LIST: &str = "/v1/sys/policy";
const OF_TOKEN: &str = "/v1/sys/capabilities";
const OF_ACCESSOR: &str = "/v1/sys/capabilities-accessor";

fn name(input: &Input) -> String {
    input.capture().unwrap_or_default().to_owned()
}

impl HttpCall for v1::WritePolicyRequest {
    const ROUTES: &'static [Route] = &[write("/v1/sys/policies/acl/{name}"), write(OLD)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let policy = input.fields.text("policy")?;
        // `rules` is what it was called before.
        let rules = input.fields.text("rules")?;
        Ok(Self {
            name: name(input),
            policy: if policy.is_empty() { rules } else { policy },
        })
    }
}

impl HttpCall for v1::ReadPolicyRequest {
    const ROUTES: &'static [Route] = &[read("/v1/sys/policies/acl/{name}"), read(OLD)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self { name: name(input) })
    }

    fn to_reply(mut answer: Self::Answer, input: &Input) -> Reply {
        let (name, policy) = (
            std::mem::take(&mut answer.name),
            std::mem::take(&mut answer.policy),
        );
        match input.pattern {
            OLD => Reply::data_and_fields(Map::from_iter([
                ("name".to_owned(), name.into()),
                ("rules".to_owned(), policy.into()),
            ])),
            _ => Reply::data(json!({ "name": name, "policy": policy })),
        }
    }
}

impl HttpCall for v1::DeletePolicyRequest {
    const ROUTES: &'static [Route] = &[delete("/v1/sys/policies/acl/{name}"), delete(OLD)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self { name: name(input) })
    }
}

impl HttpCall for v1::ListPoliciesRequest {
    const ROUTES: &'static [Route] =
        &[list("/v1/sys/policies/acl"), list(OLD_LIST), read(OLD_LIST)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        input.part = Part::of(&input.query)?;
        Ok(Self {
            page_size: u32::try_from(PAGE_ROWS_MAX).unwrap_or(u32::MAX),
            page_token: String::new(),
        })
    }

    fn to_reply(mut answer: Self::Answer, input: &Input) -> Reply {
        if input.pattern != OLD_LIST {
            return Reply::list(answer.names, &input.part, Vec::new());
        }
        answer.names.sort_unstable();
        input.part.cut(&mut answer.names);
        let names = Value::from(answer.names);
        Reply::data_and_fields(Map::from_iter([
            ("keys".to_owned(), names.clone()),
            ("policies".to_owned(), names),
        ]))
    }
}

impl HttpCall for v1::GetCapabilitiesRequest {
    const ROUTES: &'static [Route] = &[
        write("/v1/sys/capabilities-self"),
        write(OF_TOKEN),
        write(OF_ACCESSOR),
    ];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let fields = &mut input.fields;
        // `path` is what it was called before; it may hold several, too.
        let (mut paths, path) = (fields.texts("paths")?, fields.texts("path")?);
        paths.extend(path);
        let target = match input.pattern {
            OF_TOKEN => Some(Target::Token(fields.text("token")?)),
            OF_ACCESSOR => Some(Target::Accessor(fields.text("accessor")?)),
            _ => {
                // Clients send their own token along; it is in the headers.
                fields.text("token")?;
                None
            }
        };
        Ok(Self { target, paths })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        let mut fields = Map::new();
        if let [one] = &answer.paths[..] {
            fields.insert("capabilities".to_owned(), json!(one.capabilities));
        }
        for one in answer.paths {
            fields.insert(one.path, one.capabilities.into());
        }
        Reply::data_and_fields(fields)
    }
}
