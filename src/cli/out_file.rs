//! A file of values: mode 0600, written to a temporary file beside it and renamed, so that whoever reads it sees the
//! old content or the new one, whole.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use zeroize::Zeroizing;

/// Only its owner may read it.
const MODE: u32 = 0o600;
/// A temporary file that is older was left behind by a run that was killed.
const LEFT_BEHIND: Duration = Duration::from_secs(600);

/// What has become of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It holds the content now.
    Anew,
    /// It held it already and was not touched.
    Unchanged,
}

/// Makes `path` a file of this content.
///
/// # Errors
/// A sentence that begins with the path; the file is then what it was.
pub fn write(path: &Path, content: &[u8]) -> Result<Written, String> {
    let told = |error: io::Error| format!("{}: not written: {error}", path.display());
    if let Some(why) = unfit(path).map_err(told)? {
        return Err(format!("{}: not written: {why}", path.display()));
    }
    if holds(path, content).map_err(told)? {
        fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(told)?;
        return Ok(Written::Unchanged);
    }
    replace(path, content).map_err(told)?;
    Ok(Written::Anew)
}

/// What must not be written over. A link is not followed: it may lead to a file of somebody else.
fn unfit(path: &Path) -> io::Result<Option<String>> {
    let Some(found) = absent_is_none(fs::symlink_metadata(path))? else {
        return Ok(None);
    };
    if found.file_type().is_symlink() {
        let to = fs::read_link(path)?;
        let why = format!("it is a link to {}; name that file itself", to.display());
        return Ok(Some(why));
    }
    Ok((!found.is_file()).then(|| "it is no regular file".to_owned()))
}

fn holds(path: &Path, content: &[u8]) -> io::Result<bool> {
    match absent_is_none(fs::read(path).map(Zeroizing::new)) {
        Ok(found) => Ok(found.is_some_and(|found| *found == content)),
        // It may be replaced without being read.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
        Err(error) => Err(error),
    }
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!(".{name}.keyferry-");
    tidy(&folder, &prefix);
    let mut temporary = tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(&folder)?;
    temporary.write_all(content)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    // The name is on the disk once the folder is.
    File::open(&folder)?.sync_all()
}

/// Takes away what killed runs left behind; what cannot be taken away does no harm.
fn tidy(folder: &Path, prefix: &str) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|it| it.file_name().to_string_lossy().starts_with(prefix)) {
        let written = entry.metadata().and_then(|it| it.modified());
        let age = written.ok().and_then(|it| it.elapsed().ok());
        if age.is_some_and(|age| age > LEFT_BEHIND) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn absent_is_none<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{os::unix::fs::MetadataExt, time::SystemTime};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|it| it.unwrap());
        let mut names: Vec<_> = entries
            .map(|it| it.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_only_its_owner_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        assert_eq!(write(&path, b"A=1\n"), Ok(Written::Anew));
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let (before, link) = (fs::metadata(&path).unwrap().ino(), dir.path().join("same"));
        fs::hard_link(&path, &link).unwrap();
        assert_eq!(write(&path, b"A=2\n"), Ok(Written::Anew));
        assert_eq!(fs::read(&path).unwrap(), b"A=2\n");
        assert_ne!(fs::metadata(&path).unwrap().ino(), before);
        assert_eq!(
            fs::read(&link).unwrap(),
            b"A=1\n",
            "the old content was written over"
        );
        assert_eq!(mode(&path), 0o600);
        assert_eq!(names(dir.path()), [".env", "same"]);
    }

    #[test]
    fn content_that_is_there_is_left_alone_but_not_open_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, "A=1\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let before = fs::metadata(&path).unwrap();
        assert_eq!(write(&path, b"A=1\n"), Ok(Written::Unchanged));
        let after = fs::metadata(&path).unwrap();
        assert_eq!((before.ino(), before.mtime()), (after.ino(), after.mtime()));
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn links_folders_and_places_that_do_not_exist_are_refused_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for (path, says) in [
            (link.clone(), "it is a link to "),
            (dir.path().join("."), "it is no regular file"),
            (file.join("below"), "not written: "),
            (dir.path().join("none/x"), "No such file or directory"),
        ] {
            let why = write(&path, b"new").unwrap_err();
            assert!(why.contains(says), "{why}");
        }
        assert_eq!(fs::read(&file).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["file", "link"]);
    }

    #[test]
    fn what_a_killed_run_left_behind_goes_with_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        let old = SystemTime::now() - 2 * LEFT_BEHIND;
        for (name, modified) in [
            ("..env.keyferry-old", old),
            ("..env.keyferry-now", SystemTime::now()),
            (".other.keyferry-old", old),
        ] {
            let file = File::create(dir.path().join(name)).unwrap();
            file.set_modified(modified).unwrap();
        }
        write(&path, b"new").unwrap();
        assert_eq!(
            names(dir.path()),
            ["..env.keyferry-now", ".env", ".other.keyferry-old"]
        );
    }
}
