//! What the documents say agrees with what is tested and with the manifest.

#![forbid(unsafe_code)]

const OF_THE_REPOSITORY: &str = include_str!("../../../../README.md");
/// Its examples are doc tests.
const OF_THE_CRATE: &str = include_str!("../../README.md");

#[test]
fn each_rust_example_of_the_repository_is_one_of_the_crate() {
    let examples: Vec<&str> = OF_THE_REPOSITORY.split("```rust\n").skip(1).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let (example, _) = example.split_once("```").expect("the end of the example");
        assert!(OF_THE_CRATE.contains(&format!("```rust\n{example}```")), "not tested:\n{example}");
    }
}

#[test]
fn the_oldest_rust_is_the_one_of_the_manifest() {
    let oldest = env!("CARGO_PKG_RUST_VERSION");
    assert!(OF_THE_REPOSITORY.contains(&format!("Rust >= {oldest}.")));
    for text in [OF_THE_CRATE, include_str!("../../src/lib.rs")] {
        assert!(text.contains(&format!("Rust {oldest} or later.")));
    }
}
