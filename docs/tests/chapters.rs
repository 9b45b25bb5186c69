//! What the book promises of itself: every chapter is in the summary and runs as doctests, and no fence escapes them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag};

/// What a fence may be called that isn't compiled.
const PLAIN: &[&str] = &["console", "json", "python", "text", "toml"];

fn docs() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// `["en/introduction.md", …]`: every Markdown file below `src`, but for the summaries.
fn chapters() -> BTreeSet<String> {
    fn collect(dir: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, into);
            } else if path.extension().is_some_and(|e| e == "md") && !path.ends_with("SUMMARY.md") {
                into.push(path);
            }
        }
    }
    let src = docs().join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    let name = |file: PathBuf| {
        file.strip_prefix(&src)
            .unwrap()
            .to_str()
            .unwrap()
            .replace('\\', "/")
    };
    files.into_iter().map(name).collect()
}

/// What stands between `before` and the next `after`, wherever `before` does.
fn between<'t>(text: &'t str, before: &'t str, after: char) -> impl Iterator<Item = &'t str> {
    text.split(before)
        .skip(1)
        .filter_map(move |rest| rest.split(after).next())
}

#[test]
fn every_chapter_is_in_its_summary() {
    let languages = fs::read_dir(docs().join("src"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let listed: BTreeSet<String> = languages
        .flat_map(|language| {
            let summary = read(&docs().join("src").join(&language).join("SUMMARY.md"));
            between(&summary, "](", ')')
                .map(|file| format!("{language}/{file}"))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(listed, chapters(), "left: the summaries, right: the files");
}

#[test]
fn every_chapter_runs_as_doctests() {
    let lib = read(&docs().join("lib.rs"));
    let included: BTreeSet<String> = between(&lib, "include_str!(\"src/", '"')
        .map(str::to_owned)
        .collect();
    assert_eq!(included, chapters(), "left: docs/lib.rs, right: the files");
}

#[test]
fn every_fence_is_run_or_says_why_not() {
    let src = docs().join("src");
    let files = chapters().into_iter().map(|chapter| src.join(chapter));
    let wrong: Vec<String> = files
        .chain([docs().join("../README.md")])
        .flat_map(|file| {
            faults(&read(&file))
                .into_iter()
                .map(move |fault| format!("{}:{fault}", file.display()))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What is wrong with the code blocks of a page, as `LINE: FAULT`.
fn faults(page: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut is_rust = false;
    for (event, span) in Parser::new(page).into_offset_iter() {
        let line = page[..span.start].matches('\n').count() + 1;
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                is_rust = matches!(&kind, CodeBlockKind::Fenced(tag) if tag.starts_with("rust"));
                faults.extend(fault_of_tag(&kind).map(|fault| format!("{line}: {fault}")));
            }
            Event::End(_) => is_rust = false,
            Event::Text(code) if is_rust => {
                faults.extend(fault_of_program(&code).map(|fault| format!("{line}: {fault}")))
            }
            _ => {}
        }
    }
    faults
}

fn fault_of_tag(kind: &CodeBlockKind<'_>) -> Option<String> {
    let CodeBlockKind::Fenced(tag) = kind else {
        return Some("an indented block would be compiled as Rust: use a fence".into());
    };
    let is_error_code = |code: &str| {
        code.len() == 5 && code.starts_with('E') && code[1..].bytes().all(|b| b.is_ascii_digit())
    };
    let runs = match tag.split(',').map(str::trim).collect::<Vec<_>>()[..] {
        ["rust"] | ["rust", "should_panic"] => true,
        ["rust", "compile_fail", code] => is_error_code(code),
        _ => false,
    };
    (!runs && !PLAIN.contains(&&**tag))
        .then(|| format!("fence `{tag}`: want `rust`, `rust,should_panic`, `rust,compile_fail,E0000` or one of {PLAIN:?}"))
}

/// A reader copies the program as it stands, so nothing may be hidden, missing or slow.
fn fault_of_program(code: &str) -> Option<&'static str> {
    let hidden = |line: &str| line.trim_start() == "#" || line.trim_start().starts_with("# ");
    if code.lines().any(hidden) {
        Some("a hidden line: show the whole program")
    } else if !code.contains("fn main()") {
        Some("no `fn main()`: show the whole program")
    } else if code.contains("start_paused") {
        Some("`start_paused` needs a feature that readers do not have: use milliseconds")
    } else if code.contains("from_secs(") {
        Some("seconds: the programs run in the tests, use milliseconds")
    } else {
        None
    }
}

/// The traps that this guard is there for, each of which rustdoc lets pass.
#[test]
fn the_guard_sees_what_rustdoc_skips() {
    let fence = |tag: &str, code: &str| faults(&format!("text\n\n```{tag}\n{code}\n```\n"));
    let program = "fn main() {}";
    for tag in [
        "rust",
        "rust,should_panic",
        "rust,compile_fail,E0382",
        "text",
        "python",
    ] {
        assert_eq!(fence(tag, program), [""; 0], "{tag}");
    }
    for tag in [
        "",
        "rs",
        "Rust",
        "rust,ignore",
        "ignore",
        "rust,no_run",
        "rust,compile_fail",
        "rust,compile_fail,E1",
    ] {
        assert_eq!(fence(tag, program).len(), 1, "{tag}");
    }
    for code in [
        "1 + 1;",
        "# fn main() {}",
        "fn main() {\n    # let hidden = 1;\n}",
        "fn main() { Duration::from_secs(1); }",
    ] {
        assert_eq!(fence("rust", code).len(), 1, "{code}");
    }
    assert_eq!(faults("text\n\n    indented();\n").len(), 1);
    assert_eq!(
        fence(
            "rust",
            "fn main() {\n    #[allow(unused)]\n    let shown = 1;\n}"
        ),
        [""; 0]
    );
}

/// What Python 3.14 has for tasks, and how to wait for them.
const OF_ASYNCIO: &[&str] = &[
    // of the module
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "Runner",
    "TaskGroup",
    "all_tasks",
    "as_completed",
    "create_eager_task_factory",
    "create_task",
    "current_task",
    "eager_task_factory",
    "ensure_future",
    "gather",
    "iscoroutine",
    "run",
    "run_coroutine_threadsafe",
    "shield",
    "sleep",
    "timeout",
    "timeout_at",
    "to_thread",
    "wait",
    "wait_for",
    // of a task
    "add_done_callback",
    "cancel",
    "cancelled",
    "cancelling",
    "done",
    "exception",
    "get_context",
    "get_coro",
    "get_name",
    "get_stack",
    "print_stack",
    "remove_done_callback",
    "result",
    "set_name",
    "uncancel",
];

/// The cells of each row of the tables of a page.
fn rows(page: &str) -> impl Iterator<Item = Vec<String>> + '_ {
    let rows = page.lines().filter(|line| line.starts_with("| "));
    rows.map(|row| {
        let row = row.trim_matches('|').replace("\\|", "¦");
        row.split('|').map(|cell| cell.trim().to_owned()).collect()
    })
}

#[test]
fn each_name_of_asyncios_tasks_is_answered() {
    let page = read(&docs().join("src/en/asyncio.md"));
    let tells_of = |cell: &str, name: &str| {
        // `process.wait()` is not `asyncio.wait()`.
        ["`", "asyncio.", "task.", "="].iter().any(|before| {
            cell.split(&format!("{before}{name}"))
                .skip(1)
                .any(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
        })
    };
    let missing = OF_ASYNCIO
        .iter()
        .filter(|name| !rows(&page).any(|row| tells_of(&row[0], name)));
    assert_eq!(missing.collect::<Vec<_>>(), [&""; 0], "no row begins with");
}

/// A dash in the middle is an answer only together with a reason.
#[test]
fn where_there_is_nothing_the_row_says_why() {
    let page = read(&docs().join("src/en/asyncio.md"));
    let silent: Vec<_> = rows(&page)
        .filter(|row| row.len() != 3 || (row[1] == "–" && row[2].len() < 10))
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}
