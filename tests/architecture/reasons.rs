//! Every reason a caller can be given has a page, and every page is of a reason that there is.

use std::{collections::BTreeSet, fs};

use tertulia::api::status::REASONS;

use crate::source::workspace;

#[test]
fn every_reason_has_a_page_and_every_page_a_reason() {
    let pages: BTreeSet<String> = fs::read_dir(workspace().join("docs/errors"))
        .expect("docs/errors is there")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .filter(|name| name != "README.md")
        .collect();
    let wanted: BTreeSet<String> = REASONS.iter().map(|reason| format!("{reason}.md")).collect();
    assert_eq!(wanted.len(), REASONS.len(), "a reason stands twice in REASONS");
    let missing: Vec<_> = wanted.difference(&pages).collect();
    let extra: Vec<_> = pages.difference(&wanted).collect();
    assert!(missing.is_empty() && extra.is_empty(), "without a page: {missing:?}; without a reason: {extra:?}");
}

#[test]
fn the_index_names_every_reason_and_the_pages_their_own() {
    let folder = workspace().join("docs/errors");
    let index = fs::read_to_string(folder.join("README.md")).expect("the index is there");
    for reason in REASONS {
        assert!(index.contains(&format!("({reason}.md)")), "docs/errors/README.md does not link {reason}.md");
        let page = fs::read_to_string(folder.join(format!("{reason}.md"))).expect("the page is there");
        assert!(page.starts_with(&format!("# `{reason}`\n")), "docs/errors/{reason}.md has another title");
        for part in ["**gRPC code:**", "**May have happened:**", "## What to do"] {
            assert!(page.contains(part), "docs/errors/{reason}.md lacks {part:?}");
        }
    }
}
