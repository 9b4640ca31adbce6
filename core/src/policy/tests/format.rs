//! The canonical form.

use proptest::prelude::*;

use super::*;

#[test]
fn one_form_for_all_spellings() {
    let expected = "\
# About a.
path \"a\" { # open
  capabilities = [\"read\", \"list\"] # why
  allowed_parameters = {
    \"k\" = [\"1\", 2]
    x = []
  }

  # last
}

path \"b\" {}
";
    let expected = expected.replace("{ # open\n", "{\n  # open\n");
    for text in [
        "# About a.\npath \"a\" { # open\n capabilities=[\"read\",\"list\",], # why\nallowed_parameters {\"k\"=[\"1\",2] x=[]}\n\n\n# last\n}\npath \"b\" {}",
        &expected,
    ] {
        assert_eq!(fmt(text).unwrap(), expected);
    }
    assert_eq!(fmt("").unwrap(), "");
    assert_eq!(
        fmt("\n\n# a\n\n\n# b\n\nname=\"n\"").unwrap(),
        "# a\n\n# b\n\nname = \"n\"\n"
    );
    let list = "path \"a\" {\n  capabilities = [\n    # first\n    \"read\", # r\n    \"list\",\n    # end\n  ]\n}\n";
    assert_eq!(fmt(&list.replace("\n    ", "\n")).unwrap(), list);
}

#[test]
fn comments_in_odd_places_stay_comments() {
    for text in [
        "path /* 1 */ \"a\" /* 2 */ { /* 3 */ }",
        "path # 1\n \"a\" # 2\n {}",
        "path \"a\" { policy # 1\n = # 2\n \"read\" # 3\n, # 4\n }",
        "path \"a\" { policy = \"read\" # 1\n, /* 2\n 3 */ }",
        "path \"a\" { capabilities = [\"read\" # 1\n, /* 2\n 3 */ \"list\" /* 4 */ # 5\n] }",
        "path \"a\" {} # 1\n\n# 2\n",
        "path \"a\" {} /* 1\n 2 */ path \"b\" {}",
        "path \"a\" { policy = \"read\" # \"1\"\n\n\n // 2\n}",
    ] {
        let once = fmt(text).unwrap();
        assert_eq!(fmt(&once).unwrap(), once, "{text}");
        assert!(
            parse(&once).unwrap() == parse(text).unwrap(),
            "{text}\n{once}"
        );
        for mark in ["1", "2", "3", "4", "5"] {
            assert_eq!(once.contains(mark), text.contains(mark), "{text}\n{once}");
        }
    }
}

#[test]
fn what_is_no_policy_is_not_formatted() {
    assert_eq!(fmt("{}").unwrap_err().kind(), PolicyErrorKind::FormatsHcl);
    assert!(fmt("path \"a\" { nonsense = 1 }").is_err());
    assert!(fmt("path \"a\" {").is_err());
}

/// Spaces, line breaks and comments, as they may stand between any two words.
fn gap() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        6 => Just(" ".to_owned()),
        2 => Just("\n".to_owned()),
        1 => Just("\n\n\n".to_owned()),
        1 => Just("\t\r\n".to_owned()),
        1 => "# [a-z*/\"{}]{0,3} ?\n",
        1 => "//[a-z]{0,2}\n",
        1 => "/\\*[a-z#\n ]{0,4}\\*/",
    ];
    proptest::collection::vec(part, 1..4).prop_map(|parts| parts.concat())
}

/// The words of a policy.
fn words() -> impl Strategy<Value = Vec<&'static str>> {
    let attribute = proptest::sample::select(vec![
        "capabilities = [ \"read\" , \"list\" , ]",
        "capabilities = [ ] ,",
        "policy = \"write\"",
        "allowed_parameters { k = [ 1 , [ ] ] \"*\" = [ ] }",
        "denied_parameters = { } ,",
        "required_parameters = [ \"a\" ]",
        "max_wrapping_ttl = \"1h\"",
    ]);
    let rule = proptest::collection::vec(attribute, 0..4).prop_map(|attributes| {
        let mut words = vec!["path", "\"a/{{identity.entity.id}}/*\"", "{"];
        words.extend(attributes.iter().flat_map(|one| one.split(' ')));
        words.push("}");
        words
    });
    let name = Just(vec!["name", "=", "\"n\""]);
    proptest::collection::vec(prop_oneof![4 => rule, 1 => name], 0..4)
        .prop_map(|items| items.concat())
}

fn text() -> impl Strategy<Value = String> {
    words().prop_flat_map(|words| {
        proptest::collection::vec(gap(), words.len() + 1).prop_map(move |gaps| {
            let ends = words.iter().copied().chain([""]);
            gaps.iter()
                .zip(ends)
                .map(|(gap, word)| gap.clone() + word)
                .collect::<String>()
        })
    })
}

/// The comments of a text, by a scan of its own.
fn comment_letters(text: &str) -> String {
    let mut letters = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (comment, len) = if rest.starts_with("/*") {
            let len = rest.find("*/").unwrap() + 2;
            (&rest[2..len - 2], len)
        } else if c == '#' || rest.starts_with("//") {
            let len = rest.find('\n').unwrap_or(rest.len());
            (&rest[1..len], len)
        } else if c == '"' {
            ("", rest[1..].find('"').unwrap() + 2)
        } else {
            ("", c.len_utf8())
        };
        letters.extend(comment.chars().filter(char::is_ascii_lowercase));
        rest = &rest[len..];
    }
    let mut letters: Vec<_> = letters.chars().collect();
    letters.sort_unstable();
    letters.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn formatting_is_stable_and_changes_nothing(text in text()) {
        if let Ok(policy) = parse(&text) {
            let once = fmt(&text).unwrap();
            prop_assert!(parse(&once).unwrap() == policy, "{}\n{}", text, once);
            prop_assert_eq!(&fmt(&once).unwrap(), &once);
            prop_assert_eq!(comment_letters(&once), comment_letters(&text));
            prop_assert!(once.lines().all(|line| line.starts_with("/*") || !line.ends_with([' ', '\t'])) || once.contains("/*"));
        }
    }
}
