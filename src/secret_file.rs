//! Files that hold a secret: read with a bound, created once, readable by their owner only; and directories that are
//! their owner's alone.
//!
//! Owns how these come to be on disk. Must not know what a secret means.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// Longest secret file that is read, in bytes. A longer one is a mistake in the path.
pub const LEN_MAX: u64 = 1024 * 1024;

/// Reads a whole file of at most [`LEN_MAX`] bytes.
///
/// # Errors
/// What opening and reading answered, or [`io::ErrorKind::FileTooLarge`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LEN_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LEN_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 1 MiB"));
    }
    Ok(bytes)
}

/// Reads the file, or creates it (mode 0600, its directory too) with what `make` returns.
///
/// Two processes that create at once end with the same content: the file appears under its name
/// whole and synced, and whoever comes second reads the first one's.
///
/// # Errors
/// What the file system answered.
pub fn read_or_create(path: &Path, make: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    match read(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_dir(directory)?;
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let written = write_private(&temporary, &make()?)
        // A hard link, unlike a rename, does not replace what another process put there meanwhile.
        .and_then(|()| match fs::hard_link(&temporary, path) {
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
    let removed = fs::remove_file(&temporary);
    written?;
    removed?;
    File::open(directory)?.sync_all()?;
    read(path)
}

/// Creates a directory, and those above it that are not there, for their owner alone (mode 0700). One that is there
/// stays as it is.
///
/// # Errors
/// What the file system answered.
pub fn create_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path)
}

/// Takes away from others than the owner what they may do with a directory and all that is in it. Does nothing where
/// there are no modes.
///
/// # Errors
/// What the file system answered; that the directory is another user's, for instance.
pub fn close_to_others(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let metadata = fs::symlink_metadata(path)?;
        if metadata.is_symlink() {
            return Ok(());
        }
        let mode = metadata.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7700))?;
        }
        if metadata.is_dir() {
            for entry in fs::read_dir(path)? {
                close_to_others(&entry?.path())?;
            }
        }
    }
    Ok(())
}

/// Whether others than the owner may read or write the file. Always `false` where there are no modes.
///
/// # Errors
/// What reading the metadata answered.
pub fn is_open_to_others(path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    {
        fs::metadata(path).map(|_| false)
    }
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_created_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/a.key");
        let first = read_or_create(&path, || Ok(b"one".to_vec())).unwrap();
        let second = read_or_create(&path, || panic!("it exists")).unwrap();
        assert_eq!((first.as_slice(), second.as_slice()), (&b"one"[..], &b"one"[..]));
        assert!(!is_open_to_others(&path).unwrap());
        let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(names.len(), 1, "the temporary file is gone");
    }

    #[cfg(unix)]
    #[test]
    fn a_tree_is_closed_to_others() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (made, found) = (dir.path().join("a/b"), dir.path().join("found"));
        create_dir(&made).unwrap();
        fs::create_dir(&found).unwrap();
        fs::set_permissions(&found, fs::Permissions::from_mode(0o755)).unwrap();
        create_dir(&found).unwrap();
        fs::write(found.join("file"), "x").unwrap();
        fs::set_permissions(found.join("file"), fs::Permissions::from_mode(0o644)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&made), mode(made.parent().unwrap()), mode(&found)), (0o700, 0o700, 0o755));
        close_to_others(&found).unwrap();
        assert_eq!((mode(&found), mode(&found.join("file"))), (0o700, 0o600));
    }

    #[test]
    fn two_creators_agree() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        let mine = read_or_create(&path, || {
            fs::write(&path, b"theirs")?;
            Ok(b"mine".to_vec())
        })
        .unwrap();
        assert_eq!(mine, b"theirs");
    }

    #[test]
    fn a_huge_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("huge");
        fs::write(&path, vec![b'x'; LEN_MAX as usize + 1]).unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
