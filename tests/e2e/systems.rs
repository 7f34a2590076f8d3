//! The five systems of `examples/`, each folder applied as it stands: its own names, its own IAM policy and trust and
//! nothing more, its entries in their real shapes. What pods see is compared byte for byte, an entry is rotated, and who
//! restarted is counted.

mod bizi;
mod ecomind;
mod estate;
mod fastapi;
mod folder;
mod gaara_store;
mod system;

use crate::case::Test;

/// Each has its namespaces to itself, and an operator that sees no other.
pub fn own() -> Vec<Test> {
    let all = [
        bizi::own(),
        ecomind::own(),
        estate::own(),
        fastapi::own(),
        gaara_store::own(),
    ];
    let named = |mut test: Test| {
        test.name = format!("systems::{}", test.name);
        test
    };
    all.into_iter().flatten().map(named).collect()
}
