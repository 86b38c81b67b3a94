//! How much memory this process has had.

/// Files here are smaller than 16 MiB, and readers promise to take less than this for them: the objects of a pickle and
/// the parts of an ONNX file are limited to some 200 MiB each, everything else grows with the file.
const MEBIBYTES_AT_MOST: u64 = 768;

/// Panics where the process has ever had more; known on Linux only.
pub(crate) fn assert_within_promise() {
    let Ok(status) = fs_err::read_to_string("/proc/self/status") else { return };
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kibibytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kibibytes >> 10 < MEBIBYTES_AT_MOST, "{kibibytes} KiB");
}
