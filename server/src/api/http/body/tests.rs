//! Fields as the peers read them.

use super::*;

fn fields(body: &str) -> Fields {
    match Fields::of_body(None, body.as_bytes()) {
        Ok(fields) => fields,
        Err(error) => panic!("{body}: {}", error.message),
    }
}

fn form(body: &str) -> Result<Fields, Error> {
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
    Fields::of_body(Some(&kind), body.as_bytes())
}

#[test]
fn nothing_is_an_empty_object_and_only_an_object_is_a_body() {
    for body in ["", "  \n", "null", " null ", "{}"] {
        assert!(fields(body).0.is_empty(), "{body}");
    }
    for body in ["[]", "[{}]", "1", "\"a\"", "true", "{}{}", "{\"a\":", "x"] {
        let read = Fields::of_body(None, body.as_bytes());
        assert!(read.is_err(), "{body}");
    }
}

#[test]
fn durations_are_seconds_or_text() {
    for (body, wanted) in [
        ("60", 60),
        ("\"60\"", 60),
        ("\"60s\"", 60),
        ("\"1h30m\"", 5400),
        ("\"2d\"", 172_800),
        ("\"20m\"", 1200),
        ("0", 0),
    ] {
        let read = fields(&format!("{{\"ttl\":{body}}}")).duration("ttl");
        let seconds = read.ok().flatten().map(|ttl| ttl.seconds);
        assert_eq!(seconds, Some(wanted), "{body}");
    }
    for body in ["null", "\"\""] {
        let read = fields(&format!("{{\"ttl\":{body}}}")).duration("ttl");
        assert!(matches!(read, Ok(None)), "{body}");
    }
    for body in [
        "-5",
        "\"-5s\"",
        "\"bogus\"",
        "1.5",
        "1e3",
        "true",
        "[]",
        "{}",
        "\"1h90\"",
        "99999999999999999999",
    ] {
        let read = fields(&format!("{{\"ttl\":{body}}}")).duration("ttl");
        assert!(read.is_err(), "{body}");
    }
}

#[test]
fn types_are_taken_with_lenience() {
    let mut all = fields(
        r#"{"n":"7","m":7,"big":12345678901234567890123,"b":"true","c":false,"one":"a,b",
            "many":["a",1],"map":{"a":1,"b":true,"c":"x","d":12345678901234567890123},"bad":[[]]}"#,
    );
    assert_eq!(all.count("n").ok().flatten(), Some(7));
    assert_eq!(all.count("m").ok().flatten(), Some(7));
    assert_eq!(
        all.text("big").ok().as_deref(),
        Some("12345678901234567890123")
    );
    assert_eq!(all.flag("b").ok().flatten(), Some(true));
    assert_eq!(all.flag("c").ok().flatten(), Some(false));
    assert_eq!(all.texts("one").unwrap_or_default(), ["a,b"]);
    assert_eq!(all.texts("many").unwrap_or_default(), ["a", "1"]);
    let map = all.text_map("map").unwrap_or_default();
    let (keys, values): (Vec<_>, Vec<_>) = map.into_iter().unzip();
    assert_eq!(keys, ["a", "b", "c", "d"]);
    assert_eq!(values, ["1", "true", "x", "12345678901234567890123"]);
    assert!(all.texts("bad").is_err());
    assert!(all.text("absent").is_ok_and(|text| text.is_empty()));
    for (body, name) in [(r#"{"a":"many"}"#, "a"), (r#"{"a":-1}"#, "a")] {
        assert!(
            fields(body)
                .count(match name {
                    "a" => "a",
                    _ => "",
                })
                .is_err()
        );
    }
    assert!(fields(r#"{"a":4294967296}"#).count("a").is_err());
    assert!(fields(r#"{"a":"x"}"#).flag("a").is_err());
    assert!(fields(r#"{"a":"x"}"#).text_map("a").is_err());
    assert!(fields(r#"{"a":{"b":{}}}"#).text_map("a").is_err());
    assert!(fields(r#"{"a":{}}"#).text("a").is_err());
}

#[test]
fn unknown_fields_are_named() {
    let mut some = fields(r#"{"known":1,"zeta":2,"alpha":{}}"#);
    assert!(some.text("known").is_ok());
    let told = some.left().unwrap_or_default();
    assert!(told.ends_with("alpha, zeta"), "{told}");
    assert!(fields("{}").left().is_none());
}

#[test]
fn forms_are_read_and_json_that_says_form_is_json() {
    let mut read = form("a=1&b=x%20y&c=p+q&d=1&d=2&e").ok().unwrap();
    assert_eq!(read.count("a").ok().flatten(), Some(1));
    assert_eq!(read.text("b").ok().as_deref(), Some("x y"));
    assert_eq!(read.text("c").ok().as_deref(), Some("p q"));
    assert_eq!(read.texts("d").unwrap_or_default(), ["1", "2"]);
    assert_eq!(read.text("e").ok().as_deref(), Some(""));
    assert!(read.left().is_none());
    let mut json = form(r#" {"a": "1=2&3"}"#).ok().unwrap();
    assert_eq!(json.text("a").ok().as_deref(), Some("1=2&3"));
    assert!(form("a=%zz").is_err());
    assert!(form(&"a&".repeat(100_000)).is_err());
}

#[test]
fn queries_are_bounded() {
    let query = Pairs::of_query("list=true&token=hvs.a%2Bb&list=false")
        .ok()
        .unwrap();
    assert!(query.is_true("list"));
    assert_eq!(query.get("token"), Some("hvs.a+b"));
    assert!(!query.is_true("absent"));
    assert!(Pairs::of_query(&"a".repeat(HTTP_QUERY_BYTES_MAX)).is_ok());
    assert!(Pairs::of_query(&"a".repeat(HTTP_QUERY_BYTES_MAX + 1)).is_err());
    assert!(Pairs::of_query(&"a&".repeat(HTTP_QUERY_PAIRS_MAX)).is_ok());
    assert!(Pairs::of_query(&"a&".repeat(HTTP_QUERY_PAIRS_MAX + 1)).is_err());
}

#[test]
fn a_body_as_json_text_is_the_very_bytes_unless_it_is_a_form() {
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    for (kind, body, wanted) in [
        (None, "", ""),
        (None, " null\n", ""),
        (None, r#"{"n":1.10,"n":2}"#, r#"{"n":1.10,"n":2}"#),
        (None, "[", "["),
        (Some(&kind), r#"{"a": 1}"#, r#"{"a": 1}"#),
        (
            Some(&kind),
            "a=1&b=x%20y&a=2",
            r#"{"a":["1","2"],"b":"x y"}"#,
        ),
    ] {
        let read = json_text(kind, body.as_bytes()).ok().unwrap();
        assert_eq!(String::from_utf8(read).unwrap(), wanted);
    }
    assert!(json_text(Some(&kind), b"a=%zz").is_err());
}

#[test]
fn what_nobody_takes_is_told_with_its_place() {
    let mut all = fields(r#"{"a":{"b":1,"c":"x","d":false},"e":"","f":true,"g":0}"#);
    let mut inner = all.fields("a").ok().unwrap();
    assert!(matches!(inner.integer("b"), Ok(Some(1))));
    inner.ignore(&["c", "d"]);
    all.leave("a", inner);
    all.ignore(&["e", "f", "g"]);
    let left = all.left().unwrap();
    assert!(left.ends_with(": a.c, f, g"), "{left}");
    assert!(fields(r#"{"a":1}"#).fields("a").is_err());
}
