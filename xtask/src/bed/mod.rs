//! What the demo and the benchmark stand on: a control plane, a fake AWS that trusts it, the operator's
//! binary, and the operator as a process under the chart's own rights. Knows no scenario.

pub(crate) mod aws;
pub(crate) mod build;
pub(crate) mod folder;
pub(crate) mod operator;
pub(crate) mod patience;
pub(crate) mod plane;
pub(crate) mod screen;
