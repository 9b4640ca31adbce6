//! The rules of the HTTP door that need no node.

use super::*;

fn headers(name: &'static str, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, value.parse().unwrap());
    headers
}

/// Planted bug: only the first header was looked at. Caught.
#[test]
fn another_namespace_is_refused_and_the_root_is_not() {
    let ok = |value: &str| other_namespace(&headers("x-vault-namespace", value)).is_ok();
    assert!(other_namespace(&HeaderMap::new()).is_ok());
    assert!(ok("") && ok("/") && ok(" "));
    for name in ["a", "/a", "a/", "root", "../"] {
        assert!(!ok(name), "{name}");
    }
    let mut twice = headers("x-vault-namespace", "");
    twice.append("x-vault-namespace", "a".parse().unwrap());
    assert!(other_namespace(&twice).is_err());
}

#[test]
fn who_asks_for_a_wrapped_answer_gets_no_bare_one() {
    let ok = |value: &str| wrapped(&headers("x-vault-wrap-ttl", value)).is_ok();
    assert!(wrapped(&HeaderMap::new()).is_ok());
    assert!(ok("") && ok("0") && ok("0s"));
    assert!(!ok("60") && !ok("5m") && !ok("x") && !ok("00"));
}

/// Reads a body as the call of a pattern.
fn read_as<C: HttpCall>(pattern: &'static str, body: &str) -> Result<C, Error> {
    C::from_http(&mut Input {
        pattern,
        captures: vec!["captured".to_owned()],
        query: Pairs::default(),
        fields: Fields::of_body(None, body.as_bytes())?,
        bytes: Bytes::new(),
        content_type: None,
        own_token: Some("own".to_owned()),
        is_async: false,
        part: Part::default(),
    })
}

#[test]
fn a_token_is_asked_for_in_the_words_of_the_peers() {
    let create = |body| read_as::<v1::CreateTokenRequest>("/v1/auth/token/create", body);
    let empty = create("").ok().unwrap();
    assert_eq!(
        empty,
        v1::CreateTokenRequest {
            ..Default::default()
        }
    );
    let all = create(
        r#"{"id":"custom","policies":["a"],"meta":{"k":1},"display_name":"d","num_uses":"3",
            "no_parent":true,"no_default_policy":"true","renewable":false,"ttl":"1h",
            "explicit_max_ttl":7200,"period":"2h","type":"batch"}"#,
    );
    let duration = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let wanted = v1::CreateTokenRequest {
        id: Some("custom".into()),
        policies: vec!["a".into()],
        meta: [("k".into(), "1".into())].into(),
        display_name: "d".into(),
        num_uses: Some(3),
        no_parent: true,
        no_default_policy: true,
        renewable: Some(false),
        ttl: duration(3600),
        explicit_max_ttl: duration(7200),
        period: duration(7200),
        r#type: v1::TokenType::Batch.into(),
        ..Default::default()
    };
    assert_eq!(all.ok().unwrap(), wanted);
    let one = |body| create(body).ok().unwrap();
    assert_eq!(one(r#"{"policies":"a,b"}"#).policies, ["a,b"]);
    assert_eq!(one(r#"{"lease":"90"}"#).ttl, duration(90));
    assert_eq!(one(r#"{"num_uses":0}"#).num_uses, None);
    for bad in [
        r#"{"num_uses":-1}"#,
        r#"{"num_uses":"many"}"#,
        r#"{"ttl":"-5s"}"#,
        r#"{"ttl":-5}"#,
        r#"{"ttl":"bogus"}"#,
        r#"{"period":"-1s"}"#,
        r#"{"explicit_max_ttl":"-1s"}"#,
        r#"{"meta":"str"}"#,
        r#"{"type":"other"}"#,
        r#"{"entity_alias":"joe"}"#,
        r#"{"policies":{"a":1}}"#,
    ] {
        let error = create(bad).err().map(|error| error.code);
        assert_eq!(error, Some(Code::InvalidArgument), "{bad}");
    }
    let orphan = read_as::<v1::CreateTokenRequest>("/v1/auth/token/create-orphan", "{}");
    assert!(orphan.is_ok_and(|call| call.orphan && !call.no_parent));
    let role = read_as::<v1::CreateTokenRequest>("/v1/auth/token/create/{role}", "{}");
    assert!(role.is_ok_and(|call| call.role == "captured"));
}

#[test]
fn a_lookup_without_a_token_is_of_the_callers_own() {
    let lookup = |body| read_as::<v1::LookupTokenRequest>("/v1/auth/token/lookup", body);
    assert!(lookup(r#"{"token":"x"}"#).is_ok_and(|call| call.token == "x"));
    assert!(lookup("{}").is_ok_and(|call| call.token == "own"));
}

#[test]
fn refusals_travel_between_nodes_and_keep_their_reason() {
    for call in [
        Refused::no_route(),
        Refused::unsupported_operation(),
        Refused::with(&Error::invalid_argument("x")),
        Refused::with(&not_offered("x")),
    ] {
        let bytes = prost::Message::encode_to_vec(&call);
        let there: Refused = prost::Message::decode(bytes.as_slice()).unwrap();
        assert_eq!(there, call);
    }
}

#[test]
fn uses_are_written_as_the_peers_write_them() {
    assert_eq!([None, Some(0), Some(5)].map(num_uses), [0, -1, 5]);
}

/// Each call that a standby passes on, or that a client can make, is at both doors: what has no
/// route stands here.
#[test]
fn every_call_has_a_route() {
    macro_rules! without_route {
        ($($call:ty),* $(,)?) => {
            [$((<$call as Call>::METHOD, <$call as HttpCall>::ROUTES.is_empty())),*]
        };
    }
    let all = calls!(without_route);
    let without: Vec<&str> = all
        .iter()
        .filter(|(_, none)| *none)
        .map(|(m, _)| *m)
        .collect();
    // Streams are for gRPC alone; a snapshot is streamed by a handler of its own (`backup.rs`).
    let streams = [
        "/tenure.v1.LeaseService/KeepAlive",
        "/tenure.v1.LeaseService/Watch",
        "/tenure.v1.BackupService/SaveSnapshot",
        <Refused as Call>::METHOD,
    ];
    assert_eq!(without, streams);
}
