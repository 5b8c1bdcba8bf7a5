//! How commands speak: tables with colour on a terminal, plain ones elsewhere, JSON when asked for. Every write
//! returns its error, so that a closed pipe ends a command quietly.

use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use clap::Args;
use serde::Serialize;

#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Print JSON instead of a table
    #[arg(long, display_order = 901)]
    pub json: bool,
}

pub const HEADING: Style = Style::new().bold();
pub const NAME: Style = AnsiColor::Cyan.on_default();
pub const GOOD: Style = AnsiColor::Green.on_default();
pub const WARNING: Style = AnsiColor::Yellow.on_default();
pub const FAINT: Style = Style::new().dimmed();

pub fn say(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{text}")
}

/// For people only: progress and notes never mix with the data on standard output.
pub fn note(text: &str) {
    // A closed standard error is nothing to fail for.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

pub fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let text = if out.is_terminal() {
        serde_json::to_string_pretty(value)?
    } else {
        serde_json::to_string(value)?
    };
    writeln!(out, "{text}")?;
    Ok(())
}

/// Columns as wide as their widest cell; numbers to the right.
#[derive(Debug)]
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Debug)]
pub struct Cell {
    text: String,
    style: Style,
    right: bool,
}

pub fn text(text: impl ToString) -> Cell {
    Cell {
        text: text.to_string(),
        style: Style::new(),
        right: false,
    }
}

pub fn number(number: impl ToString) -> Cell {
    Cell {
        right: true,
        ..self::text(number)
    }
}

impl Cell {
    pub fn style(self, style: Style) -> Self {
        Self { style, ..self }
    }
}

impl Table {
    pub fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.to_vec(),
            rows: Vec::new(),
        }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub fn print(&self) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        out.write_all(self.render().as_bytes())
    }

    fn render(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(|cell| cell.text.chars().count()).max();
            let heading = self.headings[column].chars().count();
            widest.unwrap_or(0).max(heading)
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let right = |column: usize| {
            self.rows
                .first()
                .and_then(|row| row.get(column))
                .is_some_and(|cell| cell.right)
        };
        let mut text = String::new();
        let heading = self.headings.iter().enumerate().map(|(i, heading)| Cell {
            text: (*heading).to_owned(),
            style: HEADING,
            right: right(i),
        });
        render_row(&mut text, &heading.collect::<Vec<_>>(), &widths);
        for row in &self.rows {
            render_row(&mut text, row, &widths);
        }
        text
    }
}

fn render_row(text: &mut String, row: &[Cell], widths: &[usize]) {
    let last = row.len().saturating_sub(1);
    for (i, (cell, width)) in row.iter().zip(widths).enumerate() {
        let padding = " ".repeat(width.saturating_sub(cell.text.chars().count()));
        let shown = styled(cell.style, &cell.text);
        if cell.right {
            text.push_str(&padding);
            text.push_str(&shown);
        } else {
            text.push_str(&shown);
            // No blanks at the end of lines.
            if i != last {
                text.push_str(&padding);
            }
        }
        if i != last {
            text.push_str("  ");
        }
    }
    text.push('\n');
}

/// Asks a person before something that can't be undone. Scripts have said what they want by calling.
pub fn confirm(question: &str, yes: bool) -> anyhow::Result<()> {
    if yes || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(());
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    anyhow::bail!("nothing was changed")
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_clean() {
        let mut table = Table::new(&["TOPIC", "PARTITIONS", "NOTE"]);
        table.row([text("orders"), number(12), text("x")]);
        table.row([text("a-long-topic-name"), number(1), text("")]);
        let plain = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(
            plain,
            "TOPIC              PARTITIONS  NOTE\n\
             orders                     12  x\n\
             a-long-topic-name           1  \n"
        );
    }

    #[test]
    fn long_numbers_are_grouped() {
        let check = |given, expect: &str| assert_eq!(grouped(given), expect);
        check(0, "0");
        check(999, "999");
        check(1000, "1,000");
        check(1_234_567, "1,234,567");
    }
}
