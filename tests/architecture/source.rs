//! Reads Rust source as tokens: comments and strings vanish, `cfg(test)` items are cut out, the rest is searched.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};

/// A production file.
#[derive(Debug)]
pub(crate) struct File {
    /// From the root of the workspace, with `/`.
    pub(crate) name: String,
    /// The module it is, from the crate's root; empty for the root itself.
    pub(crate) module: Vec<String>,
    /// Its lines without those of test items.
    pub(crate) lines: usize,
    /// What it says, without test items.
    pub(crate) tokens: Vec<TokenTree>,
}

/// A path that begins in the crate's root or in another crate, cut to what a rule looks at.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub(crate) struct Use {
    /// `crate`, or the other crate's name.
    pub(crate) from: String,
    /// The first one or two segments after it.
    pub(crate) path: String,
    /// Where it stands.
    pub(crate) line: usize,
}

/// All production files of a crate, found by its `mod` items as the compiler finds them.
pub(crate) fn crate_files(workspace: &Path, root: &str) -> Vec<File> {
    let mut files = Vec::new();
    let mut open = vec![(workspace.join(root), Vec::new())];
    while let Some((path, module)) = open.pop() {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name =
            path.strip_prefix(workspace).expect("found below the workspace").to_string_lossy().replace('\\', "/");
        let file = parse(&name, module, &text);
        for child in modules(&file.tokens) {
            let mut module = file.module.clone();
            module.push(child.clone());
            open.push((locate(&path, file.module.is_empty(), &child), module));
        }
        files.push(file);
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

/// Reads one file.
pub(crate) fn parse(name: &str, module: Vec<String>, text: &str) -> File {
    let stream: TokenStream = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut cut = HashSet::new();
    let tokens = production(stream, &mut cut);
    File { name: name.to_owned(), module, lines: text.lines().count() - cut.len(), tokens }
}

fn locate(parent: &Path, is_root: bool, child: &str) -> PathBuf {
    let folder = parent.parent().expect("a file is in a folder");
    let folder = if is_root || parent.ends_with("mod.rs") { folder.to_owned() } else { parent.with_extension("") };
    let flat = folder.join(format!("{child}.rs"));
    if flat.exists() { flat } else { folder.join(child).join("mod.rs") }
}

/// The names of `mod name;` items.
fn modules(tokens: &[TokenTree]) -> Vec<String> {
    tokens
        .windows(3)
        .filter(|three| is_ident(&three[0], "mod") && is_punct(&three[2], ';'))
        .map(|three| three[1].to_string())
        .collect()
}

/// Every path from the crate's root and every path that starts with one of `crates`.
pub(crate) fn uses(file: &File, crates: &[&str]) -> Vec<Use> {
    let mut found = Vec::new();
    search(&file.tokens, &|name| crates.contains(&name), file.module.len(), &mut found);
    found
}

fn search(tokens: &[TokenTree], wanted: &impl Fn(&str) -> bool, depth: usize, found: &mut Vec<Use>) {
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                search(&inner, wanted, depth, found);
            }
            TokenTree::Ident(ident) if starts_path(tokens, at) => {
                let rest = &tokens[at..];
                let ident = ident.to_string();
                if ["crate", "tertulia", "super"].contains(&ident.as_str()) {
                    own(rest, depth, found);
                } else if wanted(&ident) {
                    let line = line(token.span());
                    found.push(Use { from: ident, path: String::new(), line });
                }
            }
            _ => {}
        }
    }
}

/// `crate::a`, `crate::{a, b::c}`, and `super::…::a` when it climbs up to the root.
fn own(mut rest: &[TokenTree], depth: usize, found: &mut Vec<Use>) {
    let mut climbed = 0;
    while is_ident(&rest[0], "super") {
        climbed += 1;
        rest = after_colons(rest);
        if rest.is_empty() {
            return;
        }
        if !is_ident(&rest[0], "super") {
            if climbed >= depth {
                found.extend(firsts(rest).into_iter().map(from_root));
            }
            return;
        }
    }
    found.extend(firsts(after_colons(rest)).into_iter().map(from_root));
}

fn from_root((path, line): (String, usize)) -> Use {
    Use { from: "crate".to_owned(), path, line }
}

/// The first two names of a path, or of each path in a group.
fn firsts(rest: &[TokenTree]) -> Vec<(String, usize)> {
    heads(rest)
        .into_iter()
        .flat_map(|(name, line, rest)| {
            let seconds = heads(after_colons(&rest));
            if seconds.is_empty() {
                return vec![(name, line)];
            }
            seconds.into_iter().map(|(second, line, _)| (format!("{name}::{second}"), line)).collect()
        })
        .collect()
}

