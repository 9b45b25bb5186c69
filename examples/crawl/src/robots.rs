//! robots.txt as RFC 9309 has it.
//!
//! Written here because the crates for it have had no release for years (texting_robots 0.2.2: March 2023, robotparser 0.11: March
//! 2022); the standard is short.

/// What this crawler calls itself in a robots.txt.
pub const PRODUCT: &str = "shibuya-crawl";

/// What a robots.txt says to this crawler.
#[derive(Debug, Default)]
pub struct Robots {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    allow: bool,
    pattern: String,
}

impl Robots {
    /// Everything is allowed: there is no robots.txt.
    #[must_use]
    pub fn allow_all() -> Self {
        Self::default()
    }

    /// Reads the rules for `product`; where no group names it, those for `*`.
    ///
    /// Lines that make no sense are skipped: a robots.txt has no errors.
    #[must_use]
    pub fn parse(text: &str, product: &str) -> Self {
        let (mut own, mut any) = (None, None);
        let mut group = Group::default();
        for (key, value) in text
            .trim_start_matches('\u{feff}')
            .lines()
            .filter_map(key_value)
        {
            match key.as_str() {
                "user-agent" => group.add_agent(value, product),
                "allow" | "disallow" => {
                    group.in_rules = true;
                    // An empty pattern matches nothing, but its group is there all the same.
                    let rule = || Rule {
                        allow: key == "allow",
                        pattern: normalize(value),
                    };
                    for (applies, rules) in [(group.own, &mut own), (group.any, &mut any)] {
                        if applies {
                            let rules: &mut Vec<Rule> = rules.get_or_insert_default();
                            rules.extend((!value.is_empty()).then(rule));
                        }
                    }
                }
                _ => {}
            }
        }
        Self {
            rules: own.or(any).unwrap_or_default(),
        }
    }

    /// Whether `path_and_query` may be requested: the longest rule that matches decides, of two as
    /// long the one that allows.
    #[must_use]
    pub fn allows(&self, path_and_query: &str) -> bool {
        let path = normalize(path_and_query);
        path == "/robots.txt"
            || self
                .rules
                .iter()
                .filter(|rule| matches(rule.pattern.as_bytes(), path.as_bytes()))
                .max_by_key(|rule| (rule.pattern.len(), rule.allow))
                .is_none_or(|rule| rule.allow)
    }
}

/// The `User-agent` lines that the rules below them are for.
#[derive(Debug, Default)]
struct Group {
    own: bool,
    any: bool,
    /// A rule was read: the next `User-agent` line begins another group.
    in_rules: bool,
}

impl Group {
    fn add_agent(&mut self, agent: &str, product: &str) {
        if self.in_rules {
            *self = Self::default();
        }
        let token = agent
            .split(|c: char| !(c.is_ascii_alphabetic() || matches!(c, '-' | '_')))
            .next()
            .unwrap_or("");
        self.any |= agent == "*";
        self.own |= token.eq_ignore_ascii_case(product);
    }
}

fn key_value(line: &str) -> Option<(String, &str)> {
    let line = line.split('#').next()?;
    let (key, value) = line.split_once(':')?;
    Some((key.trim().to_ascii_lowercase(), value.trim()))
}

/// Octets that need no escape are written without, all others as `%XX`, so that patterns and paths
/// compare byte by byte.
fn normalize(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut bytes = text.as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        let escaped = (byte == b'%').then(|| hex(bytes.as_slice())).flatten();
        match escaped {
            Some(octet) => {
                bytes.nth(1);
                if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
                    out.push(char::from(octet));
                } else {
                    escape(octet, &mut out);
                }
            }
            None if byte.is_ascii_graphic() => out.push(char::from(byte)),
            None => escape(byte, &mut out),
        }
    }
    out
}

fn escape(octet: u8, out: &mut String) {
    use std::fmt::Write as _;
    let _ = write!(out, "%{octet:02X}");
}

