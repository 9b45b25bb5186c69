//! What the compiler says to the mistakes that people make.
#![cfg(not(shibuya_loom))]

#[test]
fn messages() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