/// The first name of a path, or of each path in a group, with its line and the path from there on.
fn heads(rest: &[TokenTree]) -> Vec<(String, usize, Vec<TokenTree>)> {
    match rest.first() {
        Some(TokenTree::Ident(ident)) => {
            vec![(ident.to_string(), line(ident.span()), rest.to_vec())]
        }
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            inner.split(|token| is_punct(token, ',')).flat_map(heads).collect()
        }
        Some(TokenTree::Punct(star)) if star.as_char() == '*' => {
            vec![("*".to_owned(), line(star.span()), vec![])]
        }
        _ => Vec::new(),
    }
}

/// Whether a path begins here: a name before `::` or after `use`, and not in the middle of another path.
fn starts_path(tokens: &[TokenTree], at: usize) -> bool {
    let after_use = at > 0 && is_ident(&tokens[at - 1], "use");
    let continues = at > 2 && is_colons(&tokens[at - 2..]) && matches!(&tokens[at - 3], TokenTree::Ident(_));
    after_use || (!continues && is_colons(&tokens[at + 1..]))
}

fn after_colons(rest: &[TokenTree]) -> &[TokenTree] {
    if rest.len() > 3 && is_colons(&rest[1..]) { &rest[3..] } else { &[] }
}

fn is_colons(tokens: &[TokenTree]) -> bool {
    tokens.len() >= 2 && is_punct(&tokens[0], ':') && is_punct(&tokens[1], ':')
}

/// The tokens without items that only tests are built with; `cut` collects the lines these took.
fn production(stream: TokenStream, cut: &mut HashSet<usize>) -> Vec<TokenTree> {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if let Some(inner) = attribute(&tokens[at..])
            && is_test_only(&inner)
        {
            let end = item_end(&tokens, at);
            cut.extend(line(tokens[at].span())..=tokens[end - 1].span().end().line);
            at = end;
            continue;
        }
        kept.push(match &tokens[at] {
            TokenTree::Group(group) => {
                let inner = production(group.stream(), cut).into_iter().collect();
                let mut copy = proc_macro2::Group::new(group.delimiter(), inner);
                copy.set_span(group.span());
                TokenTree::Group(copy)
            }
            other => other.clone(),
        });
        at += 1;
    }
    kept
}

/// What is inside `#[…]`, if that is what comes next.
fn attribute(tokens: &[TokenTree]) -> Option<Vec<TokenTree>> {
    match tokens {
        [hash, TokenTree::Group(group), ..] if is_punct(hash, '#') && group.delimiter() == Delimiter::Bracket => {
            Some(group.stream().into_iter().collect())
        }
        _ => None,
    }
}

/// `cfg(test)`, `cfg(any(test, …))`, `test`, `tokio::test`; but not `cfg(not(test))`.
fn is_test_only(attribute: &[TokenTree]) -> bool {
    match attribute {
        [name, TokenTree::Group(group)] if is_ident(name, "cfg") => {
            let text = group.stream().to_string();
            let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            words.contains(&"test") && !words.contains(&"not")
        }
        _ => false,
    }
}

/// Where the item at `at` ends: after its `;` or its body; for a variant, field or match arm after its comma.
fn item_end(tokens: &[TokenTree], mut at: usize) -> usize {
    while attribute(&tokens[at..]).is_some() {
        at += 2;
    }
    let keywords = ["pub", "fn", "mod", "impl", "struct", "enum", "use", "const", "static", "async", "trait", "type"];
    let is_item = tokens.get(at).is_some_and(|token| keywords.iter().any(|word| is_ident(token, word)));
    for (index, token) in tokens.iter().enumerate().skip(at) {
        let body = matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
        if body || is_punct(token, ';') || (!is_item && is_punct(token, ',')) {
            return index + 1;
        }
    }
    tokens.len()
}

/// The functions of a file that have a body: name, first line, number of lines.
pub(crate) fn functions(file: &File) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    find_functions(&file.tokens, &mut found);
    found
}

fn find_functions(tokens: &[TokenTree], found: &mut Vec<(String, usize, usize)>) {
    for (at, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(group) = token {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            find_functions(&inner, found);
        }
        let named = matches!(tokens.get(at + 1), Some(TokenTree::Ident(_)));
        if !(is_ident(token, "fn") && named) {
            continue;
        }
        let ends = tokens[at..].iter().find(|token| {
            is_punct(token, ';') || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
        });
        if let Some(TokenTree::Group(body)) = ends {
            let first = line(token.span());
            found.push((tokens[at + 1].to_string(), first, body.span_close().end().line + 1 - first));
        }
    }
}

fn line(span: Span) -> usize {
    span.start().line
}

fn is_ident(token: &TokenTree, name: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == name)
}

