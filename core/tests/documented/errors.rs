//! `docs/errors.md` holds the one table of errors for people. It has to say
//! what [`ErrorKind`] says.

use longwire::ErrorKind;

/// The cells of the table's rows that begin with a number.
fn rows() -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");
    let page = std::fs::read_to_string(path).expect("docs/errors.md can be read");
    page.lines()
        .filter(|line| line.starts_with("| -"))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
        })
        .collect()
}

#[test]
fn the_table_is_the_enum() {
    let rows = rows();
    let numbers: Vec<_> = rows.iter().map(|row| row[0].clone()).collect();
    let expected: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.code().to_string()).collect();
    assert_eq!(numbers, expected, "one row for each kind, in the order of their numbers");

    for (kind, row) in ErrorKind::ALL.iter().zip(&rows) {
        let [number, symbol, name, python, retried, meaning] = row.as_slice() else {
            panic!("six columns expected in {row:?}");
        };
        assert_eq!(*symbol, format!("LW_{}", kind.symbol()), "the symbol of {number}");
        assert_eq!(*name, format!("{kind:?}"), "the name of {number}");
        let expected = if kind.is_retryable() { "yes" } else { "no" };
        assert_eq!(retried.split(',').next(), Some(expected), "whether {name} is tried again");
        assert!(!python.is_empty(), "the Python exception of {name} is missing");
        assert!(!meaning.is_empty(), "the meaning of {name} is missing");
    }
}
