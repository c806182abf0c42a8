use std::collections::BTreeSet;

use super::*;

fn matching(shared: &Shared, folder: Option<&str>, patterns: &[&str]) -> Vec<String> {
    let query = ListQuery {
        folder: folder.map(name),
        patterns: patterns.iter().map(|p| (*p).to_owned()).collect(),
    };
    let page = shared.store.list(&query, None, 1000).unwrap();
    page.items
        .iter()
        .map(|item| item.name().as_str().to_owned())
        .collect()
}

#[test]
fn patterns_choose() {
    let shared = Shared::new();
    for text in ["a.txt", "b.md", "d/a.txt", "d/e/a.txt", "d/e/c", "x[1]"] {
        shared.upload(text, "").unwrap();
    }
    shared
        .store
        .make_folder(&name("d/empty"), false, &Cause::default())
        .unwrap();
    assert_eq!(matching(&shared, None, &["*.txt"]), ["a.txt"]);
    assert_eq!(
        matching(&shared, None, &["**/*.txt"]),
        ["a.txt", "d/a.txt", "d/e/a.txt"]
    );
    assert_eq!(matching(&shared, None, &["d/e"]), ["d/e/a.txt", "d/e/c"]);
    assert_eq!(matching(&shared, None, &["d/e/"]), ["d/e/a.txt", "d/e/c"]);
    assert_eq!(matching(&shared, None, &["d/em*"]), ["d/empty"]);
    assert_eq!(matching(&shared, None, &["x[1]", "b.*"]), ["b.md", "x[1]"]);
    assert_eq!(matching(&shared, Some("d"), &["a.txt"]), ["d/a.txt"]);
    assert_eq!(matching(&shared, Some("d/e"), &[]), ["d/e/a.txt", "d/e/c"]);
    assert_eq!(matching(&shared, None, &["none"]), [""; 0]);
    let nowhere = ListQuery {
        folder: Some(name("nowhere")),
        patterns: Vec::new(),
    };
    refused!(
        shared.store.list(&nowhere, None, 1),
        StoreError::NotFound(_)
    );
}

#[test]
fn pages_have_every_name_once() {
    let shared = Shared::new();
    let mut expected = BTreeSet::new();
    for number in 0..500 {
        let text = format!("{}/{}", number % 7, number);
        shared.write(&text, "");
        expected.insert(text);
        if number % 10 == 0 {
            let text = format!("{}/{}-empty", number % 7, number);
            std::fs::create_dir(shared.path().join(&text)).unwrap();
            expected.insert(text);
        }
    }
    shared.let_listings_catch_up();
    for size in [1, 7, 100, 550, 1000] {
        let mut names = Vec::new();
        let mut after = None;
        loop {
            let query = ListQuery::default();
            let page = shared.store.list(&query, after.as_ref(), size).unwrap();
            assert!(page.items.len() <= size);
            names.extend(page.items.iter().map(|i| i.name().as_str().to_owned()));
            after = page.items.last().map(|item| item.name().clone());
            if !page.more {
                break;
            }
        }
        assert!(names.iter().eq(expected.iter()), "pages of {size}");
    }
}

#[test]
fn nothing_is_listed_of_an_empty_store() {
    let shared = Shared::new();
    let page = shared.store.list(&ListQuery::default(), None, 10).unwrap();
    assert!(page.items.is_empty() && !page.more);
}
