//! Paths with directives in them (`secret/{{identity.entity.id}}/*`), and the identity that
//! fills them. What an identity says is never read as a wildcard or as a slash.

use std::{collections::BTreeMap, fmt};

use super::pattern::Pattern;

/// Who the caller is, to fill templates with. Empty texts count as absent.
#[derive(Clone, Default)]
pub struct Identity {
    /// The id of the entity.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
    /// Its aliases, by the accessor of the auth mount.
    pub aliases: BTreeMap<String, Alias>,
}

/// What an entity is called at one auth mount.
#[derive(Clone, Default)]
pub struct Alias {
    /// The id of the alias.
    pub id: String,
    /// Its name there.
    pub name: String,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

impl fmt::Debug for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Alias(..)")
    }
}

/// Why a path can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{{` without `}}`, or the other way round.
    #[error("the braces of a template don't pair up")]
    Unbalanced,
    /// A directive that isn't known.
    #[error(
        "unknown template: use identity.entity.id, .name, .metadata.<key> or .aliases.<accessor>.id, .name, .metadata.<key>"
    )]
    Unknown,
    /// `+*`
    #[error("\"+*\" is no wildcard: use \"+/*\" or \"*\"")]
    PlusStar,
}

/// The path of a rule as it was written.
#[derive(Clone, PartialEq)]
pub(super) struct PathTemplate {
    /// Literals hold wildcards, directives don't.
    pieces: Vec<Piece>,
    /// Whether it ended in `*`.
    glob: bool,
}

#[derive(Clone, PartialEq)]
enum Piece {
    Literal(String),
    Directive(Directive),
}

#[derive(Clone, PartialEq)]
enum Directive {
    Entity(Field),
    Alias(String, Field),
}

#[derive(Clone, PartialEq)]
enum Field {
    Id,
    Name,
    Metadata(String),
}

impl PathTemplate {
    /// Reads a path; one leading slash is dropped.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let text = text.strip_prefix('/').unwrap_or(text);
        if text.contains("+*") {
            return Err(TemplateError::PlusStar);
        }
        let (text, glob) = match text.strip_suffix('*') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let mut parts = text.split("{{");
        let first = parts.next().unwrap_or_default();
        if first.contains("}}") {
            return Err(TemplateError::Unbalanced);
        }
        let mut pieces = vec![Piece::Literal(first.to_owned())];
        for part in parts {
            let (directive, literal) = part.split_once("}}").ok_or(TemplateError::Unbalanced)?;
            if literal.contains("}}") {
                return Err(TemplateError::Unbalanced);
            }
            pieces.push(Piece::Directive(Directive::parse(directive.trim())?));
            pieces.push(Piece::Literal(literal.to_owned()));
        }
        Ok(Self { pieces, glob })
    }

    /// The pattern for this identity; `None` if a directive can't be filled by it.
    ///
    /// A value must fit into one segment: with a slash, a control character or nothing in it
    /// the rule is skipped. Its `*` and `+` are ordinary characters, wherever they stand:
    /// wildcards are found in the literals only. It isn't searched for directives again.
    pub fn fill(&self, identity: Option<&Identity>) -> Option<Pattern> {
        let mut text = String::new();
        let mut filled = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Directive(directive) => {
                    let value = directive.value(identity?)?;
                    if !fits_segment(value) {
                        return None;
                    }
                    filled.push(text.len());
                    text.push_str(value);
                }
            }
        }
        Some(Pattern::new(text, self.glob, &filled))
    }
}

fn fits_segment(value: &str) -> bool {
    !value.is_empty() && !value.chars().any(|c| c == '/' || c.is_control())
}

impl Directive {
    fn parse(text: &str) -> Result<Self, TemplateError> {
        let unknown = TemplateError::Unknown;
        let rest = text.strip_prefix("identity.entity.").ok_or(unknown)?;
        match rest.strip_prefix("aliases.") {
            None => Ok(Self::Entity(Field::parse(rest).ok_or(unknown)?)),
            Some(rest) => {
                let (accessor, field) = rest.split_once('.').ok_or(unknown)?;
                let field = Field::parse(field).ok_or(unknown)?;
                Ok(Self::Alias(accessor.to_owned(), field))
            }
        }
    }

    fn value<'i>(&self, identity: &'i Identity) -> Option<&'i str> {
        match self {
            Self::Entity(field) => field.of(&identity.id, &identity.name, &identity.metadata),
            Self::Alias(accessor, field) => {
                let alias = identity.aliases.get(accessor)?;
                field.of(&alias.id, &alias.name, &alias.metadata)
            }
        }
    }
}

impl Field {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "id" => Some(Self::Id),
            "name" => Some(Self::Name),
            _ => match text.strip_prefix("metadata.")? {
                "" => None,
                key => Some(Self::Metadata(key.to_owned())),
            },
        }
    }

    fn of<'i>(
        &self,
        id: &'i str,
        name: &'i str,
        metadata: &'i BTreeMap<String, String>,
    ) -> Option<&'i str> {
        match self {
            Self::Id => Some(id),
            Self::Name => Some(name),
            Self::Metadata(key) => metadata.get(key).map(String::as_str),
        }
    }
}
