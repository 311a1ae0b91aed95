//! Products from a CSV file.

use std::{collections::HashMap, io::Read};

use csv::StringRecord;
use serde::Deserialize;
use serde::de::{IntoDeserializer, value::Error as ValueError};

use super::request::{ContentRequest, LENGTHS, Price, Tier, default_target_length};

/// Every column, and whether a file may leave it out.
const COLUMNS: [(&str, bool); 10] = [
    ("product_id", false),
    ("name", false),
    ("category", false),
    ("language", false),
    ("features", true),
    ("tone", true),
    ("target_length", true),
    ("price", true),
    ("currency", true),
    ("description", true),
];

/// A file that is no list of products.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}{}: {message}", .column.as_ref().map(|column| format!(", column {column}")).unwrap_or_default())]
pub struct CsvError {
    /// Where the bad record begins, from 1; the header is line 1.
    pub line: u64,
    /// The bad cell's column; `None` when the record as a whole is bad.
    pub column: Option<String>,
    /// What is wrong, and what is allowed.
    pub message: String,
}

/// Reads products from CSV (RFC 4180, UTF-8) with a header: `product_id`, `name`, `category`, `language`, and as wanted
/// `features` (separated by `|`), `tone`, `target_length` (words), `price` with `currency`, and `description`, in any order.
///
/// # Errors
/// The first cell that is bad, by line and column. Lengths are not checked here.
pub fn from_csv(reader: impl Read) -> Result<Vec<ContentRequest>, CsvError> {
    let mut reader = csv::Reader::from_reader(reader);
    let columns = columns(reader.headers().map_err(|error| unreadable(&error))?)?;
    let mut requests = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| unreadable(&error))?;
        let line = record.position().map_or(0, csv::Position::line);
        requests.push(Row { columns: &columns, record: &record, line }.request()?);
    }
    Ok(requests)
}

/// Where each column stands.
fn columns(header: &StringRecord) -> Result<HashMap<&'static str, usize>, CsvError> {
    let refuse = |column: &str, message: String| CsvError { line: 1, column: Some(column.to_owned()), message };
    let known = COLUMNS.map(|(name, _)| name).join(", ");
    let mut columns = HashMap::new();
    for (index, cell) in header.iter().enumerate() {
        // Spreadsheets put a byte order mark in front of the first name.
        let name = cell.trim_start_matches('\u{feff}').trim();
        let Some((name, _)) = COLUMNS.into_iter().find(|(column, _)| *column == name) else {
            return Err(refuse(name, format!("no such column; the columns are {known}")));
        };
        if columns.insert(name, index).is_some() {
            return Err(refuse(name, "the column is there twice".to_owned()));
        }
    }
    match COLUMNS.into_iter().find(|(name, optional)| !optional && !columns.contains_key(name)) {
        Some((name, _)) => Err(refuse(name, format!("the column is missing; the columns are {known}"))),
        None => Ok(columns),
    }
}

fn unreadable(error: &csv::Error) -> CsvError {
    let message = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!(
                "has {len} cells, but the header has {expected_len}; put cells with commas or quotes in double quotes"
            )
        }
        csv::ErrorKind::Utf8 { .. } => "is not UTF-8; save the file as UTF-8".to_owned(),
        _ => error.to_string(),
    };
    CsvError { line: error.position().map_or(1, csv::Position::line), column: None, message }
}

/// One record with its place in the file.
struct Row<'a> {
    columns: &'a HashMap<&'static str, usize>,
    record: &'a StringRecord,
    line: u64,
}

impl Row<'_> {
    fn request(&self) -> Result<ContentRequest, CsvError> {
        let request = ContentRequest {
            product_id: self.text("product_id")?,
            name: self.text("name")?,
            category: self.text("category")?,
            features: self.features(),
            description: self.cell("description").map(str::to_owned),
            language: self.word("language", self.text("language")?.as_str())?,
            tone: self.cell("tone").map(|tone| self.word("tone", tone)).transpose()?.unwrap_or_default(),
            target_length: self.target_length()?,
            price: self.price()?,
            tier: Tier::default(),
            max_cost: None,
            fresh: false,
        };
        match request.problems().first() {
            Some(problem) => Err(self.bad(column_of(&problem.pointer), &problem.message)),
            None => Ok(request),
        }
    }

    /// The trimmed cell; `None` when the cell is blank or the column not there.
    fn cell(&self, column: &str) -> Option<&str> {
        let cell = self.record.get(*self.columns.get(column)?)?.trim();
        (!cell.is_empty()).then_some(cell)
    }

    fn text(&self, column: &'static str) -> Result<String, CsvError> {
        self.cell(column).map(str::to_owned).ok_or_else(|| self.bad(column, "must not be empty"))
    }

    /// A value of an enum that is written as one word.
    fn word<'w, T: Deserialize<'w>>(&self, column: &'static str, word: &'w str) -> Result<T, CsvError> {
        let word = IntoDeserializer::<ValueError>::into_deserializer(word);
        T::deserialize(word).map_err(|error| self.bad(column, &error.to_string()))
    }

    fn features(&self) -> Vec<String> {
        let features = self.cell("features").unwrap_or_default().split('|').map(str::trim);
        features.filter(|feature| !feature.is_empty()).map(str::to_owned).collect()
    }

    fn target_length(&self) -> Result<u16, CsvError> {
        let Some(cell) = self.cell("target_length") else { return Ok(default_target_length()) };
        let length = cell.parse().ok().filter(|length| LENGTHS.contains(length));
        length.ok_or_else(|| self.bad("target_length", &format!("{cell:?} is no number of words from 50 to 1500")))
    }

    fn price(&self) -> Result<Option<Price>, CsvError> {
        match (self.cell("price"), self.cell("currency")) {
            (Some(amount), Some(currency)) => {
                Ok(Some(Price { amount: amount.to_owned(), currency: currency.to_owned() }))
            }
            (Some(_), None) => Err(self.bad("currency", "must be given with a price")),
            (None, _) => Ok(None),
        }
    }

    fn bad(&self, column: &str, message: &str) -> CsvError {
        CsvError { line: self.line, column: Some(column.to_owned()), message: message.to_owned() }
    }
}

