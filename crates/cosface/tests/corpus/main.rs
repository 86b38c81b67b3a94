//! Files of strangers: the corpus of the fuzz targets, and files that are small and ask for much.
//!
//! The functions are those that the targets in `fuzz/` run. A file of the corpus whose name begins with `whole` must be
//! accepted, so that the fuzzers do not start from files that the first check turns away.

mod bombs;
mod memory;
#[path = "../../../../fuzz/src/targets.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets use these from outside their crate")]
mod targets;
mod wire;

use std::path::{Path, PathBuf};

use targets::{Target, run};

fn corpus(target: Target) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target.name());
    let entries = fs_err::read_dir(&folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_file_of_the_corpus_is_read_or_refused_within_the_memory_that_is_promised() {
    let mut refused = Vec::new();
    for target in Target::ALL {
        let mut whole = 0;
        for file in corpus(target) {
            let is_accepted = run(target, &fs_err::read(&file).unwrap());
            if file.file_name().unwrap().to_string_lossy().starts_with("whole") {
                whole += 1;
                refused.extend((!is_accepted).then_some(file));
            }
        }
        assert!(whole > 0, "the corpus of {} must hold a whole file", target.name());
    }
    assert!(refused.is_empty(), "{refused:?} are refused");
    memory::assert_within_promise();
}
