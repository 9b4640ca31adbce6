//! What goes back to an HTTP client: the envelope of Vault, bare JSON, or nothing. Decides nothing.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};
use tonic::{Code, body::Body, metadata::MetadataMap};
use zeroize::Zeroizing;

use super::part::Part;
use crate::listen::RequestId;

/// Kinds of bodies.
const JSON: &str = "application/json";
const FILE: &str = "application/octet-stream";

/// An answer, before it is bytes.
pub struct Reply {
    status: StatusCode,
    code: Code,
    content: Content,
    /// What it tells of a rate limit.
    told: Vec<(&'static str, HeaderValue)>,
    location: Option<HeaderValue>,
}

/// Headers of an answer of the pipeline that HTTP shows, too.
const TOLD: [&str; 3] = ["x-ratelimit-limit", "x-ratelimit-remaining", "retry-after"];

enum Content {
    /// No body at all.
    Nothing,
    /// The envelope.
    Enveloped(Box<Envelope>),
    /// JSON of its own shape.
    Bare(Value),
    /// A file, as it comes.
    File(Body),
    /// What isn't JSON, with its media type.
    Plain(String, &'static str),
}

/// What an envelope holds.
enum Data {
    /// Ours.
    Value(Value),
    /// JSON text that goes out as it is: no digit of its numbers is lost.
    Text(Zeroizing<Vec<u8>>),
}

impl Default for Data {
    fn default() -> Self {
        Self::Value(Value::Null)
    }
}

#[derive(Default)]
struct Envelope {
    lease: Option<(String, bool, i64)>,
    data: Data,
    beside: Map<String, Value>,
    auth: Value,
    warnings: Vec<String>,
}

impl Reply {
    fn enveloped(envelope: Envelope) -> Self {
        Self {
            status: StatusCode::OK,
            code: Code::Ok,
            content: Content::Enveloped(Box::new(envelope)),
            told: Vec::new(),
            location: None,
        }
    }

    /// 204: done, and nothing to say.
    pub fn done() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            code: Code::Ok,
            content: Content::Nothing,
            told: Vec::new(),
            location: None,
        }
    }

    /// 200 with `data`.
    pub fn data(data: Value) -> Self {
        Self::enveloped(Envelope {
            data: Data::Value(data),
            ..Envelope::default()
        })
    }

    /// 200 with `data` that is JSON text already, empty for none, and the seconds after which to
    /// read it again.
    pub fn text(data: Vec<u8>, seconds: i64, warnings: Vec<String>) -> Self {
        let data = match data.is_empty() {
            true => Data::default(),
            false => Data::Text(Zeroizing::new(data)),
        };
        Self::enveloped(Envelope {
            lease: Some((String::new(), false, seconds)),
            data,
            warnings,
            ..Envelope::default()
        })
    }

