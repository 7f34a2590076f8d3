//! A process's memory, as tests search it for values.

/// Start and end of a mapping that can be read and written, from a line of `/proc/PID/maps` (proc(5)).
pub fn writable_mapping(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_whitespace();
    let (range, rights) = (words.next()?, words.next()?);
    if !rights.starts_with("rw") || line.ends_with("[vvar]") {
        return None;
    }
    let (from, to) = range.split_once('-')?;
    let parse = |text| u64::from_str_radix(text, 16).ok();
    Some((parse(from)?, parse(to)?))
}
