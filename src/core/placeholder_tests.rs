use super::*;

const CAUGHT: &str = include_str!("../../tests/fixtures/placeholders/caught.txt");
const PASSED: &str = include_str!("../../tests/fixtures/placeholders/passed.txt");

fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|l| !l.starts_with("## ")).collect()
}

#[test]
fn every_left_over_is_caught() {
    let missed: Vec<&str> = lines(CAUGHT)
        .into_iter()
        .filter(|l| placeholder(l.as_bytes()).is_none())
        .collect();
    assert_eq!(missed, Vec::<&str>::new());
    assert!(lines(CAUGHT).len() >= 30);
}

#[test]
fn every_real_value_passes() {
    let stopped: Vec<_> = lines(PASSED)
        .into_iter()
        .filter_map(|l| placeholder(l.as_bytes()).map(|rule| (l, rule)))
        .collect();
    assert_eq!(stopped, Vec::new());
    assert!(lines(PASSED).len() >= 30);
}

#[test]
fn rules_are_named() {
    for (value, rule) in [
        ("", "empty"),
        (" \n", "empty"),
        ("\"\"", "empty"),
        ("CHANGEME", "CHANGEME"),
        ("your-api-key", "your-..."),
        ("<password>", "<...>"),
        ("xxx", "xxx"),
        ("sk-xxxx", "prefix and filler"),
        ("default-secret", "default-secret"),
    ] {
        assert_eq!(placeholder(value.as_bytes()), Some(rule), "{value}");
    }
}

#[test]
fn binary_and_long_values_are_real() {
    assert_eq!(placeholder(&[0xff, 0xfe]), None);
    assert_eq!(placeholder("x".repeat(513).as_bytes()), None);
}

proptest::proptest! {
    #[test]
    fn random_keys_pass(key in "[A-Za-z0-9+/]{24,64}") {
        proptest::prop_assert_eq!(placeholder(key.as_bytes()), None);
    }

    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
        let _ = placeholder(&bytes);
    }

    #[test]
    fn any_text_is_judged(text in "[<>x*.${}\\[\\] é-]{0,20}") {
        let _ = placeholder(text.as_bytes());
    }
}

/// What a password generator makes of letters, digits and every sign, such as GetRandomPassword. The seed is
/// fixed, so that a rare wrong alarm is found here or never, and not on some days.
#[test]
fn random_passwords_pass() {
    use rand::{Rng, SeedableRng, rngs::StdRng};
    let mut chance = StdRng::seed_from_u64(7);
    let mut stopped = Vec::new();
    for _ in 0..300_000 {
        let password: String = (0..28)
            .map(|_| char::from(chance.random_range(b'!'..=b'~')))
            .collect();
        stopped.extend(placeholder(password.as_bytes()).map(|rule| (rule, password)));
    }
    assert_eq!(stopped, []);
}
