//! The API reference of docs/api, made from the comments of the public `.proto` files. The test
//! fails when it isn't what they say; `make docs` writes it anew.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, env, fmt::Write, fs, path::Path};

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

/// Set by `make docs`.
const WRITE: &str = "TENURE_WRITE_DOCS";
const PACKAGE: &str = ".tenure.v1.";

/// Comments of a file by the path of what they stand on.
type Comments = BTreeMap<Vec<i32>, String>;

#[test]
fn the_reference_is_what_the_contract_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("tenure/v1");
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".proto"))
        .map(|name| format!("tenure/v1/{name}"))
        .collect();
    names.sort();
    let set = protox::compile(&names, [root]).unwrap();
    let files: Vec<_> = (set.file.iter())
        .filter(|file| names.iter().any(|name| name == file.name()))
        .collect();
    assert_eq!(files.len(), names.len());

    let homes = homes(&files);
    let mut pages = BTreeMap::from([("README.md".to_owned(), index(&files))]);
    for file in &files {
        pages.insert(format!("{}.md", stem(file)), page(file, &homes));
    }
    let docs = root.join("../docs/api");
    if env::var_os(WRITE).is_some() {
        fs::create_dir_all(&docs).unwrap();
        for (name, text) in &pages {
            fs::write(docs.join(name), text).unwrap();
        }
    }
    let mut kept: Vec<_> = fs::read_dir(&docs)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    kept.sort();
    assert_eq!(kept, pages.keys().cloned().collect::<Vec<_>>());
    for (name, text) in &pages {
        let kept = fs::read_to_string(docs.join(name)).unwrap();
        assert!(kept == *text, "docs/api/{name} is old: run `make docs`");
    }
}

/// The page on which each message and enum stands.
fn homes(files: &[&FileDescriptorProto]) -> BTreeMap<String, String> {
    let mut homes = BTreeMap::new();
    for file in files {
        let messages = file.message_type.iter().map(DescriptorProto::name);
        let enums = file.enum_type.iter().map(EnumDescriptorProto::name);
        for name in messages.chain(enums) {
            homes.insert(name.to_owned(), stem(file).to_owned());
        }
    }
    homes
}

fn stem(file: &FileDescriptorProto) -> &str {
    let name = file.name().trim_end_matches(".proto");
    name.rsplit('/').next().unwrap_or(name)
}

fn comments(file: &FileDescriptorProto) -> Comments {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    locations
        .filter_map(|location| {
            let text = location.leading_comments.as_deref()?;
            let lines: Vec<_> = text.lines().map(str::trim).collect();
            Some((location.path.clone(), lines.join(" ").trim().to_owned()))
        })
        .collect()
}

/// What stands above `syntax`, as paragraphs; indented lines are a block.
fn about(file: &FileDescriptorProto) -> String {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    let above = locations.filter(|location| location.path == [12]);
    let text: String = above
        .flat_map(|location| location.leading_comments.as_deref())
        .collect();
    let (mut out, mut in_block) = (String::new(), false);
    for line in text.lines() {
        let line = line.strip_prefix(' ').unwrap_or(line);
        let is_block = line.starts_with("  ");
        if is_block != in_block && !line.is_empty() {
            out.push('\n');
            in_block = is_block;
        }
        writeln!(out, "{}{line}", if is_block { "  " } else { "" }).unwrap();
    }
    out.trim().to_owned()
}

fn index(files: &[&FileDescriptorProto]) -> String {
    let mut out = String::from(
        "# API reference\n\nPackage `tenure.v1`, made from `proto/tenure/v1` by `make docs`.\n\n\
         | page | services | about |\n|---|---|---|\n",
    );
    for file in files {
        let services: Vec<_> = (file.service.iter())
            .map(|service| format!("`{}`", service.name()))
            .collect();
        let (stem, services) = (stem(file), services.join(", "));
        let about = about(file)
            .split("\n\n")
            .next()
            .unwrap_or_default()
            .replace('\n', " ");
        writeln!(out, "| [{stem}]({stem}.md) | {services} | {about} |").unwrap();
    }
    out
}

fn page(file: &FileDescriptorProto, homes: &BTreeMap<String, String>) -> String {
    let comments = comments(file);
    let mut out = format!("# {}\n\n{}\n", file.name(), about(file));
    for (index, service) in (0..).zip(&file.service) {
        render_service(&mut out, service, &[6, index], &comments, homes);
    }
    for (index, message) in (0..).zip(&file.message_type) {
        render_message(&mut out, message, "", &[4, index], &comments, homes);
    }
    for (index, item) in (0..).zip(&file.enum_type) {
        render_enum(&mut out, item, &[5, index], &comments);
    }
    out
}

