//! Reads the items of a crate, module by module.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::{fs, io};

use quote::ToTokens;
use syn::{Attribute, Expr, ExprLit, Item, ItemMod, Lit, Meta};

/// An item outside of a function, and the file that it stands in.
pub(super) struct SourceItem {
    pub(super) file: Rc<Path>,
    pub(super) item: Item,
}

/// All items of the crate whose root lies in `src_dir`, except modules and macros around items, which are replaced by their
/// items, and what is there for tests only.
pub(super) fn items(src_dir: &Path) -> io::Result<Vec<SourceItem>> {
    let root = ["lib.rs", "main.rs"]
        .map(|name| src_dir.join(name))
        .into_iter()
        .find(|root| root.exists());
    let root = root.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("no crate root in {src_dir:?}"),
        )
    })?;
    let mut items = Vec::new();
    read(&root, src_dir, &mut items)?;
    Ok(items)
}

/// Parses a file, or says where it is wrong.
pub(super) fn parse<T>(file: &Path, parser: impl FnOnce(&str) -> syn::Result<T>) -> io::Result<T> {
    let text = fs::read_to_string(file)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
    parser(&text).map_err(|error| {
        let at = error.span().start();
        let text = format!("{}:{}:{}: {error}", file.display(), at.line, at.column + 1);
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

/// Reads `file`, whose child modules lie in `children`.
fn read(file: &Path, children: &Path, found: &mut Vec<SourceItem>) -> io::Result<()> {
    let parsed = parse(file, syn::parse_file)?;
    if !is_for_tests(&parsed.attrs) {
        collect(parsed.items, &Rc::from(file), children, found)?;
    }
    Ok(())
}

fn collect(
    items: Vec<Item>,
    file: &Rc<Path>,
    children: &Path,
    found: &mut Vec<SourceItem>,
) -> io::Result<()> {
    for item in items {
        match item {
            Item::Mod(module) if is_for_tests(&module.attrs) => {}
            Item::Mod(ItemMod {
                ident,
                content: Some((_, items)),
                ..
            }) => {
                collect(items, file, &children.join(ident.to_string()), found)?;
            }
            Item::Mod(module) => {
                let (file, children) = locate(&module, file, children);
                read(&file, &children, found)?;
            }
            // `pin_project! { pub struct X { … } }` and its like: what reads like items, is items.
            Item::Macro(item) if item.ident.is_none() => {
                if let Ok(body) = item.mac.parse_body::<syn::File>() {
                    collect(body.items, file, children, found)?;
                }
            }
            item => found.push(SourceItem {
                file: Rc::clone(file),
                item,
            }),
        }
    }
    Ok(())
}

/// The file of `mod name;` and the folder of its children.
fn locate(module: &ItemMod, file: &Path, siblings: &Path) -> (PathBuf, PathBuf) {
    if let Some(path) = module
        .attrs
        .iter()
        .find(|attr| attr.path().is_ident("path"))
        .and_then(text)
    {
        let file = file.with_file_name(path);
        let children = file.parent().unwrap_or(siblings).to_owned();
        return (file, children);
    }
    let children = siblings.join(module.ident.to_string());
    let flat = children.with_extension("rs");
    if flat.exists() {
        (flat, children)
    } else {
        (children.join("mod.rs"), children)
    }
}

/// Whether there is a `#[cfg(test)]`, or a `cfg` that needs `test` among others.
pub(super) fn is_for_tests(attrs: &[Attribute]) -> bool {
    attrs
        .iter()
        .filter(|attr| attr.path().is_ident("cfg"))
        .any(|attr| {
            let words = super::futures::words(attr.meta.to_token_stream());
            words.contains("test") && !words.contains("not") && !words.contains("any")
        })
}

/// The text of `#[name = "text"]`.
pub(super) fn text(attr: &Attribute) -> Option<String> {
    match &attr.meta {
        Meta::NameValue(pair) => match &pair.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}
