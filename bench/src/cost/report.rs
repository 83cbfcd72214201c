//! The table of figures.

/// Figures in the order in which they were measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<[String; 3]>,
}

impl Report {
    /// Adds a figure, with what is asked for.
    pub(crate) fn add(&mut self, what: &str, figure: impl Into<String>, goal: &str) {
        let figure = figure.into();
        eprintln!("{what}: {figure}");
        self.rows.push([what.to_owned(), figure, goal.to_owned()]);
    }

    /// The whole text of RESULTS.md.
    pub(crate) fn text(&self, machine: &str) -> String {
        let mut text = String::from(
            "# What a node costs\n\n\
             Written by `cargo xtask cost`, which builds the server as a user does (`cargo build --release`) and measures it with a\n\
             client in the same machine. The goals are those of the first issue; nothing fails if one is missed.\n\n",
        );
        text += &format!("{machine}\n\n| what | measured | goal |\n|---|---|---|\n");
        for [what, figure, goal] in &self.rows {
            text += &format!("| {what} | {figure} | {goal} |\n");
        }
        text
    }
}

/// The section of an earlier RESULTS.md that `cargo xtask reach` wrote, which stands behind everything of ours.
pub(crate) fn cluster_section(results: &str) -> Option<String> {
    results.find("## Cluster").map(|start| results[start..].to_owned())
}
