//! What a policy may say, and what is refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::types::limits::*;

fn refused(text: &str) -> PolicyError {
    match parse(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error,
    }
}

#[test]
fn hcl_as_the_peers_write_it() {
    let expected =
        parse("path \"a\" { capabilities = [\"read\"] }\npath \"b\" { policy = \"read\" }")
            .unwrap();
    for text in [
        "path \"a\" {capabilities=[\"read\"]} path \"b\" {policy=\"read\"}",
        "\u{feff}path \"a\" { capabilities = [\"read\",], }, \r\n \"path\" \"/b\" { \"policy\" = \"read\" }\r\n",
        "# one\n// two\n/* three\n */ path /* 4 */ \"a\" { # five\n capabilities = [ # six\n \"read\" // seven\n ] }\npath b { policy = \"read\" } # eight",
        "path \"\\u0061\" { capabilities = [\"re\\U00000061d\"] } path \"b\" { policy = \"read\" }",
    ] {
        assert!(parse(text).unwrap() == expected, "{text}");
    }
    assert_eq!(parse("").unwrap().rule_count(), 0);
    assert_eq!(parse(" # nothing\n").unwrap().rule_count(), 0);
    let named = parse("name = \" MixedCase \"").unwrap();
    assert_eq!(named.name().unwrap().as_str(), "mixedcase");
}

