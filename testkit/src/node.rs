//! Simulated nodes.
/// stub
pub struct NodeSimulator;
