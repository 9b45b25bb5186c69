//! The types and traits of a crate, and where they are declared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use proc_macro2::Span;
use syn::{Attribute, Item, Visibility};

use super::sources::{self, SourceItem};

/// The types and traits of the crate, by name: a name is enough, since a crate rarely uses one twice.
#[derive(Default)]
pub(super) struct Declared {
    public_types: BTreeMap<String, Place>,
    private_types: BTreeSet<String>,
    /// With whether they are public.
    traits: BTreeMap<String, bool>,
}

impl Declared {
    pub(super) fn of(items: &[SourceItem]) -> Self {
        let mut declared = Declared::default();
        for SourceItem { file, item } in items {
            let (attrs, vis, ident) = match item {
                Item::Struct(item) => (&item.attrs, &item.vis, &item.ident),
                Item::Enum(item) => (&item.attrs, &item.vis, &item.ident),
                Item::Union(item) => (&item.attrs, &item.vis, &item.ident),
                Item::Trait(item) => {
                    declared
                        .traits
                        .insert(item.ident.to_string(), is_pub(&item.vis));
                    continue;
                }
                _ => continue,
            };
            if is_pub(vis) {
                let place = Place::new(file, ident.span(), attrs);
                declared.public_types.insert(ident.to_string(), place);
            } else {
                declared.private_types.insert(ident.to_string());
            }
        }
        declared
    }

    pub(super) fn public_type(&self, name: &str) -> Option<&Place> {
        self.public_types.get(name)
    }

    /// A type of the crate whose declaration is out of sight, in a macro: better public than forgotten.
    pub(super) fn presume_public(&mut self, name: &str, place: Place) {
        if !self.private_types.contains(name) {
            self.public_types.entry(name.to_owned()).or_insert(place);
        }
    }

    /// Whether a trait of the crate is public; `None` if it isn't of the crate.
    pub(super) fn trait_is_public(&self, name: &str) -> Option<bool> {
        self.traits.get(name).copied()
    }
}

/// Where something is declared, and what its documentation says.
pub(super) struct Place {
    pub(super) file: Rc<Path>,
    pub(super) line: usize,
    pub(super) documents_cancel_safety: bool,
}

impl Place {
    pub(super) fn new(file: &Rc<Path>, span: Span, attrs: &[Attribute]) -> Self {
        let docs = attrs
            .iter()
            .filter(|attr| attr.path().is_ident("doc"))
            .filter_map(sources::text);
        Place {
            file: Rc::clone(file),
            line: span.start().line,
            documents_cancel_safety: docs
                .into_iter()
                .any(|text| text.lines().any(|line| line.trim() == "# Cancel safety")),
        }
    }
}

pub(super) fn is_pub(vis: &Visibility) -> bool {
    matches!(vis, Visibility::Public(_))
}
