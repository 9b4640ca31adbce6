//! The part of a list that is asked for: `after` and `limit` in the query, as with the peers. The list
//! is made as a whole and sorted before it is cut: what is bounded there is bounded here, too.

use super::body::Pairs;
use crate::error::Error;

/// Which part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Only what comes behind this, which need not be there.
    after: Option<String>,
    /// At most so many.
    limit: Option<usize>,
}

impl Part {
    /// Reads what is asked for. A limit of 0 or less is none, as with the peers.
    ///
    /// # Errors
    /// The limit is no whole number.
    pub fn of(query: &Pairs) -> Result<Self, Error> {
        let limit = match query.get("limit").filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => {
                let number: Result<i64, _> = text.parse();
                let number = number.map_err(|_| Error::invalid_argument("limit: not a number"))?;
                usize::try_from(number).ok().filter(|limit| *limit > 0)
            }
        };
        let after = query.get("after").filter(|after| !after.is_empty());
        Ok(Self {
            after: after.map(str::to_owned),
            limit,
        })
    }

    /// Whether a query asks for a part.
    pub fn is_asked_by(query: &Pairs) -> bool {
        query.get("after").is_some() || query.get("limit").is_some()
    }

    /// Cuts a sorted list.
    pub fn cut(&self, keys: &mut Vec<String>) {
        if let Some(after) = &self.after {
            let first = keys.partition_point(|key| key <= after);
            keys.drain(..first);
        }
        keys.truncate(self.limit.unwrap_or(usize::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Planted bug: a part that begins with `after` itself. Caught.
    #[test]
    fn a_part_is_cut_out_of_the_whole() {
        for (query, wanted) in [
            ("", Some("a b/ c d")),
            ("after=&limit=", Some("a b/ c d")),
            ("after=b/", Some("c d")),
            ("after=b", Some("b/ c d")),
            ("after=bb&limit=1", Some("c")),
            ("limit=2", Some("a b/")),
            ("limit=0", Some("a b/ c d")),
            ("limit=-1", Some("a b/ c d")),
            ("limit=99999999999", Some("a b/ c d")),
            ("after=d", Some("")),
            ("limit=x", None),
            ("limit=1.5", None),
        ] {
            let part = Pairs::of_query(query).and_then(|query| Part::of(&query));
            let cut = part.ok().map(|part| {
                let mut keys = ["a", "b/", "c", "d"].map(str::to_owned).to_vec();
                part.cut(&mut keys);
                keys.join(" ")
            });
            assert_eq!(cut.as_deref(), wanted, "{query}");
        }
    }
}
