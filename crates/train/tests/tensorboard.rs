//! Event files against the published format and against TensorBoard itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use train::journal::{Event, Moment, Pace, StepRecord};
use train::tensorboard::EventFile;

fn step(step: u64, loss: f64) -> Event {
    Event::Step(StepRecord {
        step,
        epoch: 0,
        loss,
        learning_rate: 0.1,
        margin: Some(0.35),
        scale: Some(64.0),
        mean_target_cosine: Some(0.25),
        satisfied: 0.5,
        gradient_norm: 2.0,
        timing: Pace { unix_seconds: 1.75e9, images_per_second: 27.0 },
    })
}

fn evaluation() -> Event {
    let values = BTreeMap::from([("accuracy".to_owned(), 0.9875)]);
    Event::Evaluation { step: 300, values, timing: Moment { unix_seconds: 1.75e9 } }
}

fn event_file(directory: &Path) -> PathBuf {
    let names = fs_err::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = names.collect();
    assert_eq!(files.len(), 1, "one event file and nothing beside it: {files:?}");
    files[0].clone()
}

/// CRC-32C bit by bit and the mask, from the format's description alone.
fn masked_crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
        }
    }
    let crc = !crc;
    crc.rotate_right(15).wrapping_add(0xA282_EAD8)
}

#[test]
fn the_first_record_has_the_bytes_that_tensorflow_writes() {
    let directory = tempfile::tempdir().unwrap();
    EventFile::create(directory.path(), &[]).unwrap();
    let bytes = fs_err::read(event_file(directory.path())).unwrap();
    // Length 26, then wall_time 0.0 (field 1), step 0 (field 2), file_version "brain.Event:2" (field 3).
    let mut expected = vec![26, 0, 0, 0, 0, 0, 0, 0];
    expected.extend(masked_crc(&expected).to_le_bytes());
    let message = b"\x09\0\0\0\0\0\0\0\0\x10\0\x1a\x0dbrain.Event:2";
    expected.extend(message);
    expected.extend(masked_crc(message).to_le_bytes());
    assert_eq!(bytes, expected);
}

#[test]
fn every_record_is_framed_with_its_length_and_two_masked_checksums() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = EventFile::create(directory.path(), &[step(1, 3.0)]).unwrap();
    file.write(&step(2, 2.0)).unwrap();
    file.write(&evaluation()).unwrap();
    file.write(&Event::Checkpoint { step: 2, timing: Moment::now() }).unwrap();
    let bytes = fs_err::read(event_file(directory.path())).unwrap();
    let (mut rest, mut records) = (&bytes[..], 0);
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        assert_eq!(rest[8..12], masked_crc(&rest[..8]).to_le_bytes(), "checksum of the length");
        let message = &rest[12..12 + length];
        assert_eq!(
            rest[12 + length..16 + length],
            masked_crc(message).to_le_bytes(),
            "checksum of the bytes"
        );
        rest = &rest[16 + length..];
        records += 1;
    }
    assert_eq!(records, 4, "version, two steps, one evaluation; a checkpoint has no numbers");
}

#[test]
fn a_resumed_run_writes_the_same_file_as_an_uninterrupted_one() {
    let (whole, resumed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut file = EventFile::create(whole.path(), &[]).unwrap();
    for event in [step(1, 3.0), step(2, 2.0), step(3, 1.0)] {
        file.write(&event).unwrap();
    }
    let mut file = EventFile::create(resumed.path(), &[]).unwrap();
    for event in [step(1, 3.0), step(2, 9.0)] {
        file.write(&event).unwrap();
    }
    let mut file = EventFile::create(resumed.path(), &[step(1, 3.0)]).unwrap();
    for event in [step(2, 2.0), step(3, 1.0)] {
        file.write(&event).unwrap();
    }
    let read = |directory: &Path| fs_err::read(event_file(directory)).unwrap();
    assert_eq!(read(whole.path()), read(resumed.path()));
}

/// Runs where `COSFACE_TEST_TENSORBOARD_PYTHON` names a python that can import tensorboard.
#[test]
fn tensorboard_reads_the_numbers_that_were_written() {
    let Some(python) = std::env::var_os("COSFACE_TEST_TENSORBOARD_PYTHON") else {
        assert!(std::env::var_os("CI").is_none(), "CI must set COSFACE_TEST_TENSORBOARD_PYTHON");
        let reason = "skipped: COSFACE_TEST_TENSORBOARD_PYTHON names no python with tensorboard";
        std::io::Write::write_all(&mut std::io::stderr(), format!("{reason}\n").as_bytes()).unwrap();
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let mut file = EventFile::create(directory.path(), &[]).unwrap();
    for event in [step(1, 3.5), step(300, 0.25), evaluation()] {
        file.write(&event).unwrap();
    }
    let program = "
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], purge_orphaned_data=False).Reload()
for tag in sorted(events.Tags()['scalars']):
    print(tag, [(e.step, round(e.value, 6), e.wall_time) for e in events.Scalars(tag)])
";
    let output = Command::new(python).arg("-c").arg(program).arg(directory.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @r#"
    evaluation/accuracy [(300, 0.9875, 1750000000.0)]
    speed/images_per_second [(1, 27.0, 1750000000.0), (300, 27.0, 1750000000.0)]
    train/gradient_norm [(1, 2.0, 1750000000.0), (300, 2.0, 1750000000.0)]
    train/learning_rate [(1, 0.1, 1750000000.0), (300, 0.1, 1750000000.0)]
    train/loss [(1, 3.5, 1750000000.0), (300, 0.25, 1750000000.0)]
    train/margin [(1, 0.35, 1750000000.0), (300, 0.35, 1750000000.0)]
    train/mean_target_cosine [(1, 0.25, 1750000000.0), (300, 0.25, 1750000000.0)]
    train/satisfied [(1, 0.5, 1750000000.0), (300, 0.5, 1750000000.0)]
    train/scale [(1, 64.0, 1750000000.0), (300, 64.0, 1750000000.0)]
    "#);
}
