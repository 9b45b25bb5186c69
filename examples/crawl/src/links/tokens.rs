//! What the HTML standard's tokenizer sees of links, `<base>` and `<title>`.

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, State, Tokenizer};

/// What the tokenizer saw of interest.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    pub(super) hrefs: Vec<String>,
    pub(super) base: Option<String>,
    pub(super) title: Option<String>,
    pub(super) errors: usize,
    pub(super) first_error: Option<html5gum::Error>,

    tag: Tag,
    /// The `href` of the tag that is being read: of two, the first counts.
    href: Option<String>,
    in_href: bool,
    in_title: bool,
    xml: bool,
    /// How many `<svg>` and `<math>` are open.
    foreign: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Tag {
    A,
    Base,
    Title,
    /// `<svg>` and `<math>`.
    Foreign,
    /// Its content is text: tags in it are none.
    Text(State),
    #[default]
    Other,
}

impl Tag {
    fn new(name: &[u8]) -> Self {
        match name {
            b"a" => Self::A,
            b"base" => Self::Base,
            b"title" => Self::Title,
            b"svg" | b"math" => Self::Foreign,
            b"textarea" => Self::Text(State::RcData),
            b"script" => Self::Text(State::ScriptData),
            b"style" | b"xmp" | b"iframe" | b"noembed" | b"noframes" => Self::Text(State::RawText),
            b"plaintext" => Self::Text(State::PlainText),
            // `noscript` is not among them: nobody runs scripts here.
            _ => Self::Other,
        }
    }
}

impl Tokens {
    /// Reads `text`, which is HTML, or XHTML if it is `xml`.
    pub(super) fn read(text: &str, xml: bool) -> Self {
        let mut tokens = Self {
            xml,
            ..Self::default()
        };
        let emitter =
            CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<()>| tokens.see(event));
        let mut tokenizer = Tokenizer::new_with_emitter(text, emitter);
        while let Some(Ok(state)) = tokenizer.next() {
            tokenizer.set_state(state);
        }
        drop(tokenizer);
        tokens
    }

    /// Takes note of `event`; says how to go on behind a tag whose content is text.
    fn see(&mut self, event: CallbackEvent<'_>) -> Option<State> {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.tag = Tag::new(name);
                self.href = None;
                self.in_href = false;
            }
            CallbackEvent::AttributeName { name } => {
                self.in_href = name == b"href"
                    && self.href.is_none()
                    && matches!(self.tag, Tag::A | Tag::Base);
                if self.in_href {
                    self.href = Some(String::new()); // an empty value has no event of its own
                }
            }
            CallbackEvent::AttributeValue { value } if self.in_href => {
                self.href = Some(lossy(value))
            }
            CallbackEvent::CloseStartTag { self_closing } => {
                return self.close_start_tag(self_closing);
            }
            CallbackEvent::String { value } if self.in_title => {
                self.title.get_or_insert_with(|| lossy(value));
            }
            CallbackEvent::EndTag { name } => self.end_tag(name),
            CallbackEvent::Error(error) => {
                self.errors += 1;
                self.first_error.get_or_insert(error);
            }
            _ => {}
        }
        None
    }

    fn close_start_tag(&mut self, self_closing: bool) -> Option<State> {
        // In HTML itself the slash means nothing.
        let closed = self_closing && (self.xml || self.foreign > 0 || self.tag == Tag::Foreign);
        match self.tag {
            Tag::A => self.hrefs.extend(self.href.take()),
            Tag::Base if self.base.is_none() => self.base = self.href.take(),
            Tag::Foreign if !closed => self.foreign += 1,
            Tag::Title if !closed => {
                self.in_title = self.foreign == 0;
                return Some(State::RcData);
            }
            Tag::Text(state) if !closed => return Some(state),
            _ => {}
        }
        None
    }

    fn end_tag(&mut self, name: &[u8]) {
        self.in_title = false;
        if Tag::new(name) == Tag::Foreign {
            self.foreign = self.foreign.saturating_sub(1);
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
