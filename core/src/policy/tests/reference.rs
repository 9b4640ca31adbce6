//! Policies straight from their rules: every rule is tried, wildcards by backtracking, the
//! best by pairwise comparison. Slow, and short enough to be read.

use std::cmp::Ordering;

use super::*;

/// A policy as pairs of a path and what is granted there.
pub(super) type Model = Vec<(String, Vec<Capability>)>;

pub(super) fn text_of(model: &Model) -> String {
    let rule = |(path, capabilities): &(String, Vec<Capability>)| {
        let names: Vec<_> = capabilities
            .iter()
            .map(|one| format!("{:?}", one.as_str()))
            .collect();
        format!(
            "path {path:?} {{ capabilities = [{}] }}\n",
            names.join(", ")
        )
    };
    model.iter().map(rule).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Char(char),
    Plus,
    Star,
}

fn parts(pattern: &str) -> Vec<Part> {
    let chars: Vec<char> = pattern.chars().collect();
    let at_segment = |at: usize| {
        (at == 0 || chars[at - 1] == '/') && chars.get(at + 1).is_none_or(|next| *next == '/')
    };
    let part = |(at, c): (usize, &char)| match c {
        '*' if at + 1 == chars.len() => Part::Star,
        '+' if at_segment(at) => Part::Plus,
        _ => Part::Char(*c),
    };
    chars.iter().enumerate().map(part).collect()
}

fn matches(parts: &[Part], path: &[char]) -> bool {
    match parts.split_first() {
        None => path.is_empty(),
        Some((Part::Star, _)) => true,
        Some((Part::Char(c), rest)) => path.first() == Some(c) && matches(rest, &path[1..]),
        Some((Part::Plus, rest)) => {
            matches(rest, path)
                || path.first().is_some_and(|c| *c != '/') && matches(parts, &path[1..])
        }
    }
}

fn is_exact(parts: &[Part]) -> bool {
    parts.iter().all(|part| matches!(part, Part::Char(_)))
}

/// The order of precedence, line by line.
fn precedence(a: &str, b: &str) -> Ordering {
    let (a_parts, b_parts) = (parts(a), parts(b));
    let first_wildcard = |parts: &[Part]| {
        parts
            .iter()
            .position(|part| !matches!(part, Part::Char(_)))
            .unwrap_or(usize::MAX)
    };
    let star = |parts: &[Part]| parts.last() == Some(&Part::Star);
    let pluses = |parts: &[Part]| parts.iter().filter(|part| **part == Part::Plus).count();
    let order = first_wildcard(&a_parts).cmp(&first_wildcard(&b_parts));
    let order = order.then(star(&b_parts).cmp(&star(&a_parts)));
    let order = order.then(pluses(&b_parts).cmp(&pluses(&a_parts)));
    let order = order.then(a.len().cmp(&b.len()));
    order.then(a.cmp(b))
}

/// What is granted on a path, with deny alone if it is among it; `None` without a rule.
pub(super) fn granted(models: &[Model], path: &str, list: bool) -> Option<Vec<Capability>> {
    let bare = path.strip_suffix('/').unwrap_or(path);
    let folder = format!("{bare}/");
    let tries = match list {
        true => vec![
            (true, &*folder),
            (true, bare),
            (false, &*folder),
            (false, bare),
        ],
        false => vec![(true, path), (false, path)],
    };
    let rules = || {
        models
            .iter()
            .flatten()
            .map(|(p, c)| (p.strip_prefix('/').unwrap_or(p), c))
    };
    let winner = tries.into_iter().find_map(|(exact, path)| {
        let path: Vec<char> = path.chars().collect();
        rules()
            .map(|(pattern, _)| pattern)
            .filter(|pattern| is_exact(&parts(pattern)) == exact)
            .filter(|pattern| matches(&parts(pattern), &path))
            .max_by(|a, b| precedence(a, b))
    })?;
    let all: Vec<Capability> = rules()
        .filter(|(pattern, _)| *pattern == winner)
        .flat_map(|(_, capabilities)| capabilities.clone())
        .collect();
    Some(match all.contains(&Capability::Deny) {
        true => vec![Capability::Deny],
        false => all,
    })
}
