//! Finds the futures that a crate hands out.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, ImplItem, Item, ItemImpl, ItemTrait, Signature, TraitItem, Type};

use super::declared::{Declared, Place, is_pub};
use super::sources::{self, SourceItem, is_for_tests};

/// What a return type says when it is a future (or becomes one) without the word `async`.
const FUTURES: [&str; 6] = [
    "Future",
    "IntoFuture",
    "Stream",
    "BoxFuture",
    "LocalBoxFuture",
    "BoxStream",
];

/// A future that a crate hands out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublicFuture {
    /// Its name in the registry: `f`, `Type::method` or `Type`.
    pub name: String,
    /// The names that a test may harness it under; `name` is the first.
    pub covered_by: Vec<String>,
    /// The file that declares it.
    pub file: PathBuf,
    /// The line in that file, from 1.
    pub line: usize,
    /// Whether its documentation has a `# Cancel safety` heading; for a named type, its own or that of a function that
    /// returns it.
    pub documents_cancel_safety: bool,
}

/// The public futures of the crate whose sources lie in `src_dir`, ordered by name.
///
/// # Errors
///
/// If a source file can't be read or parsed.
pub fn public_futures(src_dir: impl AsRef<Path>) -> io::Result<Vec<PublicFuture>> {
    let items = sources::items(src_dir.as_ref())?;
    let mut found = Found {
        declared: Declared::of(&items),
        ..Found::default()
    };
    for SourceItem { file, item } in &items {
        found.visit(file, item);
    }
    Ok(found.futures())
}

/// All identifiers in `tokens`.
pub(super) fn words(tokens: TokenStream) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => _ = words.insert(ident.to_string()),
            TokenTree::Group(group) => words.extend(self::words(group.stream())),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    words
}

/// What the sources have shown so far.
#[derive(Default)]
struct Found {
    declared: Declared,
    functions: Vec<Function>,
    /// Public types that implement `Future`, `Stream` or `IntoFuture`.
    named: BTreeSet<String>,
}

/// A public function.
struct Function {
    name: String,
    place: Place,
    /// The identifiers in its return type.
    returns: BTreeSet<String>,
    is_future: bool,
    /// `Trait::method`, for a method of an `impl Trait`.
    declared_as: Option<String>,
}

impl Found {
    fn visit(&mut self, file: &Rc<Path>, item: &Item) {
        match item {
            Item::Fn(item) if is_pub(&item.vis) && !is_for_tests(&item.attrs) => {
                self.function(file, item.sig.ident.to_string(), &item.attrs, &item.sig);
            }
            Item::Trait(item) if is_pub(&item.vis) && !is_for_tests(&item.attrs) => {
                self.visit_trait(file, item)
            }
            Item::Impl(item) if !is_for_tests(&item.attrs) => self.visit_impl(file, item),
            _ => {}
        }
    }

    fn visit_trait(&mut self, file: &Rc<Path>, item: &ItemTrait) {
        for method in &item.items {
            if let TraitItem::Fn(method) = method {
                let name = format!("{}::{}", item.ident, method.sig.ident);
                // Without a body the future is the implementor's.
                self.function(file, name, &method.attrs, &method.sig)
                    .is_future &= method.default.is_some();
            }
        }
    }

