//! How much unsafe code there is, file by file: it may only change knowingly. That each block argues for its safety is what
//! clippy's `undocumented_unsafe_blocks` checks.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Unsafe blocks, functions, and implementations of one file.
type Counts = [usize; 3];

/// All the unsafe code of both crates.
const EXPECTED: [(&str, Counts); 9] = [
    ("pageout-node/src/asynchronous.rs", [2, 0, 0]),
    ("pageout-node/src/error.rs", [1, 0, 0]),
    ("pageout-node/src/exports.rs", [1, 0, 0]),
    ("pageout-node/src/view.rs", [8, 3, 0]),
    ("pageout/src/sys/call.rs", [3, 0, 0]),
    ("pageout/src/sys/destination.rs", [7, 1, 0]),
    ("pageout/src/sys/file.rs", [21, 0, 0]),
    ("pageout/src/sys/memory.rs", [8, 0, 0]),
    ("pageout/src/sys/nh.rs", [1, 0, 0]),
];

/// The text without comments, and without what stands in strings and characters.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| raw_string(rest)).or_else(|| string(rest)).or_else(|| character(rest));
        if let Some(skipped) = skipped {
            code.push(' ');
            rest = &rest[skipped..];
            continue;
        }
        // A word as a whole, so that the end of one is not taken for the beginning of a string.
        let word = rest.find(|next: char| !is_word(next)).unwrap_or(rest.len());
        let taken = word.max(next.len_utf8());
        code.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    code
}

fn is_word(next: char) -> bool {
    next.is_alphanumeric() || next == '_'
}

/// Bytes of the comment that `text` begins with. Block comments nest.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut end, mut depth) = (2, 1);
    while depth > 0 {
        let rest = &text[end..];
        depth = match &rest.get(..2) {
            Some("/*") => depth + 1,
            Some("*/") => depth - 1,
            _ => {
                end += rest.chars().next()?.len_utf8();
                continue;
            }
        };
        end += 2;
    }
    Some(end)
}

fn raw_string(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r"].into_iter().find(|prefix| text.starts_with(prefix))?;
    let hashes = text[prefix.len()..].bytes().take_while(|&byte| byte == b'#').count();
    let body = prefix.len() + hashes + 1;
    text[prefix.len() + hashes..].starts_with('"').then_some(())?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(body + text[body..].find(&end)? + end.len())
}

fn string(text: &str) -> Option<usize> {
    let prefix = ["b\"", "c\"", "\""].into_iter().find(|prefix| text.starts_with(prefix))?;
    quoted(text, prefix.len(), b'"')
}

/// A character; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let prefix = ["b'", "'"].into_iter().find(|prefix| text.starts_with(prefix))?;
    let mut inside = text[prefix.len()..].chars();
    let is_character = inside.next()? == '\\' || inside.next()? == '\'';
    is_character.then(|| quoted(text, prefix.len(), b'\''))?
}

/// Where what is quoted from `start` on has ended.
fn quoted(text: &str, start: usize, quote: u8) -> Option<usize> {
    let mut bytes = text.bytes().enumerate().skip(start);
    while let Some((position, byte)) = bytes.next() {
        if byte == b'\\' {
            bytes.next();
        } else if byte == quote {
            return Some(position + 1);
        }
    }
    None
}

fn counts(text: &str) -> Counts {
    let code = code(text);
    let words = code.split(|next: char| !is_word(next) && !"{(;}".contains(next)).filter(|word| !word.is_empty());
    let mut counts = [0; 3];
    let spaced = words.map(|word| word.replace('{', " { ").replace('(', " ( ")).collect::<Vec<_>>().join(" ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    for pair in words.windows(2).filter(|pair| pair[0] == "unsafe") {
        let kind = match pair[1] {
            "{" => 0,
            "fn" | "extern" => 1,
            "impl" | "trait" => 2,
            other => panic!("unsafe {other}: what is that?"),
        };
        counts[kind] += 1;
    }
    counts
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "reads the sources")]
fn unsafe_code_changes_knowingly_only() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder of crates");
    let mut actual = BTreeMap::new();
    for name in ["pageout", "pageout-node"] {
        let mut files = Vec::new();
        sources(&crates.join(name).join("src"), &mut files);
        assert!(files.len() > 5, "{name} has sources");
        for file in files {
            let counts = counts(&fs::read_to_string(&file).expect("a text"));
            let file = file.strip_prefix(crates).expect("found there").to_string_lossy().into_owned();
            actual.insert(file, counts);
        }
    }
    actual.retain(|_, counts| *counts != [0; 3]);
    let expected: BTreeMap<String, Counts> = EXPECTED.iter().map(|(file, counts)| ((*file).to_owned(), *counts)).collect();
    assert_eq!(actual, expected, "where it has to change, change the table");
    let [blocks, functions, implementations] =
        (0..3).map(|kind| actual.values().map(|counts| counts[kind]).sum::<usize>()).collect::<Vec<_>>()[..]
    else {
        unreachable!("three kinds")
    };
    writeln!(std::io::stderr(), "unsafe: {blocks} blocks, {functions} functions, {implementations} implementations")
        .expect("standard error can be written");
}

#[test]
fn what_looks_like_unsafe_code_is_not_counted() {
    let text = r##"
        // unsafe { in a comment }
        /* unsafe { /* unsafe { nested } */ unsafe fn } */
        #![deny(unsafe_code)]
        const A: &str = "unsafe { \" unsafe {";
        const B: &str = r#"unsafe { " unsafe { "#;
        const C: (char, u8) = ('"', b'\'');
        fn lifetime<'a>(unsafe_place: &'a str) -> &'a str { unsafe_place }
    "##;
    assert_eq!(counts(text), [0, 0, 0]);
}

#[test]
fn every_kind_of_unsafe_code_is_counted() {
    let text = r#"
        unsafe impl Send for A {}
        pub(crate) unsafe fn a() { unsafe { b('{') } }
        unsafe extern "C" { fn b(); }
        fn c() { let d = unsafe{ "}" }; unsafe /* here */ { } }
    "#;
    assert_eq!(counts(text), [3, 2, 1]);
}
