//! stub until merge
/// human
pub fn human(d: std::time::Duration) -> String {
    format!("{}s", d.as_secs())
}
