//! Paths of mounts: what no route of its own serves goes to the secrets engine that answers for it.
//! Data is JSON text on both ways and isn't looked into; what a path takes, its engine knows.

use serde_json::{Map, Value};
use tenure_core::types::limits::PAGE_ROWS_MAX;
use tenure_proto::v1;
use tonic::Code;

use super::{
    HttpCall,
    body::{Input, Pairs, json_text},
    envelope::Reply,
    part::Part,
    route::{LOGICAL, Route, delete, list, patch, read, write},
    seconds,
};
use crate::error::Error;

/// The content type of a PATCH.
const MERGE_PATCH: &[u8] = b"application/merge-patch+json";
/// The first segment of the cubbyhole.
const CUBBYHOLE: &str = "cubbyhole";

fn path(input: &Input) -> String {
    input.capture().unwrap_or_default().to_owned()
}

/// The parameters of a read, as an engine takes them. One that is given more than once is a list.
fn parameters(query: &Pairs) -> Vec<u8> {
    let mut fields: Map<String, Value> = Map::new();
    for (name, value) in query.iter().filter(|(name, _)| *name != "list") {
        match fields.get_mut(name) {
            None => drop(fields.insert(name.to_owned(), value.into())),
            Some(Value::Array(items)) => items.push(value.into()),
            Some(first) => *first = Value::from(vec![first.take(), value.into()]),
        }
    }
    match fields.is_empty() {
        true => Vec::new(),
        false => Value::from(fields).to_string().into_bytes(),
    }
}

impl HttpCall for v1::ReadRequest {
    const ROUTES: &'static [Route] = &[read(LOGICAL)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let path = path(input);
        if path.ends_with('/') {
            // A folder holds names, and nothing of its own.
            return Err(Error::new(Code::NotFound, "SECRET_NOT_FOUND", ""));
        }
        let data = parameters(&input.query);
        Ok(Self { path, data })
    }

    fn to_reply(mut answer: Self::Answer, _input: &Input) -> Reply {
        let data = std::mem::take(&mut answer.data);
        let after = seconds(answer.lease_duration.as_ref());
        let reply = Reply::text(data, after, std::mem::take(&mut answer.warnings));
        match answer.deleted {
            true => reply.not_found(),
            false => reply,
        }
    }
}

/// Whether it lies in the cubbyhole, where a list is never cut.
fn is_cubbyhole(path: &str) -> bool {
    path.split('/').next() == Some(CUBBYHOLE)
}

impl HttpCall for v1::ListRequest {
    const ROUTES: &'static [Route] = &[list(LOGICAL)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        if !is_cubbyhole(&path(input)) {
            input.part = Part::of(&input.query)?;
        }
        Ok(Self {
            path: path(input),
            page_size: u32::try_from(PAGE_ROWS_MAX).unwrap_or(u32::MAX),
            page_token: String::new(),
        })
    }

    fn to_reply(mut answer: Self::Answer, input: &Input) -> Reply {
        if is_cubbyhole(&path(input)) && Part::is_asked_by(&input.query) {
            let warning = "after and limit: lists of the cubbyhole aren't cut";
            answer.warnings.push(warning.to_owned());
        }
        Reply::list(answer.keys, &input.part, answer.warnings)
    }
}

/// What a write is answered with, if it is anything.
fn written(data: Vec<u8>, warnings: Vec<String>) -> Reply {
    match data.is_empty() {
        true => Reply::done_with(warnings),
        false => Reply::text(data, 0, warnings),
    }
}

impl HttpCall for v1::WriteRequest {
    const ROUTES: &'static [Route] = &[write(LOGICAL)];
    const TAKES_BYTES: bool = true;

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self {
            path: path(input),
            data: json_text(input.content_type.as_ref(), &input.bytes)?,
            request_id: String::new(),
        })
    }

    fn to_reply(mut answer: Self::Answer, _input: &Input) -> Reply {
        let data = std::mem::take(&mut answer.data);
        written(data, std::mem::take(&mut answer.warnings))
    }
}

impl HttpCall for v1::PatchRequest {
    const ROUTES: &'static [Route] = &[patch(LOGICAL)];
    const TAKES_BYTES: bool = true;

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let kind = input.content_type.as_ref().map(|kind| kind.as_bytes());
        let kind = kind.and_then(|kind| kind.split(|byte| *byte == b';').next());
        let is_patch = kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(MERGE_PATCH));
        if !is_patch {
            let message = "a PATCH must be of the content type application/merge-patch+json";
            let reason = "UNSUPPORTED_MEDIA_TYPE";
            return Err(Error::new(Code::InvalidArgument, reason, message));
        }
        Ok(Self {
            path: path(input),
            data: json_text(None, &input.bytes)?,
            request_id: String::new(),
        })
    }

    fn to_reply(mut answer: Self::Answer, _input: &Input) -> Reply {
        let data = std::mem::take(&mut answer.data);
        written(data, std::mem::take(&mut answer.warnings))
    }
}

impl HttpCall for v1::DeleteRequest {
    const ROUTES: &'static [Route] = &[delete(LOGICAL)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self { path: path(input) })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        Reply::done_with(answer.warnings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_texts_and_lists_of_them() {
        for (query, wanted) in [
            ("", ""),
            ("list=false", ""),
            ("version=2", r#"{"version":"2"}"#),
            ("a=1&b=%22&a=2&a=3", r#"{"a":["1","2","3"],"b":"\""}"#),
        ] {
            let query = Pairs::of_query(query).ok().unwrap();
            assert_eq!(parameters(&query), wanted.as_bytes());
        }
    }
}
