//! The journal's numbers as a TensorBoard event file.
//!
//! An event file is a sequence of TFRecords, and each record is an `Event` message:
//! ```text
//! u64 length | u32 masked CRC of length | bytes | u32 masked CRC of bytes        (little endian)
//! Event   { 1: double wall_time, 2: int64 step, 3: string file_version | 5: Summary }
//! Summary { 1: repeated Value { 1: string tag, 2: float simple_value } }
//! ```
//! (tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto, framework/summary.proto.)

use std::io::{self, Write};
use std::path::Path;

use fs_err::{File, OpenOptions};
use net::atomic_file;

use crate::crc32c::Crc32c;
use crate::journal::Event;

/// TensorBoard finds event files by the word `tfevents` and orders them by name.
const FILE: &str = "events.out.tfevents.0000000000.cosface";

/// An event file open for writing.
///
/// A resumed run writes the file anew from the lines that its journal keeps, so that the two always agree.
#[derive(Debug)]
pub struct EventFile {
    file: File,
}

impl EventFile {
    /// Writes the event file of a run in `directory`, beginning with what the journal holds already.
    ///
    /// # Errors
    /// A directory or file that cannot be written.
    pub fn create(directory: &Path, journal: &[Event]) -> io::Result<Self> {
        fs_err::create_dir_all(directory)?;
        let path = directory.join(FILE);
        let mut bytes = record(&message(0.0, 0, &Content::Version));
        for event in journal {
            bytes.extend(records(event));
        }
        atomic_file::write(&path, |sink| sink.write_all(&bytes))?;
        Ok(Self { file: OpenOptions::new().append(true).open(path)? })
    }

    /// Adds the numbers of one line of the journal, if it has any.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        self.file.write_all(&records(event))
    }
}

fn records(event: &Event) -> Vec<u8> {
    let (seconds, scalars) = match event {
        Event::Step(step) => {
            let mut scalars = vec![
                ("train/loss".to_owned(), step.loss),
                ("train/learning_rate".to_owned(), step.learning_rate),
                ("train/satisfied".to_owned(), step.satisfied),
                ("train/gradient_norm".to_owned(), step.gradient_norm),
                ("speed/images_per_second".to_owned(), step.timing.images_per_second),
            ];
            scalars.extend(
                step.mean_target_cosine.map(|cosine| ("train/mean_target_cosine".to_owned(), cosine)),
            );
            scalars.extend(step.margin.map(|margin| ("train/margin".to_owned(), margin)));
            scalars.extend(step.scale.map(|scale| ("train/scale".to_owned(), scale)));
            (step.timing.unix_seconds, scalars)
        }
        Event::Measures { mean_target_angle, largest_centre_cosine, gradient_norms, timing, .. } => {
            let mut scalars = vec![("train/mean_target_angle".to_owned(), *mean_target_angle)];
            scalars.extend(
                largest_centre_cosine.map(|cosine| ("train/largest_centre_cosine".to_owned(), cosine)),
            );
            scalars.extend(gradient_norms.iter().map(|(layer, norm)| (format!("gradient/{layer}"), *norm)));
            (timing.unix_seconds, scalars)
        }
        Event::Evaluation { values, timing, .. } => {
            let scalars = values.iter().map(|(name, value)| (format!("evaluation/{name}"), *value));
            (timing.unix_seconds, scalars.collect())
        }
        _ => return Vec::new(),
    };
    record(&message(seconds, event.step(), &Content::Scalars(&scalars)))
}

enum Content<'c> {
    Version,
    Scalars(&'c [(String, f64)]),
}

/// Frames one message as a TFRecord.
fn record(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(bytes.len() + 16);
    record.extend(length);
    record.extend(masked(Crc32c::of(&length)).to_le_bytes());
    record.extend(bytes);
    record.extend(masked(Crc32c::of(bytes)).to_le_bytes());
    record
}

/// The mask of TFRecord files: a checksum of bytes that hold checksums must not be special.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xA282_EAD8)
}

fn message(wall_time: f64, step: u64, content: &Content<'_>) -> Vec<u8> {
    let mut message = vec![field(1, Wire::Fixed64)];
    message.extend(wall_time.to_le_bytes());
    message.push(field(2, Wire::Varint));
    varint(&mut message, step);
    match content {
        Content::Version => bytes(&mut message, 3, b"brain.Event:2"),
        Content::Scalars(scalars) => {
            let mut summary = Vec::new();
            for (tag, value) in *scalars {
                let mut scalar = Vec::new();
                bytes(&mut scalar, 1, tag.as_bytes());
                scalar.push(field(2, Wire::Fixed32));
                scalar.extend((*value as f32).to_le_bytes());
                bytes(&mut summary, 1, &scalar);
            }
            bytes(&mut message, 5, &summary);
        }
    }
    message
}

/// Wire types of Protocol Buffers.
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
    Fixed32 = 5,
}

/// Tag of a field whose number is below 16.
fn field(number: u8, wire: Wire) -> u8 {
    (number << 3) | wire as u8
}

fn bytes(message: &mut Vec<u8>, number: u8, content: &[u8]) {
    message.push(field(number, Wire::Bytes));
    varint(message, content.len() as u64);
    message.extend(content);
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}