    fn visit_impl(&mut self, file: &Rc<Path>, item: &ItemImpl) {
        let of_trait = item
            .trait_
            .as_ref()
            .and_then(|(path, _)| path.segments.last())
            .map(|last| last.ident.to_string());
        // In a blanket implementation the type is a parameter.
        let mut type_params = item.generics.type_params();
        let name =
            type_name(&item.self_ty).filter(|name| type_params.all(|param| param.ident != name));
        if let (Some(name), Some("Future" | "Stream" | "IntoFuture")) = (&name, of_trait.as_deref())
        {
            let place = Place::new(file, item.impl_token.span, &item.attrs);
            self.declared.presume_public(name, place);
            if self.declared.public_type(name).is_some() {
                self.named.insert(name.clone());
            }
            return;
        }
        let public = of_trait
            .as_ref()
            .and_then(|of_trait| self.declared.trait_is_public(of_trait));
        let owner = match name.filter(|name| self.declared.public_type(name).is_some()) {
            Some(name) if public != Some(false) => name,
            None if public == Some(true) => of_trait.clone().expect("a trait that is public"),
            _ => return,
        };
        let associated: BTreeSet<String> = item.items.iter().flat_map(associated_type).collect();
        for method in &item.items {
            let ImplItem::Fn(method) = method else {
                continue;
            };
            if (of_trait.is_none() && !is_pub(&method.vis)) || is_for_tests(&method.attrs) {
                continue;
            }
            let ident = &method.sig.ident;
            let function = self.function(
                file,
                format!("{owner}::{ident}"),
                &method.attrs,
                &method.sig,
            );
            function.declared_as = of_trait
                .as_ref()
                .map(|of_trait| format!("{of_trait}::{ident}"));
            if function.returns.contains("Self") {
                function.returns.insert(owner.clone());
                function.returns.extend(associated.iter().cloned());
            }
        }
    }

    fn function(
        &mut self,
        file: &Rc<Path>,
        name: String,
        attrs: &[Attribute],
        sig: &Signature,
    ) -> &mut Function {
        let returns = words_of(&sig.output);
        let is_future =
            sig.asyncness.is_some() || FUTURES.iter().any(|word| returns.contains(*word));
        let place = Place::new(file, sig.ident.span(), attrs);
        self.functions.push(Function {
            name,
            place,
            returns,
            is_future,
            declared_as: None,
        });
        self.functions.last_mut().expect("just pushed")
    }

    fn futures(mut self) -> Vec<PublicFuture> {
        self.inherit_documentation();
        let functions = self.functions.iter().filter(|function| function.is_future);
        let mut futures: Vec<_> = functions
            .map(|Function { name, place, .. }| {
                future(name, Vec::new(), place, place.documents_cancel_safety)
            })
            .collect();
        for name in &self.named {
            let makers: Vec<_> = self
                .functions
                .iter()
                .filter(|function| function.returns.contains(name))
                .collect();
            let place = self
                .declared
                .public_type(name)
                .expect("only such types are named");
            let documented = place.documents_cancel_safety
                || makers
                    .iter()
                    .any(|maker| maker.place.documents_cancel_safety);
            let makers = makers.iter().map(|maker| maker.name.clone()).collect();
            futures.push(future(name, makers, place, documented));
        }
        futures.sort_by(|a, b| a.name.cmp(&b.name));
        futures.dedup_by(|a, b| a.name == b.name);
        futures
    }

    /// A method of an implementation is documented where the trait is.
    fn inherit_documentation(&mut self) {
        let documented = self
            .functions
            .iter()
            .filter(|function| function.place.documents_cancel_safety);
        let documented: BTreeSet<String> =
            documented.map(|function| function.name.clone()).collect();
        for function in &mut self.functions {
            function.place.documents_cancel_safety |= function
                .declared_as
                .as_ref()
                .is_some_and(|name| documented.contains(name));
        }
    }
}

fn future(name: &str, makers: Vec<String>, place: &Place, documented: bool) -> PublicFuture {
    let mut covered_by = vec![name.to_owned()];
    covered_by.extend(makers);
    PublicFuture {
        name: name.to_owned(),
        covered_by,
        file: place.file.to_path_buf(),
        line: place.line,
        documents_cancel_safety: documented,
    }
}

/// The identifiers in the type of `type Name = Type;`.
fn associated_type(item: &ImplItem) -> BTreeSet<String> {
    match item {
        ImplItem::Type(item) => words_of(&item.ty),
        _ => BTreeSet::new(),
    }
}

fn words_of(syntax: &impl ToTokens) -> BTreeSet<String> {
    words(syntax.to_token_stream())
}

/// `X` of `X<..>`, `path::X` and `&X`.
fn type_name(ty: &Type) -> Option<String> {
    match ty {
        Type::Path(ty) if ty.qself.is_none() => {
            ty.path.segments.last().map(|last| last.ident.to_string())
        }
        Type::Reference(ty) => type_name(&ty.elem),
        _ => None,
    }
}
