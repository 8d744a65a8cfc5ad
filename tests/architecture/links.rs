//! Links between the project's documents lead somewhere: to a file that is there, and to a heading that it has.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::source::workspace;

/// Where documents are, besides the root.
const FOLDERS: &[&str] = &["docs", "docs/adr", "docs/errors", "changelog.d"];

fn documents() -> Vec<PathBuf> {
    let folders = FOLDERS.iter().map(|folder| workspace().join(folder));
    [workspace().to_owned()]
        .into_iter()
        .chain(folders)
        .flat_map(|folder| fs::read_dir(folder).expect("a folder of documents is there"))
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect()
}

/// Targets of `[text](target)` outside of code, without those on other hosts.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Every second part stands between backticks; a link's text may, its target does not.
        let plain: String = line.split('`').step_by(2).collect();
        let targets = plain.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        found.extend(targets.filter(|target| !target.contains(":")).map(str::to_owned));
    }
    found
}

/// The anchors of a document's headings, as forges make them.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let slug = |line: &str| {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(slug).collect()
}

/// Why a link of `document` leads nowhere.
fn broken(document: &Path, text: &str, link: &str) -> Option<String> {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let folder = document.parent().expect("a document is in a folder");
    let target = if file.is_empty() { document.to_owned() } else { folder.join(file) };
    if !file.is_empty() && !target.exists() {
        return Some("no such file".to_owned());
    }
    if anchor.is_empty() {
        return None;
    }
    let linked = if file.is_empty() { text.to_owned() } else { fs::read_to_string(&target).ok()? };
    (!anchors(&linked).iter().any(|known| known == anchor)).then(|| "no such heading".to_owned())
}

#[test]
fn links_lead_somewhere() {
    let mut bad = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).expect("readable");
        for link in links(&text) {
            if let Some(why) = broken(&document, &text, &link) {
                bad.push(format!("{}: {link}: {why}", document.display()));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn links_are_found_and_code_is_not() {
    let text = "See [a](x.md#b), [`c`](d/e.md) and `[f](g.md)`, [h](https://i).\n```\n[j](k.md)\n```\n[l](#m)";
    assert_eq!(links(text), ["x.md#b", "d/e.md", "#m"]);
}

#[test]
fn a_broken_link_is_told() {
    let document = workspace().join("made-up.md");
    let text = "# What to watch\n## `serve`: it's ready";
    assert_eq!(broken(&document, text, "#what-to-watch"), None);
    assert_eq!(broken(&document, text, "#serve-its-ready"), None);
    assert_eq!(broken(&document, text, "#else").as_deref(), Some("no such heading"));
    assert_eq!(broken(&document, text, "nowhere.md").as_deref(), Some("no such file"));
    assert_eq!(broken(&document, text, "LICENSE"), None);
}
