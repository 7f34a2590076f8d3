//! The test bed: real parts where a real part can run on a laptop, and
//! simulations with real limits where it cannot.
//!
//! - [`admission`]: holds a write at the API server until a test lets it go.
//! - [`api_proxy`]: counts an operator's writes, and kills it before or after any of them.
//! - [`aws`]: Secrets Manager, STS and the Pod Identity agent on loopback.
//! - [`control_plane`]: a real API server with its controllers, scheduler and
//!   kubectl.
//! - [`memory`]: where a process's memory may hold values.
//! - [`node`]: simulated nodes, which run pods without a kubelet.
//! - [`ready`]: how many pods were ready at every moment.
//! - [`recorder`]: every version that an object went through.
//! - [`shared`]: one of each for all tests of a process.
//!
//! Nothing here belongs to the operator; the operator never depends on it.

pub mod admission;
pub mod api_proxy;
pub mod aws;
pub mod canary;
pub mod control_plane;
mod error;
mod go;
pub mod install;
pub mod memory;
pub mod node;
pub mod operator;
pub mod ready;
pub mod recorder;
pub mod shared;

pub use control_plane::ControlPlane;
pub use error::{Error, Result};
pub use node::NodeSimulator;

/// Makes aws-lc-rs the TLS provider of this process. Call it before the first
/// [`kube::Client`]; later calls change nothing.
pub fn install_crypto() {
    // An error only says that there already is a provider.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
