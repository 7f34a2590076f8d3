//! For tests: no message may hold a piece of a value.

/// Length of the shortest piece that counts as a leak.
const PIECE: usize = 8;

/// Panics if `message` holds any eight bytes in a row of any of `values`.
pub fn assert_no_leak(message: &str, values: &[&[u8]]) {
    for value in values {
        for piece in value.windows(PIECE) {
            let found = message.as_bytes().windows(PIECE).any(|w| w == piece);
            assert!(
                !found,
                "a message of {} bytes holds a piece of a value",
                message.len()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "holds a piece")]
    fn a_planted_leak_is_found() {
        assert_no_leak("cannot parse hunter2hunter", &[b"xxhunter2hxx"]);
    }

    #[test]
    fn shorter_pieces_pass() {
        assert_no_leak("cannot parse hunter2", &[b"hunter2", b""]);
    }
}
