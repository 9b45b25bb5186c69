//! What a page says: its title and where its `<a href>`s lead.
//!
//! Works on the tokens of the HTML standard rather than on a tree: links, `<base>` and `<title>`
//! need no more, and a page of 10 MB costs little more memory than its text.

mod tokens;

use std::borrow::Cow;
use std::collections::HashSet;

use encoding_rs::Encoding;
use url::Url;

use crate::charset;
use crate::fetch::Body;

use tokens::Tokens;

/// Longer titles, and `href`s that are no URL, are cut, so that a report stays small.
const TEXT_MAX: usize = 200;

/// What was found on a page.
#[derive(Debug, Default)]
pub struct Page {
    /// The text of its first `<title>`.
    pub title: Option<String>,
    /// The distinct http(s) URLs that it links to, without fragments, in their order.
    pub links: Vec<Url>,
    /// The distinct `href`s that are no URL, with the reason.
    pub invalid: Vec<(String, url::ParseError)>,
    /// How many links have another scheme: `mailto:`, `tel:`, `javascript:` …
    pub other_schemes: usize,
    /// Violations of the HTML syntax: how many, and the first.
    pub malformed: Option<(usize, html5gum::Error)>,
    /// The page's charset.
    pub charset: &'static str,
}

impl Page {
    /// Reads the page in `body`, which came from `url`.
    #[must_use]
    pub fn parse(body: &Body, url: &Url) -> Self {
        let encoding = charset::detect(&body.bytes, body.charset);
        let text = encoding.decode(&body.bytes).0;
        let tokens = Tokens::read(&text, body.xml);
        let base = base_of(url, tokens.base.as_deref());

        let mut page = Self {
            title: tokens
                .title
                .map(|title| tidy(&title))
                .filter(|title| !title.is_empty()),
            malformed: tokens.first_error.map(|first| (tokens.errors, first)),
            charset: encoding.name(),
            ..Self::default()
        };
        page.resolve(&tokens.hrefs, &base, encoding);
        page
    }

    fn resolve(&mut self, hrefs: &[String], base: &Url, encoding: &'static Encoding) {
        // The standard has a query written in the page's own charset.
        let query: &dyn Fn(&str) -> Cow<'_, [u8]> = &|text| encoding.encode(text).0;
        let parser = Url::options()
            .base_url(Some(base))
            .encoding_override(Some(query));

        let mut seen = HashSet::new();
        for href in hrefs {
            match parser.parse(href) {
                Ok(mut url) if is_http(&url) => {
                    url.set_fragment(None);
                    if seen.insert(url.to_string()) {
                        self.links.push(url);
                    }
                }
                Ok(_) => self.other_schemes += 1,
                Err(error) => {
                    let href = tidy(href);
                    if seen.insert(href.clone()) {
                        self.invalid.push((href, error));
                    }
                }
            }
        }
    }
}

/// Whether `url` is one that a crawler can request.
#[must_use]
pub fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// The first `<base href>` counts, itself relative to the page; a base that could not carry a
/// relative URL is ignored.
fn base_of(url: &Url, base: Option<&str>) -> Url {
    base.and_then(|href| url.join(href).ok())
        .filter(|base| !base.cannot_be_a_base())
        .unwrap_or_else(|| url.clone())
}

/// One line, not too long, and nothing that a terminal would obey.
fn tidy(text: &str) -> String {
    let words: Vec<_> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    cut(&words.join(" "), TEXT_MAX).to_owned()
}

