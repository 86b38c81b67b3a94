use std::path::Path;

use net::tensor_file::{TensorFile, TensorFileError};
use net::{Model, ModelFileError};
use proptest::prelude::{any, prop, proptest};

use crate::fixture::model;

fn model_bytes() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    model().write(&path).unwrap();
    fs_err::read(&path).unwrap()
}

fn parse(bytes: &[u8]) -> Result<Model, ModelFileError> {
    let path = Path::new("hostile");
    Model::from_file(TensorFile::parse(bytes, path)?, path)
}

fn with_header(header: &str, values: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), values].concat()
}

#[test]
fn a_file_truncated_at_any_byte_is_refused() {
    let bytes = model_bytes();
    assert!(parse(&bytes).is_ok());
    for length in 0..bytes.len() {
        let error = parse(&bytes[..length]).unwrap_err();
        assert!(matches!(error, ModelFileError::File(TensorFileError::Format { .. })), "{length}: {error}");
    }
    assert!(parse(&[bytes, vec![0]].concat()).is_err(), "bytes after the last tensor belong to nothing");
}

#[test]
fn headers_that_lie_are_refused_without_taking_memory() {
    let lies = [
        [u64::MAX.to_le_bytes(), [0; 8]].concat(),
        [(i64::MAX as u64).to_le_bytes(), [0; 8]].concat(),
        [99_999_999_u64.to_le_bytes(), [b' '; 8]].concat(),
        with_header("", &[]),
        with_header("null", &[]),
        with_header("[]", &[]),
        with_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", &[0; 3]),
        with_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", &[0; 4]),
        with_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", &[0; 4]),
        with_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", &[0; 4]),
        with_header(
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775807,9],\"data_offsets\":[0,4]}}",
            &[0; 4],
        ),
        with_header("{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", &[0; 4]),
        with_header(
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\
              \"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
            &[0; 4],
        ),
        with_header("{\"__metadata__\":{\"a\":1}}", &[]),
        with_header(&"[".repeat(1_000_000), &[]),
        with_header(&"{\"a\":".repeat(1_000_000), &[]),
    ];
    for bytes in lies {
        let error = TensorFile::parse(&bytes, Path::new("hostile")).unwrap_err();
        assert!(matches!(error, TensorFileError::Format { .. }), "{error}");
        assert!(error.to_string().ends_with(": hostile"), "{error}");
    }
}

#[test]
fn value_types_that_nothing_here_uses_are_named() {
    let bytes = with_header("{\"a\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[0,2]}}", &[0; 2]);
    let error = TensorFile::parse(&bytes, Path::new("hostile")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tensor file hostile: tensor a must have values of type F32, F64 or I64: BF16"
    );
}

#[test]
fn deeply_nested_metadata_is_refused() {
    let mut file = TensorFile::parse(&model_bytes(), Path::new("hostile")).unwrap();
    file.metadata.insert("cosface.network".to_owned(), "[".repeat(1 << 20));
    let error = Model::from_file(file, Path::new("hostile")).unwrap_err();
    assert!(matches!(error, ModelFileError::Json { key: "cosface.network", .. }), "{error}");
}

#[test]
fn directories_absent_and_large_files_are_refused_by_path() {
    let directory = tempfile::tempdir().unwrap();
    let error = TensorFile::read(directory.path()).unwrap_err();
    assert!(matches!(error, TensorFileError::NotAFile { .. }), "{error}");
    let absent = directory.path().join("absent");
    let error = Model::read(&absent).unwrap_err().to_string();
    assert!(error.contains(absent.to_str().unwrap()), "{error}");
    let path = directory.path().join("model.safetensors");
    fs_err::write(&path, model_bytes()).unwrap();
    let bytes = model_bytes().len() as u64;
    assert!(TensorFile::read_at_most(&path, bytes).is_ok());
    let error = TensorFile::read_at_most(&path, bytes - 1).unwrap_err();
    assert!(matches!(error, TensorFileError::TooLarge { .. }), "{error}");
}

proptest! {
    /// Damage to a weight can give another finite weight and need not be noticed, but nothing may panic.
    #[test]
    fn damaged_bytes_never_panic(place in any::<prop::sample::Index>(), damage in 1_u8..) {
        let mut bytes = model_bytes();
        let index = place.index(bytes.len());
        bytes[index] ^= damage;
        let _ = parse(&bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        assert!(parse(&bytes).is_err());
    }

    #[test]
    fn arbitrary_headers_never_panic(header in "\\{(\"(a|__metadata__|dtype|shape|data_offsets|F32)\"|[\\[\\]{}:,]|[0-9]{1,20}){0,30}\\}") {
        let _ = TensorFile::parse(&with_header(&header, &[0; 16]), Path::new("hostile"));
    }
}
