//! Finds the names that tests give to the harness.

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::{LitStr, parse2};

use super::sources;

/// The names under which the tests below `dir` run futures through the harness; none if there is no such folder.
///
/// # Errors
///
/// If a source file can't be read or parsed.
pub fn harnessed(dir: impl AsRef<Path>) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    walk(dir.as_ref(), &mut names)?;
    Ok(names)
}

fn walk(dir: &Path, names: &mut BTreeSet<String>) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, names)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            // Tokens and not syntax, so that calls inside macros are seen; comments are no tokens.
            let tokens = sources::parse(&path, |text| {
                text.parse::<TokenStream>().map_err(syn::Error::from)
            })?;
            scan(tokens, names);
        }
    }
    Ok(())
}

fn scan(tokens: TokenStream, names: &mut BTreeSet<String>) {
    // The last identifiers, `["Harness", "new"]` when `Harness::new` has just passed.
    let mut last = [String::new(), String::new()];
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => {
                last.rotate_left(1);
                last[1] = ident.to_string();
            }
            TokenTree::Group(group) => {
                let [before, called] = &last;
                let is_harness =
                    called == "cancel_at_every_poll" || (before == "Harness" && called == "new");
                if is_harness && group.delimiter() == Delimiter::Parenthesis {
                    names.extend(first_literal(group.stream()));
                }
                scan(group.stream(), names);
                last = Default::default();
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn first_literal(arguments: TokenStream) -> Option<String> {
    let first = arguments.into_iter().next()?;
    parse2::<LitStr>(first.into())
        .ok()
        .map(|literal| literal.value())
}
