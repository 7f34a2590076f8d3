//! Receipt handles: opaque to consumers, good for one receive of one message of one queue.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a receipt handle says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt<'a> {
    pub queue: &'a str,
    pub message: &'a str,
    /// Which receive of the message, from 1.
    pub receive: u32,
}

impl<'a> Receipt<'a> {
    pub fn encode(&self) -> String {
        STANDARD.encode(format!("{} {} {}", self.queue, self.message, self.receive))
    }

    /// The text inside a handle, for [`Receipt::parse`].
    pub fn decode(handle: &str) -> Option<String> {
        String::from_utf8(STANDARD.decode(handle).ok()?).ok()
    }

    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(' ');
        let receipt = Self {
            queue: parts.next()?,
            message: parts.next()?,
            receive: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(receipt)
    }
}

/// Message id of a handle, whatever the queue.
pub(crate) fn message_of(handle: &str) -> Option<String> {
    let text = Receipt::decode(handle)?;
    Receipt::parse(&text).map(|receipt| receipt.message.to_owned())
}
