use std::io;
use std::path::Path;

use net::atomic_file;

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs_err::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs_err::write(&path, "old").unwrap();
    let error = atomic_file::write(&path, |sink| {
        sink.write_all(&vec![1; 3 << 20])?;
        Err(io::Error::other("the content failed"))
    });
    assert_eq!(error.unwrap_err().to_string(), "the content failed");
    assert_eq!(fs_err::read_to_string(&path).unwrap(), "old");
    assert_eq!(names(directory.path()), ["file"]);
}

#[test]
fn the_old_file_is_whole_until_the_new_one_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs_err::write(&path, "old").unwrap();
    atomic_file::write(&path, |sink| {
        sink.write_all(b"new")?;
        sink.flush()?;
        assert_eq!(fs_err::read_to_string(&path)?, "old");
        let partial =
            names(directory.path()).into_iter().find(|name| name.ends_with(atomic_file::PARTIAL_ENDING));
        assert!(partial.is_some_and(|name| name.starts_with(".file.")));
        Ok::<(), io::Error>(())
    })
    .unwrap();
    assert_eq!(fs_err::read_to_string(&path).unwrap(), "new");
    assert_eq!(names(directory.path()), ["file"]);
}

#[test]
fn errors_name_the_path() {
    let directory = tempfile::tempdir().unwrap();
    let absent = directory.path().join("absent");
    let error = atomic_file::write(&absent.join("file"), |_| Ok::<(), io::Error>(())).unwrap_err();
    assert!(error.to_string().contains(absent.to_str().unwrap()), "{error}");
    let error = atomic_file::write(directory.path(), |_| Ok::<(), io::Error>(())).unwrap_err();
    assert!(error.to_string().contains(directory.path().to_str().unwrap()), "{error}");
    let error = atomic_file::write(Path::new(".."), |_| Ok::<(), io::Error>(())).unwrap_err();
    assert_eq!(error.to_string(), "path has no file name: ..");
}
