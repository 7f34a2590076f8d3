//! The figures as a table for people and as JSON for programs.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::figures::Figure;
use super::machine::{self, Machine};
use super::plan::Plan;
use crate::workspace::Ended;

/// Everything that is worth keeping of a run.
#[derive(Serialize)]
pub(crate) struct Report {
    plan: Plan,
    machine: Machine,
    /// Processes that wanted to run, on average over the last minute of the run.
    load_at_end: Option<f64>,
    figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn new(plan: &Plan, machine: Machine, figures: Vec<Figure>) -> Self {
        Self {
            plan: *plan,
            machine,
            load_at_end: machine::load().ok(),
            figures,
        }
    }

    /// Whether any limit is exceeded.
    pub(crate) fn is_over(&self) -> bool {
        self.figures.iter().any(|figure| figure.over == Some(true))
    }

    /// A terminal that went away is no reason to fail.
    pub(crate) fn print(&self) {
        let _ = writeln!(std::io::stdout(), "\n{}", self.table());
    }

    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write(&self, file: &Path) -> Ended {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(file, text + "\n")
            .map_err(|e| format!("write {}: {e}", file.display()).into())
    }

    fn table(&self) -> String {
        let head = ["figure", "measured", "limit", "floor or beside", ""].map(str::to_owned);
        let rows = self.figures.iter().map(row);
        let mut text = aligned(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
        let Machine {
            commit,
            processor,
            cores,
            memory,
            kernel,
            load,
        } = &self.machine;
        let gib = memory / 1024;
        let end = self.load_at_end.unwrap_or_default();
        text.push_str(&format!(
            "\n{}\ncommit {commit}; {cores} cores {processor}, {gib} GiB, Linux {kernel}; load {load} at the start, {end} at the end\n",
            self.plan
        ));
        text
    }
}

fn row(figure: &Figure) -> [String; 5] {
    let verdict = match figure.over {
        Some(true) => "OVER",
        Some(false) => "ok",
        None => "",
    };
    [
        figure.name.clone(),
        figure.measured.clone(),
        figure.limit.clone(),
        figure.beside.clone(),
        verdict.to_owned(),
    ]
}

/// Columns as wide as their widest cell.
fn aligned(rows: &[[String; 5]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..5).map(width).collect();
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 5]| cells.map(str::to_owned);
        let table = aligned(&[
            row(["a", "bb", "", "d", ""]),
            row(["aaa", "b", "c", "", "ok"]),
        ]);
        assert_eq!(table, "a    bb     d\naaa  b   c     ok\n");
    }
}