/// The first `max` characters of `text`.
fn cut(text: &str, max: usize) -> &str {
    text.char_indices()
        .nth(max)
        .map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(html: &str) -> Page {
        let body = Body {
            bytes: html.into(),
            ..Body::default()
        };
        Page::parse(&body, &Url::parse("http://host/dir/page").unwrap())
    }

    fn links(html: &str) -> Vec<String> {
        page(html).links.into_iter().map(String::from).collect()
    }

    #[test]
    fn links_are_resolved_once_each_without_fragments() {
        assert_eq!(
            links(
                "<a href=x>1</a> <A HREF='../y?q#f'>2</A> <a name=n>3</a> <a href=\" x#frag \n\">4</a>"
            ),
            ["http://host/dir/x", "http://host/y?q"]
        );
    }

    #[test]
    fn an_empty_href_is_the_page_itself() {
        assert_eq!(links("<a href>"), ["http://host/dir/page"]);
        assert_eq!(links("<a href=''>"), ["http://host/dir/page"]);
    }

    #[test]
    fn the_first_base_with_an_href_counts_for_the_links_before_it_too() {
        assert_eq!(
            links("<a href=a><base target=_top><base href=/b/><base href=/c/><a href=d>"),
            ["http://host/b/a", "http://host/b/d"]
        );
        assert_eq!(
            links("<base href='data:,x'><a href=a>"),
            ["http://host/dir/a"]
        );
    }

    #[test]
    fn entities_in_an_href_are_decoded() {
        assert_eq!(
            links("<a href='?a=1&amp;b=2&copy=3'>"),
            ["http://host/dir/page?a=1&b=2&copy=3"]
        );
    }

    #[test]
    fn of_two_hrefs_the_first_counts() {
        assert_eq!(links("<a href=1 href=2>"), ["http://host/dir/1"]);
    }

    #[test]
    fn what_looks_like_a_tag_in_text_is_none() {
        let html = "<!-- <a href=1> --><script>x = '<a href=2>'</script><style><a href=3></style>\
                    <textarea><a href=4></textarea><title><a href=5></title><iframe><a href=6></iframe>\
                    <noscript><a href=7></noscript><a href=8>";
        assert_eq!(links(html), ["http://host/dir/7", "http://host/dir/8"]);
    }

    #[test]
    fn in_xml_and_in_svg_a_tag_may_close_itself() {
        let html =
            "<script/><a href=1></script><svg><style/><a href=2></a></svg><style/><a href=3>";
        assert_eq!(links(html), ["http://host/dir/2"]);

        let body = Body {
            bytes: b"<title/><script src='x'/><a href='1'/>".into(),
            xml: true,
            ..Body::default()
        };
        let page = Page::parse(&body, &Url::parse("http://host/").unwrap());
        assert_eq!(page.links[0].as_str(), "http://host/1");
    }

    #[test]
    fn the_first_title_counts_on_one_line() {
        assert_eq!(
            page("<title>\n A &lt; B\n</title><svg><title>x</title>")
                .title
                .as_deref(),
            Some("A < B")
        );
        assert_eq!(page("<title> </title>").title, None);
        assert_eq!(
            page(&format!("<title>{}</title>", "é".repeat(999)))
                .title
                .unwrap()
                .chars()
                .count(),
            TEXT_MAX
        );
    }

    #[test]
    fn other_schemes_are_counted_and_invalid_urls_named() {
        let page =
            page("<a href=mailto:a@b><a href=tel:1><a href='http://[::1'><a href='http://[::1'>");
        assert_eq!(page.other_schemes, 2);
        assert_eq!(page.invalid.len(), 1);
        assert_eq!(page.invalid[0].0, "http://[::1");
        assert!(page.links.is_empty());
    }

    #[test]
    fn malformed_html_is_read_as_browsers_do_and_noted() {
        let page = page("<p <b><a href='x'class=y>1</a></p></i><a href=\"z");
        assert_eq!(page.links.len(), 1);
        assert_eq!(
            page.malformed.unwrap().1,
            html5gum::Error::UnexpectedCharacterInAttributeName
        );
        assert!(links("<!doctype html><title>t</title><p>fine").is_empty());
    }

    #[test]
    fn a_query_is_written_in_the_charset_of_its_page() {
        let (bytes, ..) =
            encoding_rs::SHIFT_JIS.encode("<meta charset=shift_jis><a href='/渋?q=渋'>");
        let body = Body {
            bytes: bytes.into(),
            ..Body::default()
        };
        let page = Page::parse(&body, &Url::parse("http://host/").unwrap());
        assert_eq!(page.charset, "Shift_JIS");
        assert_eq!(page.links[0].as_str(), "http://host/%E6%B8%8B?q=%8Fa");
    }
}
