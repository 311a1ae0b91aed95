//! Text in columns. Widths are those of a terminal: an umlaut takes one column, however it is written, an emoji two.

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const GAP: &str = "  ";
/// The last column keeps at least this much, however narrow the terminal is.
const LAST_COLUMN_AT_LEAST: usize = 12;
/// For output that does not go to a terminal.
const DEFAULT_WIDTH: usize = 140;

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows below a header.
#[derive(Debug)]
pub(crate) struct Table {
    aligns: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[(&str, Align)]) -> Self {
        let names = header.iter().map(|(name, _)| (*name).to_owned()).collect();
        Self { aligns: header.iter().map(|(_, align)| *align).collect(), rows: vec![names] }
    }

    /// Adds a row; it has as many cells as the header.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| one_line(&cell)).collect());
    }

    /// The table, with the last column cut so that lines fit into `width`.
    pub(crate) fn render(&self, width: usize) -> String {
        let mut widths: Vec<usize> = vec![0; self.aligns.len()];
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(cell.width());
            }
        }
        if let Some((last, others)) = widths.split_last_mut() {
            let taken: usize = others.iter().map(|column| column + GAP.len()).sum();
            *last = (*last).min(width.saturating_sub(taken).max(LAST_COLUMN_AT_LEAST));
        }
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).zip(&self.aligns);
            let cells: Vec<String> =
                cells.map(|((cell, width), align)| pad(&cut(cell, *width), *width, *align)).collect();
            let _ = writeln!(text, "{}", cells.join(GAP).trim_end());
        }
        text
    }
}

/// The width of the terminal that standard output goes to.
pub(crate) fn output_width() -> usize {
    terminal_size::terminal_size().map_or(DEFAULT_WIDTH, |(width, _)| usize::from(width.0))
}

/// Cuts `text` to `width` columns; what is cut ends in `…`.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut taken = 1; // the `…`
    for character in text.chars() {
        taken += character.width().unwrap_or(0);
        if taken > width {
            break;
        }
        kept.push(character);
    }
    format!("{}…", kept.trim_end())
}

/// `text` without what a terminal would obey: what comes from outside must not move the cursor. Line breaks stay.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|character| *character == '\n' || !character.is_control()).collect()
}

/// `text` on one line, with single spaces.
pub(crate) fn one_line(text: &str) -> String {
    printable(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn pad(cell: &str, width: usize, align: Align) -> String {
    let space = " ".repeat(width.saturating_sub(cell.width()));
    match align {
        Align::Left => format!("{cell}{space}"),
        Align::Right => format!("{space}{cell}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[("job", Align::Left), ("ms", Align::Right), ("result", Align::Left)]);
        table.row(["content Käse".to_owned(), "7".to_owned(), "Fußmatte für draußen".to_owned()]);
        table.row(["content Ka\u{308}se 🧀".to_owned(), "1234".to_owned(), "line\none\u{1b}[2J".to_owned()]);
        table
    }

    #[test]
    fn columns_are_aligned_by_what_the_terminal_shows() {
        let expected = "job                ms  result\n\
                        content Käse        7  Fußmatte für draußen\n\
                        content Ka\u{308}se 🧀  1234  line one[2J\n";
        assert_eq!(table().render(80), expected);
    }

    #[test]
    fn the_last_column_is_cut_to_the_width() {
        let text = table().render(37);
        assert!(text.contains("7  Fußmatte für…\n"), "{text}");
        assert!(text.lines().all(|line| line.width() <= 37), "{text}");
        let narrow = table().render(5);
        assert!(narrow.contains("7  Fußmatte fü…\n"), "{narrow}");
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
        assert_eq!(cut("🧀🧀🧀", 4), "🧀…");
        assert_eq!(cut("ab cd", 4), "ab…");
    }
}
