//! One run of the program.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What a run of the program left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Exit status; none where a signal ended it.
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The program with arguments, ready to be started.
pub(crate) fn command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cosface"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program to its end.
pub(crate) fn cosface<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Outcome {
    command(arguments).output().unwrap().into()
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Outcome {
    /// The same, for a run that must succeed.
    #[track_caller]
    pub(crate) fn success(self) -> Self {
        assert_eq!(self.status, Some(0), "{}", self.stderr);
        self
    }

    /// A run that must end with status 1 and a message that holds every one of `parts`.
    #[track_caller]
    pub(crate) fn refused(self, parts: &[&str]) -> Self {
        assert_eq!(self.status, Some(1), "{}{}", self.stdout, self.stderr);
        assert!(self.stderr.contains("error: "), "no error is shown: {}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in: {}", self.stderr);
        }
        self
    }
}

/// A path of the research data, which is not in the repository; none, with a printed reason, where it is absent.
///
/// # Panics
/// Where it is absent and the environment says that this is continuous integration, which must not skip.
#[expect(clippy::print_stdout, reason = "a test that is skipped says why")]
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "the research data are absent: {}", path.display());
    println!("skipped, the research data are absent: {}", path.display());
    None
}

/// The Python that an environment variable names, unless none is named, and then this says so.
///
/// # Panics
/// When none is named in CI, which has all that the tests need.
#[expect(clippy::print_stdout, reason = "a test that is skipped says why")]
pub(crate) fn python(variable: &str) -> Option<String> {
    if let Some(python) = std::env::var_os(variable) {
        return Some(python.into_string().unwrap());
    }
    assert!(std::env::var_os("CI").is_none(), "no Python is named: {variable}");
    println!("skipped, no Python is named: {variable}");
    None
}