#[test]
fn json_in_its_forms() {
    let expected =
        parse("path \"a\" { capabilities = [\"read\"] }\npath \"b\" { policy = \"read\" }")
            .unwrap();
    for text in [
        r#"{"path": {"a": {"capabilities": ["read"]}, "b": {"policy": "read"}}}"#,
        r#" {"path": [{"a": {"capabilities": ["read"]}}, {"b": {"policy": "read"}}]}"#,
        r#"{"path": {"a": [{"capabilities": ["read"]}], "b": [{"policy": "read"}]}}"#,
        r#"{"path": {"a": {"capabilities": ["re\u0061d"]}}, "path": {"\/b": {"policy": "read"}}}"#,
    ] {
        assert!(parse(text).unwrap() == expected, "{text}");
    }
    let hcl = parse(
        "path \"a\" { allowed_parameters = { k = [\"v\", 1, -2.5, true] } denied_parameters { d = [] } required_parameters = [\"r\"] min_wrapping_ttl = \"5s\" max_wrapping_ttl = 90 } name = \"n\"",
    );
    let json = parse(
        r#"{"name": "n", "path": {"a": {"allowed_parameters": [{"k": ["v", 1, -25e-1, true]}], "denied_parameters": {"d": []}, "required_parameters": ["r"], "min_wrapping_ttl": 5, "max_wrapping_ttl": "1m30s"}}}"#,
    );
    assert!(hcl.unwrap() == json.unwrap());
    assert!(parse("{}").is_ok());
    let twice = r#"{"path": {"a": {"capabilities": ["read"]}, "a": {"capabilities": ["list"]}}}"#;
    assert_eq!(acl(&[twice]).capabilities("a"), ["list", "read"]);
    assert!(parse(r#"{"path": {"\ud83d\ude00": {}}}"#).is_ok());
}

#[test]
fn base64_of_either() {
    for text in [
        "path \"a\" {capabilities=[\"read\"]}",
        r#"{"path": {"a": {"capabilities": ["read"]}}}"#,
    ] {
        let encoded = STANDARD.encode(text);
        assert!(parse_base64(&encoded).unwrap() == parse(text).unwrap());
        assert_eq!(decode_base64(&encoded).unwrap(), text);
        assert!(parse(&encoded).is_err());
    }
    for bad in ["path", "!", "_-__", "//79/Q=="] {
        assert_eq!(
            parse_base64(bad).unwrap_err().kind(),
            PolicyErrorKind::Base64,
            "{bad}"
        );
    }
    let long = STANDARD.encode(vec![b' '; POLICY_TEXT_BYTES_MAX + 3]);
    assert_eq!(
        parse_base64(&long).unwrap_err().kind(),
        PolicyErrorKind::TextTooLong
    );
}

#[test]
fn mistakes_are_refused_with_line_and_path() {
    for (text, line, path, part) in [
        ("path \"x\" {", 1, None, "expected \"}\""),
        (
            "path \"x\" {capabilities=[\"fly\"]}",
            1,
            Some("x"),
            "unknown capability",
        ),
        (
            "path \"x\" {capabilities=[\"root\"]}",
            1,
            Some("x"),
            "unknown capability",
        ),
        (
            "path \"x\" {capabilities=[\"READ\"]}",
            1,
            Some("x"),
            "unknown capability",
        ),
        (
            "path \"x\" {capabilities=[\"deny\",\"fly\"]}",
            1,
            Some("x"),
            "unknown capability",
        ),
        (
            "path \"x\" {\n capabilities=[\"read\"] nonsense=1}",
            2,
            Some("x"),
            "unknown key (\"nonsense\")",
        ),
        (
            "\n\npth \"x\" {capabilities=[\"read\"]}",
            3,
            None,
            "unknown key (\"pth\")",
        ),
        (
            "path \"x\" {policy=\"root\"}",
            1,
            Some("x"),
            "unknown policy",
        ),
        (
            "path \"x\" {capabilities=\"read\"}",
            1,
            Some("x"),
            "has to be a list",
        ),
        (
            "path \"x\" {capabilities=[1]}",
            1,
            Some("x"),
            "has to be a string",
        ),
        (
            "path \"x\" {capabilities=[] capabilities=[]}",
            1,
            Some("x"),
            "stands twice",
        ),
        (
            "path \"x\" {allowed_parameters={k=[] K=[]}}",
            1,
            Some("x"),
            "stands twice",
        ),
        (
            "path \"x\" {allowed_parameters={k=\"v\"}}",
            1,
            Some("x"),
            "has to be a list",
        ),
        (
            "path \"x\" {allowed_parameters={k=[{a=1}]}}",
            1,
            Some("x"),
            "has to be a string, a number",
        ),
        (
            "path \"x\" {allowed_parameters={k=[0x10]}}",
            1,
            Some("x"),
            "a decimal number",
        ),
        (
            "path \"x\" {allowed_parameters=[]}{}",
            1,
            None,
            "expected a key",
        ),
        (
            "path \"x\" {required_parameters=[true]}",
            1,
            Some("x"),
            "has to be a string",
        ),
        (
            "path \"x\" {min_wrapping_ttl=\"5 minutes\"}",
            1,
            Some("x"),
            "not a duration",
        ),
        ("path \"x\" {min_wrapping_ttl=-1}", 1, Some("x"), "negative"),
        (
            "path \"x\" {min_wrapping_ttl=9 max_wrapping_ttl=8}",
            1,
            Some("x"),
            "is below",
        ),
        ("path \"x/+*\" {}", 1, Some("x/+*"), "is no wildcard"),
        ("path \"x\" \"y\" {}", 1, None, "expected \"{\""),
        ("path \"x\" = {}", 1, None, "expected \"{\""),
        ("path {}", 1, None, "a path in quotes"),
        ("path = { x = {} }", 1, None, "a path in quotes"),
        ("path \"x\" {} }", 1, None, "expected a key"),
        (
            "path \"x\" {capabilities=[\"read\" \"list\"]}",
            1,
            None,
            "expected \",\" or \"]\"",
        ),
        ("path \"x {}\n", 1, None, "a string doesn't end"),
        ("/* path", 1, None, "a comment doesn't end"),
        ("path \"\\x\" {}", 1, None, "unknown escape"),
        ("path \"\\ud800\" {}", 1, None, "unknown escape"),
        ("path <<E\nE\n {}", 1, None, "here-document"),
        ("path ; {}", 1, None, "can't stand here"),
        ("name = \"root\"", 1, None, "built in"),
        ("name = \" ROOT \"", 1, None, "built in"),
        ("name = \"r\u{f6}\u{f6}t\"", 1, None, "printable ASCII"),
        ("name = 1", 1, None, "has to be a string"),
        ("name \"x\" { }", 1, None, "expected \"=\""),
        ("{\"path\": {\"x\": 1}}", 1, None, "has to be an object"),
        ("{\"path\": [1]}", 1, None, "has to be an object"),
        (
            "{\"path\": {\"x\": {\"sub\": 1}}}",
            1,
            Some("x"),
            "unknown key",
        ),
        ("{\"pth\": {}}", 1, None, "unknown key"),
        ("{\n\"path\": {},}", 2, None, "a key in quotes"),
        ("{\"path\": {}} x", 1, None, "expected the end"),
        ("{\"path\": {}", 1, None, "expected \",\" or \"}\""),
        ("{\"path\" {}}", 1, None, "expected \":\""),
        (
            "{\"path\": {\"a\": {\"capabilities\": [01]}}}",
            1,
            None,
            "a number",
        ),
        ("{\"path\": nil}", 1, None, "expected a value"),
        ("{\"a\nb\": 1}", 1, None, "can't stand here"),
        ("{\"\\ud800x\": 1}", 1, None, "unknown escape"),
    ] {
        let error = refused(text);
        assert_eq!(error.line(), Some(line), "{text}: {error}");
        assert_eq!(error.path(), path, "{text}: {error}");
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
}

#[test]
fn bounds_hold_and_no_depth_overflows_the_stack() {
    let many = |n: usize, one: &str| one.repeat(n);
    let kind = |text: &str| refused(text).kind();
    assert_eq!(
        kind(&many(POLICY_TEXT_BYTES_MAX + 1, " ")),
        PolicyErrorKind::TextTooLong
    );
    assert!(parse(&many(POLICY_PATHS_MAX, "path \"x\" {}\n")).is_ok());
    assert_eq!(
        kind(&many(POLICY_PATHS_MAX + 1, "path \"x\" {}\n")),
        PolicyErrorKind::TooManyPaths
    );
    let long = many(POLICY_PATH_BYTES_MAX + 1, "x");
    assert_eq!(
        kind(&format!("path \"{long}\" {{}}")),
        PolicyErrorKind::PathTooLong
    );
    let names: String = (0..=POLICY_PARAMETERS_MAX)
        .map(|n| format!("k{n} = []\n"))
        .collect();
    assert_eq!(
        kind(&format!(
            "path \"x\" {{ allowed_parameters = {{ {names} }} }}"
        )),
        PolicyErrorKind::TooManyParameters
    );
    for list in ["capabilities", "required_parameters"] {
        let values = many(POLICY_PARAMETERS_MAX + 1, "\"read\",");
        assert_eq!(
            kind(&format!("path \"x\" {{ {list} = [{values}] }}")),
            PolicyErrorKind::TooManyParameters
        );
        let values = many(POLICY_PARAMETERS_MAX, "\"read\",");
        assert!(parse(&format!("path \"x\" {{ {list} = [{values}] }}")).is_ok());
    }
    for open in ["a {", "a = {", "path \"x\" {", "a {b = {"] {
        assert_eq!(
            kind(&many(100_000 / open.len(), open)),
            PolicyErrorKind::TooDeep,
            "{open}"
        );
    }
    assert_eq!(
        kind(&format!("a = {}", many(200_000, "["))),
        PolicyErrorKind::TooDeep
    );
    for open in ["{\"a\":", "{\"path\":[", "{\"a\":["] {
        assert_eq!(
            kind(&many(200_000 / open.len(), open)),
            PolicyErrorKind::TooDeep,
            "{open}"
        );
    }
    assert_eq!(
        kind(&format!("{{\"a\":{}", many(200_000, "["))),
        PolicyErrorKind::TooDeep
    );
    assert_eq!(
        kind(&many(50_000, "/* ")),
        PolicyErrorKind::Unterminated("a comment")
    );
}

#[test]
fn an_error_repeats_little_of_the_text() {
    let error = refused(&format!(
        "path \"{}\" {{ {} = 1 }}",
        "x".repeat(900),
        "y".repeat(900)
    ));
    assert!(error.to_string().len() < 250, "{error}");
}