    /// The same as a 404: what is known of something that isn't there.
    pub fn not_found(self) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code: Code::NotFound,
            ..self
        }
    }

    /// 307: ask there.
    pub fn elsewhere(location: HeaderValue) -> Self {
        Self {
            location: Some(location),
            ..Self::bare(StatusCode::TEMPORARY_REDIRECT, json!({ "errors": [] }))
        }
    }

    /// 200 with fields that some `sys` paths show both in `data` and beside it. None of them can
    /// take the place of the envelope's own.
    pub fn data_and_fields(fields: Map<String, Value>) -> Self {
        Self::enveloped(Envelope {
            beside: fields.clone(),
            data: Data::Value(fields.into()),
            ..Envelope::default()
        })
    }

    /// 200 with `auth`.
    pub fn auth(auth: Value, warnings: Vec<String>) -> Self {
        Self::enveloped(Envelope {
            auth,
            warnings,
            ..Envelope::default()
        })
    }

    /// 200 about a lease: seconds that it has, and whether it can be renewed.
    pub fn lease(id: String, seconds: i64, renewable: bool, warnings: Vec<String>) -> Self {
        Self::enveloped(Envelope {
            lease: Some((id, renewable, seconds)),
            warnings,
            ..Envelope::default()
        })
    }

    /// 202 with warnings: it is being done, and this is to be known.
    pub fn started(warnings: Vec<String>) -> Self {
        Self {
            status: StatusCode::ACCEPTED,
            ..Self::enveloped(Envelope {
                warnings,
                ..Envelope::default()
            })
        }
    }

    /// 204, or 200 with warnings if there are any.
    pub fn done_with(warnings: Vec<String>) -> Self {
        if warnings.is_empty() {
            return Self::done();
        }
        Self::enveloped(Envelope {
            warnings,
            ..Envelope::default()
        })
    }

    /// 200 with `data.keys`, the part of them that is asked for, sorted; 404 without a word when there
    /// are none.
    pub fn list(
        keys: impl IntoIterator<Item = String>,
        part: &Part,
        warnings: Vec<String>,
    ) -> Self {
        let mut keys: Vec<String> = keys.into_iter().collect();
        keys.sort_unstable();
        keys.dedup();
        part.cut(&mut keys);
        if keys.is_empty() {
            return Self {
                code: Code::NotFound,
                ..Self::bare(StatusCode::NOT_FOUND, json!({ "errors": [] }))
            };
        }
        Self::enveloped(Envelope {
            data: Data::Value(json!({ "keys": keys })),
            warnings,
            ..Envelope::default()
        })
    }

    /// JSON without an envelope.
    pub fn bare(status: StatusCode, body: Value) -> Self {
        Self {
            status,
            code: Code::Ok,
            content: Content::Bare(body),
            told: Vec::new(),
            location: None,
        }
    }

    /// A file.
    pub fn file(body: Body) -> Self {
        Self {
            status: StatusCode::OK,
            code: Code::Ok,
            content: Content::File(body),
            location: None,
            told: Vec::new(),
        }
    }

    /// 200 with a text of this media type.
    pub fn plain(text: String, kind: &'static str) -> Self {
        Self {
            content: Content::Plain(text, kind),
            ..Self::bare(StatusCode::OK, Value::Null)
        }
    }

    /// A refusal.
    pub fn error(status: StatusCode, code: Code, message: &str) -> Self {
        let body = match message {
            "" => json!({ "errors": [] }),
            message => json!({ "errors": [message] }),
        };
        Self {
            code,
            ..Self::bare(status, body)
        }
    }

    /// Adds a warning to an answer. One without a body gets an envelope for it; bare JSON has no
    /// place for one.
    pub fn warn(&mut self, warning: String) {
        match &mut self.content {
            Content::Enveloped(envelope) => envelope.warnings.push(warning),
            Content::Nothing => *self = Self::done_with(vec![warning]),
            Content::Bare(_) | Content::Plain(..) | Content::File(_) => {}
        }
    }

    /// Shows what an answer of the pipeline tells of a rate limit.
    pub fn tell(&mut self, headers: &MetadataMap) {
        let told = TOLD.iter().filter_map(|name| {
            let value = headers.get(*name)?.to_str().ok()?;
            Some((*name, HeaderValue::from_str(value).ok()?))
        });
        self.told = told.collect();
    }

    /// Takes the body away, for HEAD.
    pub fn without_body(mut self) -> Self {
        self.content = Content::Nothing;
        self
    }

    /// The answer as it goes out. `id` names the request.
    pub fn into_response(self, id: Option<RequestId>) -> Response<Body> {
        let text = |mut text: Vec<u8>, kind| {
            if !text.ends_with(b"\n") {
                text.push(b'\n');
            }
            let whole = http_body_util::Full::new(Bytes::from(text));
            (Body::new(whole), kind)
        };
        let (body, kind) = match self.content {
            Content::Nothing => (Body::empty(), ""),
            Content::Plain(plain, kind) => text(plain.into_bytes(), kind),
            Content::Bare(value) => text(value.to_string().into_bytes(), JSON),
            Content::Enveloped(envelope) => text(envelope.into_json(id), JSON),
            Content::File(body) => (body, FILE),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let set = HeaderValue::from_static;
        headers.insert(header::CACHE_CONTROL, set("no-store"));
        for (name, value) in self.told {
            headers.insert(name, value);
        }
        if !kind.is_empty() {
            headers.insert(header::CONTENT_TYPE, set(kind));
        }
        if let Some(location) = self.location {
            headers.insert(header::LOCATION, location);
        }
        response.extensions_mut().insert(self.code);
        response
    }
}

