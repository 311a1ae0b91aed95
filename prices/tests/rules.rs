//! How pages are read has a name of its own as long as nothing changes that decides it.

use std::path::Path;

#[path = "../build.rs"]
#[expect(dead_code, reason = "a build script begins with its main function")]
mod build;

#[test]
fn what_decides_how_a_page_is_read_names_the_rules_and_nothing_else_does() {
    let files = build::deciding(Path::new("src")).unwrap();
    let has = |name: &str| files.iter().any(|path| path == &Path::new("src").join(name));
    for decides in ["extract/offers.rs", "extract/mod.rs", "amount/mod.rs", "dom/parse.rs", "words/buy.rs", "found.rs"]
    {
        assert!(has(decides), "{decides}");
    }
    for other in ["extract/tests/offers.rs", "amount/tests.rs", "dom/tests.rs", "testing.rs", "lib.rs", "rates.rs"] {
        assert!(!has(other), "{other}");
    }
    assert_eq!(build::rules().unwrap(), prices::RULES);
}