/// The column that a JSON pointer into a request stands for.
fn column_of(pointer: &str) -> &str {
    match pointer {
        "/price/amount" => "price",
        "/price/currency" => "currency",
        _ => pointer.split('/').nth(1).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{Language, Tone};

    const HEADER: &str = "product_id,name,category,features,language,tone,target_length,price,currency,description\n";

    fn read(rows: &str) -> Result<Vec<ContentRequest>, CsvError> {
        from_csv(format!("{HEADER}{rows}").as_bytes())
    }

    #[test]
    fn a_row_becomes_a_request() {
        let requests =
            read("A-1,\"Käse, \"\"alt\"\"\",Food, ripe | round ,en,luxury,120,4.5,EUR,\"Two\nlines\"\n").unwrap();
        let expected = ContentRequest {
            product_id: "A-1".to_owned(),
            name: "Käse, \"alt\"".to_owned(),
            category: "Food".to_owned(),
            features: vec!["ripe".to_owned(), "round".to_owned()],
            description: Some("Two\nlines".to_owned()),
            language: Language::En,
            tone: Tone::Luxury,
            target_length: 120,
            price: Some(Price { amount: "4.5".to_owned(), currency: "EUR".to_owned() }),
            tier: Tier::Standard,
            max_cost: None,
            fresh: false,
        };
        assert_eq!(requests, [expected]);
    }

    #[test]
    fn blank_cells_and_missing_columns_take_the_defaults() {
        let short = from_csv("\u{feff}language,category,name,product_id\r\nfr,B,C,D\r\n".as_bytes()).unwrap();
        let blank = read("D,C,B,,fr,,,,,\n").unwrap();
        assert_eq!(short, blank);
        assert_eq!((short[0].tone, short[0].target_length, &short[0].price), (Tone::Professional, 300, &None));
    }

    #[test]
    fn a_bad_cell_is_named_by_line_and_column() {
        let good = "A,B,C,,fr,,,,,\"two\nlines\"\n";
        let cases = [
            (",B,C,,fr,,,,,", "line 4, column product_id: must not be empty"),
            ("A,B,C,,de,,,,,", "line 4, column language: unknown variant `de`, expected `fr` or `en`"),
            ("A,B,C,,fr,,49,,,", "line 4, column target_length: \"49\" is no number of words from 50 to 1500"),
            ("A,B,C,,fr,,,9,,", "line 4, column currency: must be given with a price"),
            ("A,B,C,,fr,,,9,EURO,", "line 4, column currency: must be a currency code of ISO 4217, such as EUR"),
            ("A,B,C,,fr,,,\"9,5\",EUR,", "line 4, column price: must be a decimal number over 0, such as 49.90"),
            ("A,B,C,x|\u{7}y,fr,,,,,", "line 4, column features: must not contain control characters"),
        ];
        for (row, message) in cases {
            assert_eq!(read(&format!("{good}{row}\n")).unwrap_err().to_string(), message);
        }
        let too_many = read(&format!("{good}A,B,C,D,E,F,G,H,I,J,K\n")).unwrap_err();
        assert_eq!((too_many.line, too_many.column), (4, None));
    }

    #[test]
    fn a_bad_header_is_named() {
        let message = |csv: &str| from_csv(csv.as_bytes()).unwrap_err().to_string();
        assert!(message("product_id,name,category\n").starts_with("line 1, column language: the column is missing"));
        assert!(message("product_id,naam\n").starts_with("line 1, column naam: no such column"));
        assert!(message("name,name\n").starts_with("line 1, column name: the column is there twice"));
    }
}