fn is_punct(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

/// The root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All production files of the workspace.
pub(crate) fn all_files() -> Vec<File> {
    let tools = fs::read_dir(workspace().join("tools")).into_iter().flatten().flatten();
    let tools = tools.map(|entry| format!("tools/{}/src/main.rs", entry.file_name().to_string_lossy()));
    ["src/lib.rs", "src/main.rs", "proto/src/lib.rs", "xtask/src/main.rs"]
        .into_iter()
        .map(str::to_owned)
        .chain(tools.filter(|root| workspace().join(root).exists()))
        .flat_map(|root| crate_files(workspace(), &root))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(module: &[&str], text: &str) -> Vec<String> {
        let file = parse("made-up.rs", module.iter().map(|&name| name.to_owned()).collect(), text);
        uses(&file, &["ractor", "tonic"])
            .into_iter()
            .map(|found| format!("{}:{}::{}", found.line, found.from, found.path))
            .collect()
    }

    #[test]
    fn paths_are_found_wherever_they_stand() {
        let text = "use crate::storage::Store;\n\
             use crate::{api, events::{Bus, Other}, clock as c};\n\
             pub(crate) use ractor;\n\
             fn f(x: crate::actors::Node) { let y = vec![ractor::spawn(crate::config::get())]; }\n\
             #[tonic::async_trait] impl X for Y { const Z: u8 = ::ractor::Z; }\n\
             macro_rules! m { () => { $crate::client::run() } }\n\
             use crate::domain::*;";
        assert_eq!(
            found(&["domain"], text),
            [
                "1:crate::storage::Store",
                "2:crate::api",
                "2:crate::events::Bus",
                "2:crate::events::Other",
                "2:crate::clock",
                "3:ractor::",
                "4:crate::actors::Node",
                "4:ractor::",
                "4:crate::config::get",
                "5:tonic::",
                "5:ractor::",
                "6:crate::client::run",
                "7:crate::domain::*",
            ]
        );
    }

    #[test]
    fn climbing_to_the_root_counts() {
        let text = "use super::super::storage::Store; use super::ids; use super::super::{api, x};";
        assert_eq!(found(&["domain", "room"], text), ["1:crate::storage::Store", "1:crate::api", "1:crate::x"]);
        assert_eq!(found(&["domain"], "use super::api;"), ["1:crate::api"]);
        assert!(found(&["a", "b", "c"], "use super::super::api;").is_empty());
    }

    #[test]
    fn comments_strings_and_the_middle_of_paths_do_not_count() {
        let text = "//! See [`crate::api`].\n/// `ractor::Actor`\nfn f() { /* crate::api */ g(\"crate::api::x\", r#\"ractor::x\"#); }\n\
             use crate::domain::{ractor::x}; fn g() { self::crate_like::x(); domain::tonic::y(); }";
        let found = found(&["actors"], text);
        assert_eq!(found, ["4:crate::domain::ractor", "4:ractor::"], "a name within a use group is taken for a crate");
    }

    #[test]
    fn test_items_are_cut_out() {
        let text = "use crate::a;\n\
             #[cfg(test)]\nmod tests {\n    use crate::b;\n}\n\
             #[cfg(any(test, feature = \"testkit\"))]\npub fn f<A, B>() { crate::c::d() }\n\
             #[cfg(not(test))]\nuse crate::e;\n\
             enum E { #[cfg(test)] X(crate::f::G), Y(crate::h::I) }\n\
             #[cfg(test)] use crate::j;\n\
             #[cfg(test)]\nmod suite;\nmod real;\n";
        assert_eq!(found(&["x"], text), ["1:crate::a", "9:crate::e", "10:crate::h::I"]);
        let file = parse("made-up.rs", vec![], text);
        assert_eq!(modules(&file.tokens), ["real"]);
        assert_eq!(file.lines, 14 - 4 - 2 - 1 - 1 - 2);
    }

    #[test]
    fn functions_are_measured() {
        let text = "trait T { fn none(&self); }\nimpl T for X {\n    fn two(&self) {\n    }\n}\nfn one() {}\n";
        let file = parse("made-up.rs", vec![], text);
        assert_eq!(functions(&file), [("two".to_owned(), 3, 2), ("one".to_owned(), 6, 1)]);
    }

    #[test]
    fn the_real_tree_is_read() {
        let names: Vec<String> = all_files().into_iter().map(|file| file.name).collect();
        for name in ["src/lib.rs", "src/domain/room/decide/mod.rs", "src/actors/mod.rs", "proto/src/lib.rs"] {
            assert!(names.iter().any(|found| found == name), "{name} not found");
        }
        for name in ["src/crypto/tests.rs", "src/storage/conformance/mod.rs"] {
            assert!(!names.iter().any(|found| found == name), "{name} is test code");
        }
    }
}
