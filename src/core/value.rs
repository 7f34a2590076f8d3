//! A secret value: zeroed when dropped, never printed.

use std::io;

use base64::{Engine, decoded_len_estimate};
use zeroize::ZeroizeOnDrop;

/// Bytes of a secret. No `Display`, no `Serialize`; `Debug` shows the length only.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct SecretValue(Vec<u8>);

impl SecretValue {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What `text` stands for; None where it is not in that encoding.
    pub fn decoded(engine: &impl Engine, text: &[u8]) -> Option<Self> {
        let mut value = Self(vec![0; decoded_len_estimate(text.len())]);
        let length = engine.decode_slice(text, &mut value.0).ok()?;
        value.0.truncate(length);
        Some(value)
    }

    /// The bytes themselves: for writing and for HMACs, never for a message.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The same as text; None for bytes that are no UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True for a value of no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretValue({} bytes)", self.0.len())
    }
}

impl From<String> for SecretValue {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

/// Bytes of a secret while they are put together: a vector that grows leaves its old bytes behind.
#[derive(Default, ZeroizeOnDrop)]
pub struct Growing(Vec<u8>);

impl Growing {
    /// Appends `bytes`.
    pub fn push(&mut self, bytes: &[u8]) {
        let length = self.0.len() + bytes.len();
        if length > self.0.capacity() {
            let mut larger = Vec::with_capacity(length.next_power_of_two());
            larger.extend_from_slice(&self.0);
            // The smaller one is wiped where it goes.
            *self = Self(larger);
        }
        self.0.extend_from_slice(bytes);
    }

    /// What is there so far.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True before the first byte.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The finished value; nothing is copied.
    pub fn into_value(mut self) -> SecretValue {
        SecretValue(std::mem::take(&mut self.0))
    }
}

impl io::Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