/// The octet of the two hexadecimal digits at the head of `bytes`.
fn hex(bytes: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// Whether `pattern` matches the beginning of `path`; `*` stands for any octets, a `$` at the end
/// for the end of the path.
///
/// Goes back to the last `*` alone, so that a hostile pattern costs no more than
/// pattern × path.
fn matches(pattern: &[u8], path: &[u8]) -> bool {
    let (pattern, anchored) = match pattern {
        [pattern @ .., b'$'] => (pattern, true),
        _ => (pattern, false),
    };
    let (mut p, mut at) = (0, 0);
    let mut star = None;
    loop {
        if p == pattern.len() && (!anchored || at == path.len()) {
            return true;
        }
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, at));
        } else if at < path.len() && pattern.get(p) == Some(&path[at]) {
            p += 1;
            at += 1;
        } else if let Some((after, from)) = star.filter(|&(_, from)| from < path.len()) {
            p = after;
            at = from + 1;
            star = Some((after, at));
        } else {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn robots(text: &str) -> Robots {
        Robots::parse(text, PRODUCT)
    }

    #[test]
    fn the_longest_rule_decides_and_allow_wins_a_draw() {
        let robots = robots(
            "User-agent: *\nDisallow: /a\nAllow: /a/b\nDisallow: /a/b/c\nAllow: /d\nDisallow: /d",
        );
        assert!(robots.allows("/"));
        assert!(!robots.allows("/a"));
        assert!(!robots.allows("/ab"));
        assert!(robots.allows("/a/b"));
        assert!(!robots.allows("/a/b/c?x"));
        assert!(robots.allows("/d"));
    }

    #[test]
    fn a_group_of_its_own_beats_the_one_for_all() {
        let text = "User-agent: *\nDisallow: /\n\nUser-Agent: other\nUSER-AGENT: Shibuya-Crawl/2.0 # us\nDisallow: /x\n";
        assert!(robots(text).allows("/"));
        assert!(!robots(text).allows("/x"));
        assert!(!Robots::parse(text, "stranger").allows("/"));
    }

    #[test]
    fn groups_for_the_same_agent_are_one() {
        let robots = robots(
            "User-agent: shibuya-crawl\nDisallow: /a\nUser-agent: x\nDisallow: /b\nUser-agent: shibuya-crawl\nDisallow: /c",
        );
        assert!(!robots.allows("/a"));
        assert!(robots.allows("/b"));
        assert!(!robots.allows("/c"));
    }

    #[test]
    fn an_empty_disallow_allows_and_still_is_a_group() {
        assert!(
            robots("User-agent: *\nDisallow: /\nUser-agent: shibuya-crawl\nDisallow:").allows("/x")
        );
    }

    #[test]
    fn rules_before_any_group_and_nonsense_are_skipped() {
        let robots = robots(
            "\u{feff}Disallow: /a\r\n<html>\r\nUser-agent: *\r\nSitemap: x\r\nDisallow : /b # c\r\n",
        );
        assert!(robots.allows("/a"));
        assert!(!robots.allows("/b"));
    }

    #[test]
    fn stars_and_the_end() {
        let robots = robots("User-agent: *\nDisallow: /*.gif$\nDisallow: /x*y*z\nDisallow: /end$");
        assert!(!robots.allows("/a/b.gif"));
        assert!(!robots.allows("/a.gif/b.gif"));
        assert!(robots.allows("/a.gif?x"));
        assert!(!robots.allows("/x1y2z3"));
        assert!(robots.allows("/x1z"));
        assert!(!robots.allows("/end"));
        assert!(robots.allows("/end/"));
    }

    #[test]
    fn escapes_compare_as_octets() {
        let robots = robots("User-agent: *\nDisallow: /%7ejoe\nDisallow: /ツ\nDisallow: /a%2fb");
        assert!(!robots.allows("/~joe"));
        assert!(!robots.allows("/%E3%83%84"));
        assert!(!robots.allows("/a%2Fb"));
        assert!(robots.allows("/a/b"));
        assert!(robots.allows("/%zz"));
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let pattern = format!("User-agent: *\nDisallow: /{}b", "*a".repeat(2000));
        assert!(robots(&pattern).allows(&format!("/{}", "a".repeat(5000))));
    }

    #[test]
    fn robots_txt_itself_is_always_allowed() {
        let robots = robots("User-agent: *\nDisallow: /");
        assert!(robots.allows("/robots.txt"));
        assert!(!robots.allows("/"));
        assert!(Robots::allow_all().allows("/"));
    }
}