fn comment<'a>(comments: &'a Comments, path: &[i32]) -> &'a str {
    comments.get(path).map_or("", String::as_str)
}

fn heading(out: &mut String, name: &str, about: &str) {
    writeln!(out, "\n## {name}\n").unwrap();
    if !about.is_empty() {
        writeln!(out, "{about}\n").unwrap();
    }
}

fn render_service(
    out: &mut String,
    service: &ServiceDescriptorProto,
    path: &[i32],
    comments: &Comments,
    homes: &BTreeMap<String, String>,
) {
    heading(out, service.name(), comment(comments, path));
    out.push_str("| call | takes | gives | about |\n|---|---|---|---|\n");
    for (index, method) in (0..).zip(&service.method) {
        let stream = |yes, name| {
            let link = linked(name, homes);
            if yes {
                format!("stream of {link}")
            } else {
                link
            }
        };
        let row = [
            format!("`{}`", method.name()),
            stream(method.client_streaming(), method.input_type()),
            stream(method.server_streaming(), method.output_type()),
            cell(comment(comments, &[path, &[2, index]].concat())),
        ];
        writeln!(out, "| {} |", row.join(" | ")).unwrap();
    }
}

fn render_message(
    out: &mut String,
    message: &DescriptorProto,
    within: &str,
    path: &[i32],
    comments: &Comments,
    homes: &BTreeMap<String, String>,
) {
    let entry = |message: &DescriptorProto| {
        message
            .options
            .as_ref()
            .is_some_and(|options| options.map_entry())
    };
    let name = format!("{within}{}", message.name());
    heading(out, &name, comment(comments, path));
    if message.field.is_empty() {
        out.push_str("No fields.\n");
    } else {
        out.push_str("| field | type | about |\n|---|---|---|\n");
    }
    for (index, field) in (0..).zip(&message.field) {
        let map = (message.nested_type.iter()).find(|nested| {
            entry(nested) && field.type_name().ends_with(&format!(".{}", nested.name()))
        });
        let kind = match map {
            Some(map) => {
                let of = |index: usize| map.field.get(index).map(|field| scalar(field, homes));
                format!("map of {} to {}", of(0).unwrap(), of(1).unwrap())
            }
            None => kind(field, message, homes),
        };
        let about = cell(comment(comments, &[path, &[2, index]].concat()));
        writeln!(
            out,
            "| `{}` = {} | {kind} | {about} |",
            field.name(),
            field.number()
        )
        .unwrap();
    }
    for (index, nested) in (0..).zip(&message.nested_type) {
        if !entry(nested) {
            let (within, path) = (format!("{name}."), [path, &[3, index]].concat());
            render_message(out, nested, &within, &path, comments, homes);
        }
    }
    for (index, item) in (0..).zip(&message.enum_type) {
        render_enum(out, item, &[path, &[4, index]].concat(), comments);
    }
}

fn render_enum(out: &mut String, item: &EnumDescriptorProto, path: &[i32], comments: &Comments) {
    heading(out, item.name(), comment(comments, path));
    out.push_str("| value | about |\n|---|---|\n");
    for (index, value) in (0..).zip(&item.value) {
        let about = cell(comment(comments, &[path, &[2, index]].concat()));
        writeln!(out, "| `{}` = {} | {about} |", value.name(), value.number()).unwrap();
    }
}

/// Type of a field, with what tells its presence.
fn kind(
    field: &FieldDescriptorProto,
    message: &DescriptorProto,
    homes: &BTreeMap<String, String>,
) -> String {
    let scalar = scalar(field, homes);
    if field.label() == Label::Repeated {
        return format!("repeated {scalar}");
    }
    if field.proto3_optional() {
        return format!("optional {scalar}");
    }
    let group =
        (field.oneof_index).and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?));
    match group {
        Some(group) => format!("{scalar}, one of `{}`", group.name()),
        None => scalar,
    }
}

fn scalar(field: &FieldDescriptorProto, homes: &BTreeMap<String, String>) -> String {
    match field.r#type() {
        Type::Message | Type::Enum => linked(field.type_name(), homes),
        simple => simple
            .as_str_name()
            .trim_start_matches("TYPE_")
            .to_lowercase(),
    }
}

fn linked(full: &str, homes: &BTreeMap<String, String>) -> String {
    let Some(name) = full.strip_prefix(PACKAGE) else {
        return format!("`{}`", full.trim_start_matches('.'));
    };
    let outer = name.split('.').next().unwrap_or(name);
    match homes.get(outer) {
        Some(home) => format!(
            "[{name}]({home}.md#{})",
            name.to_lowercase().replace('.', "")
        ),
        None => format!("`{name}`"),
    }
}

/// A text inside a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
