//! A panic prints its place, never its payload. In a file of its own because the hook belongs to
//! the whole process, and in a child because what counts is what reaches stderr.

use std::process::Command;

use keyferry::telemetry::logs::LogFormat;

const CHILD: &str = "KEYFERRY_TEST_PANIC_CHILD";

#[test]
fn a_panic_prints_its_place_and_never_its_payload() -> Result<(), Box<dyn std::error::Error>> {
    if let Ok(format) = std::env::var(CHILD) {
        panic_in_a_thread(&format);
        return Ok(());
    }
    for format in ["json", "text"] {
        let output = Command::new(std::env::current_exe()?)
            .args(["--nocapture", "a_panic_prints_its_place"])
            .env(CHILD, format)
            .env("RUST_BACKTRACE", "full")
            .output()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("tests/panic_hook.rs:"), "{text}");
        assert!(text.contains("the-worker"), "{text}");
        assert!(!text.contains("hunter2"), "the payload was printed");
    }
    Ok(())
}

fn panic_in_a_thread(format: &str) {
    let format = if format == "json" {
        LogFormat::Json
    } else {
        LogFormat::Text
    };
    keyferry::telemetry::panics::install(format);
    let worker = std::thread::Builder::new().name("the-worker".to_owned());
    let ended = worker
        .spawn(|| panic!("the password is {}", "hunter2"))
        .map(std::thread::JoinHandle::join);
    assert!(matches!(ended, Ok(Err(_))));
}