impl Envelope {
    fn into_json(self, id: Option<RequestId>) -> Vec<u8> {
        let (lease_id, renewable, seconds) = self.lease.unwrap_or_default();
        let warnings = match self.warnings.is_empty() {
            true => Value::Null,
            false => self.warnings.into(),
        };
        let mut fields = self.beside;
        fields.extend([
            (
                "request_id".to_owned(),
                id.map_or_else(String::new, |id| id.to_string()).into(),
            ),
            ("lease_id".to_owned(), lease_id.into()),
            ("renewable".to_owned(), renewable.into()),
            ("lease_duration".to_owned(), seconds.into()),
            ("wrap_info".to_owned(), Value::Null),
            ("warnings".to_owned(), warnings),
            ("auth".to_owned(), self.auth),
        ]);
        fields.remove("data");
        let mut text = Value::from(fields).to_string().into_bytes();
        // Its closing brace comes after the data, which may be text already.
        text.pop();
        text.extend_from_slice(b",\"data\":");
        match &self.data {
            Data::Value(value) => text.extend_from_slice(value.to_string().as_bytes()),
            Data::Text(data) => text.extend_from_slice(data),
        }
        text.push(b'}');
        text
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn body(reply: Reply) -> (StatusCode, Option<Value>) {
        let response = reply.into_response(None);
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).ok())
    }

    #[tokio::test]
    async fn the_envelope_has_these_keys_and_no_other() {
        let (status, value) = body(Reply::data(json!({"a": 1}))).await;
        assert_eq!(status, StatusCode::OK);
        let mut keys: Vec<String> = value
            .unwrap()
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        keys.sort();
        let wanted = [
            "auth",
            "data",
            "lease_duration",
            "lease_id",
            "renewable",
            "request_id",
            "warnings",
            "wrap_info",
        ];
        assert_eq!(keys, wanted);
    }

    #[tokio::test]
    async fn data_goes_out_as_it_came_in() {
        let data = br#"{"n":12345678901234567890,"x":1e400,"n":0.10}"#;
        let response = Reply::text(data.to_vec(), 60, Vec::new()).into_response(None);
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(text.contains(std::str::from_utf8(data).unwrap()), "{text}");
        let (status, missing) = body(Reply::text(Vec::new(), 0, Vec::new()).not_found()).await;
        assert_eq!(
            (status, missing.unwrap()["data"].clone()),
            (StatusCode::NOT_FOUND, Value::Null)
        );
        let beside = Map::from_iter([("data".to_owned(), json!(1)), ("a".to_owned(), json!(2))]);
        let (_, both) = body(Reply::data_and_fields(beside)).await;
        let both = both.unwrap();
        assert_eq!((&both["data"]["data"], &both["a"]), (&json!(1), &json!(2)));
    }

    #[tokio::test]
    async fn nothing_is_204_and_an_empty_list_is_404_without_a_word() {
        assert_eq!(body(Reply::done()).await, (StatusCode::NO_CONTENT, None));
        let empty = body(Reply::list([], &Part::default(), Vec::new())).await;
        assert_eq!(
            empty,
            (StatusCode::NOT_FOUND, Some(json!({ "errors": [] })))
        );
        let (status, full) = body(Reply::list(
            ["b".into(), "a".into(), "b".into()],
            &Part::default(),
            Vec::new(),
        ))
        .await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(full.unwrap()["data"], json!({ "keys": ["a", "b"] }));
        let mut done = Reply::done();
        done.warn("late".into());
        let (status, warned) = body(done).await;
        assert_eq!(
            (status, warned.unwrap()["warnings"].clone()),
            (StatusCode::OK, json!(["late"]))
        );
        let (status, warned) = body(Reply::done_with(vec!["careful".into()])).await;
        assert_eq!(
            (status, warned.unwrap()["warnings"].clone()),
            (StatusCode::OK, json!(["careful"]))
        );
    }
}
