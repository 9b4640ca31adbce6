//! The rules of tokens.
