//! Every command line of ours in a page is one that the program takes.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use keyferry::cli::Cli;

/// Where a command of a shell ends.
const ENDS: [&str; 9] = ["|", ">", ">>", "<", "&&", "||", ";", "#", "&"];

fn pages(dir: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, all);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            all.push(path);
        }
    }
}

/// The command lines of a page: in blocks, and in the text between backticks.
fn commands(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ");
    let mut fenced = false;
    let mut in_block = |line: &&str| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && (fenced || line.starts_with("    "))
    };
    let blocks: Vec<&str> = joined
        .lines()
        .filter(|line| in_block(line))
        .map(str::trim)
        .collect();
    let inline = joined.split('`').skip(1).step_by(2);
    let mut all: Vec<Vec<String>> = blocks.into_iter().chain(inline).flat_map(calls).collect();
    all.sort();
    all.dedup();
    all
}

/// The calls of our program in a line of a shell; none where it is mentioned in a sentence.
fn calls(line: &str) -> Vec<Vec<String>> {
    let line = line.strip_prefix("$ ").unwrap_or(line);
    let line = line.replace("kubectl keyferry ", "keyferry ");
    let begins = line.starts_with("keyferry ") || line.contains("| keyferry ");
    let words = begins
        .then(|| shlex::split(&line))
        .flatten()
        .unwrap_or_default();
    let commands = words.split(|word| ENDS.contains(&word.as_str()));
    let ours = commands.filter(|words| words.first().is_some_and(|word| word == "keyferry"));
    // Alone it is the verb's name.
    ours.filter(|words| words.len() > 2)
        .map(<[String]>::to_vec)
        .collect()
}

#[test]
fn every_command_in_the_pages_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = vec![root.join("README.md")];
    for dir in ["docs", "examples", "charts"] {
        pages(&root.join(dir), &mut all);
    }
    let mut seen = 0;
    for page in &all {
        for words in commands(&std::fs::read_to_string(page).unwrap()) {
            seen += 1;
            let refused = Cli::command().try_get_matches_from(&words).err();
            assert!(
                refused.is_none(),
                "{}: {}\n{}",
                page.display(),
                words.join(" "),
                refused.unwrap()
            );
        }
    }
    assert!(seen > 0, "no command was found");
}

#[test]
fn commands_are_found_wherever_they_stand() {
    let page = "keyferry begins a sentence.\n```\nkeyferry crds\nkeyferry validate -f b/\n```\n    $ keyferry validate -f a/ | cat\n    printf x | keyferry \\\n  import - --to 'b c'\n`keyferry run` and `kubectl keyferry crds -x`\n";
    let found = commands(page);
    let found: Vec<String> = found.iter().map(|words| words.join(" ")).collect();
    assert_eq!(
        found,
        [
            "keyferry crds -x",
            "keyferry import - --to b c",
            "keyferry validate -f a/",
            "keyferry validate -f b/"
        ]
    );
}
