//! Which charset a page is in: its byte order mark, else its header, else its `<meta>`, else a guess.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use html5gum::{Token, Tokenizer};

/// A `<meta>` that comes later does not count, so nobody has to wait for it.
const PRESCAN: usize = 1024;

/// The charset of the page in `bytes`, whose header declared `declared`.
#[must_use]
pub fn detect(bytes: &[u8], declared: Option<&'static Encoding>) -> &'static Encoding {
    Encoding::for_bom(bytes)
        .map(|(encoding, _)| encoding)
        .or(declared)
        .or_else(|| from_meta(&bytes[..bytes.len().min(PRESCAN)]))
        .unwrap_or_else(|| guess(bytes))
}

/// The charset that a Content-Type names: `text/html; charset="utf-8"`.
#[must_use]
pub fn of_content_type(value: &str) -> Option<&'static Encoding> {
    let (_, label) = value
        .split(';')
        .skip(1)
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    Encoding::for_label(label.trim().trim_matches(['"', '\'']).as_bytes())
}

fn from_meta(head: &[u8]) -> Option<&'static Encoding> {
    Tokenizer::new(head)
        .filter_map(|token| match token {
            Ok(Token::StartTag(tag)) if **tag.name == *b"meta" => Some(tag),
            _ => None,
        })
        .find_map(|meta| {
            let attribute = |name: &[u8]| {
                meta.attributes
                    .get(name)
                    .map(|value| String::from_utf8_lossy(value))
            };
            match attribute(b"charset") {
                Some(label) => Encoding::for_label(label.as_bytes()),
                None if attribute(b"http-equiv")?.eq_ignore_ascii_case("content-type") => {
                    of_content_type(&attribute(b"content")?)
                }
                None => None,
            }
        })
        // Who could read this `<meta>` byte by byte was not reading UTF-16.
        .map(Encoding::output_encoding)
}

/// Undeclared pages are UTF-8 today, and were Latin-1 once.
fn guess(bytes: &[u8]) -> &'static Encoding {
    if Encoding::utf8_valid_up_to(bytes) == bytes.len() {
        UTF_8
    } else {
        WINDOWS_1252
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding_rs::{EUC_JP, SHIFT_JIS, UTF_16LE};

    #[test]
    fn the_mark_beats_the_header_beats_the_meta() {
        let page = b"<meta charset=shift_jis>";
        assert_eq!(detect(page, None), SHIFT_JIS);
        assert_eq!(detect(page, Some(EUC_JP)), EUC_JP);
        assert_eq!(detect(b"\xFF\xFE<\0", Some(EUC_JP)), UTF_16LE);
    }

    #[test]
    fn a_meta_is_found_in_each_of_its_forms() {
        assert_eq!(detect(b"<META CharSet='EUC-JP' />", None), EUC_JP);
        assert_eq!(
            detect(
                b"<meta content='text/html; charset=euc-jp' http-equiv=Content-Type>",
                None
            ),
            EUC_JP
        );
        assert_eq!(detect(b"<!-- <meta charset=euc-jp> -->", None), UTF_8);
        assert_eq!(detect(b"<meta charset=utf-16>", None), UTF_8);
        assert_eq!(detect(b"<meta charset=nonsense>", None), UTF_8);
    }

    #[test]
    fn without_any_declaration_the_bytes_decide() {
        assert_eq!(detect("é".as_bytes(), None), UTF_8);
        assert_eq!(detect(b"\xE9", None), WINDOWS_1252);
    }

    #[test]
    fn a_content_type_may_quote_its_charset() {
        assert_eq!(
            of_content_type("text/html; x=y; Charset=\"Shift_JIS\""),
            Some(SHIFT_JIS)
        );
        assert_eq!(of_content_type("text/html"), None);
        assert_eq!(of_content_type("text/html; charset"), None);
    }
}
