//! A directory with faces and a small recipe, and the program at work in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A network so small that a step takes milliseconds.
pub(crate) const RECIPE: &str = r#"
[data]
augment = { flip = 0.5, warp = { probability = 0.5 } }
sources = [{ tree = "faces" }]
[network]
family = "sphereface"
depth = 4
input = [28, 24]
channels = [8, 8, 16, 16]
feature = 16
batch_norm = true
[loss]
name = "cosface"
s = 16
m = 0.2
[optimizer]
learning_rate = 0.05
[schedule]
length = "40 steps"
[run]
batch = 16
checkpoints = { every = "7 steps", keep = 2 }
"#;

pub(crate) struct Workshop {
    directory: TempDir,
}

/// What a process left behind.
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Workshop {
    pub(crate) fn empty() -> Workshop {
        Workshop { directory: tempfile::tempdir().unwrap() }
    }

    /// Eight people with six synthetic pictures each, and the recipe.
    pub(crate) fn with_faces() -> Workshop {
        let workshop = Workshop::empty();
        let made = workshop.run(&["synth", "--identities", "8", "--images", "6", "--out", "faces"]);
        assert_eq!(made.status, Some(0), "{}", made.stderr);
        fs_err::write(workshop.path("recipe.toml"), RECIPE).unwrap();
        workshop
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cosface"));
        command.args(arguments).current_dir(self.directory.path());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { status: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    #[track_caller]
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.stderr);
        ended.stdout
    }

    /// Runs what must be refused: status 1, every part in the message, and `absent` not left behind.
    #[track_caller]
    pub(crate) fn refuse(&self, arguments: &[&str], parts: &[&str], absent: &str) {
        let ended = self.run(arguments);
        assert_eq!(ended.status, Some(1), "{arguments:?}: {}", ended.stderr);
        for part in parts {
            assert!(ended.stderr.contains(part), "{arguments:?}: no {part:?} in: {}", ended.stderr);
        }
        assert!(!self.path(absent).exists(), "{arguments:?} left {absent} behind");
    }
}

/// A folder of the research data; without it the test is skipped, and fails in CI.
#[expect(clippy::print_stdout, reason = "a skipped test says why")]
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "research data is absent: {}", path.display());
    println!("skipped, research data is absent: {}", path.display());
    None
}
