//! How large files and functions may be: what does not fit a head does not get reviewed.

use crate::source::{self, File};

/// Most lines of a production file, its tests not counted.
const FILE_LINES_MAX: usize = 500;
/// Most lines of a `mod.rs`: it holds what the module is, its parts and its outside face.
const MOD_LINES_MAX: usize = 200;
/// Functions above this are reported.
const FUNCTION_LINES_NOTED: usize = 70;

/// Files that are larger for now, and how large each may be at most.
const KNOWN: &[(&str, usize)] = &[
    ("src/actors/user/mod.rs", 350),
    ("src/client/irc/generate/mod.rs", 350),
    ("src/client/irc/import/mod.rs", 300),
    ("src/storage/migrate/verify/mod.rs", 250),
    ("src/storage/mod.rs", 300),
    ("tools/loadgen/src/workload/mod.rs", 300),
];

fn cap(name: &str) -> usize {
    if name.ends_with("/mod.rs") { MOD_LINES_MAX } else { FILE_LINES_MAX }
}

fn too_large(files: &[File], known: &[(&str, usize)]) -> Vec<String> {
    files
        .iter()
        .filter_map(|file| {
            let known = known.iter().find(|(name, _)| file.name == *name);
            let cap = known.map_or_else(|| cap(&file.name), |(_, lines)| *lines);
            (file.lines > cap).then(|| format!("{}: {} lines, at most {cap}", file.name, file.lines))
        })
        .collect()
}

fn outdated<'a>(files: &[File], known: &[(&'a str, usize)]) -> Vec<&'a str> {
    let still = |name: &str| files.iter().any(|file| file.name == name && file.lines > cap(name));
    known.iter().map(|(name, _)| *name).filter(|name| !still(name)).collect()
}

#[test]
fn files_are_small() {
    let files = source::all_files();
    let large = too_large(&files, KNOWN);
    assert!(large.is_empty(), "{}", large.join("\n"));
    let outdated = outdated(&files, KNOWN);
    assert!(outdated.is_empty(), "take these off the list in tests/architecture/size.rs: {outdated:?}");
}

/// Fails never; `cargo xtask test budget` shows what it prints.
#[test]
fn report() {
    let files = source::all_files();
    let mut sizes: Vec<(usize, &str)> = files.iter().map(|file| (file.lines, file.name.as_str())).collect();
    sizes.sort_unstable();
    let total: usize = sizes.iter().map(|(lines, _)| lines).sum();
    println!("{} files, {total} lines; median {}, p90 {}", sizes.len(), quantile(&sizes, 0.5), quantile(&sizes, 0.9));
    for (lines, name) in sizes.iter().rev().take(10) {
        println!("  {lines:>4} {name}");
    }
    let mut long = long_functions(&files);
    long.sort_unstable_by(|a, b| b.cmp(a));
    println!("functions over {FUNCTION_LINES_NOTED} lines: {}", long.len());
    for (lines, place) in long {
        println!("  {lines:>4} {place}");
    }
}

fn long_functions(files: &[File]) -> Vec<(usize, String)> {
    files
        .iter()
        .flat_map(|file| {
            source::functions(file)
                .into_iter()
                .filter(|(_, _, lines)| *lines > FUNCTION_LINES_NOTED)
                .map(move |(name, line, lines)| (lines, format!("{}:{line} {name}", file.name)))
        })
        .collect()
}

fn quantile(sorted: &[(usize, &str)], part: f64) -> usize {
    let at = (sorted.len() as f64 * part) as usize;
    sorted[at.min(sorted.len() - 1)].0
}

mod made_up {
    use super::*;

    fn file(name: &str, lines: usize) -> File {
        source::parse(name, vec![], &"fn f() {}\n".repeat(lines))
    }

    #[test]
    fn one_line_too_many_is_one_too_many() {
        assert!(too_large(&[file("a.rs", 500), file("a/mod.rs", 200)], &[]).is_empty());
        assert_eq!(
            too_large(&[file("a.rs", 501), file("a/mod.rs", 201)], &[]),
            ["a.rs: 501 lines, at most 500", "a/mod.rs: 201 lines, at most 200"]
        );
    }

    #[test]
    fn tests_are_not_counted() {
        let text = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "fn f() {}\n".repeat(500), "fn g() {}\n".repeat(90));
        assert!(too_large(&[source::parse("a.rs", vec![], &text)], &[]).is_empty());
    }

    #[test]
    fn a_known_file_may_not_grow_and_leaves_the_list_when_it_can() {
        let known = [("a.rs", 600)];
        assert!(too_large(&[file("a.rs", 600)], &known).is_empty());
        assert_eq!(too_large(&[file("a.rs", 601)], &known).len(), 1);
        assert!(outdated(&[file("a.rs", 501)], &known).is_empty());
        assert_eq!(outdated(&[file("a.rs", 500)], &known), ["a.rs"]);
        assert_eq!(outdated(&[], &known), ["a.rs"]);
    }

    #[test]
    fn long_functions_are_noted() {
        let text = format!("fn f() {{\n{}}}\nfn g() {{\n{}}}\n", "    x();\n".repeat(69), "    x();\n".repeat(68));
        assert_eq!(long_functions(&[source::parse("a.rs", vec![], &text)]), [(71, "a.rs:1 f".to_owned())]);
    }
}
