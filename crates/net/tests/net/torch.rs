use std::path::Path;

use net::tensor_file::{Array, TensorFile, Values};
use net::{TorchFile, TorchFileError};
use proptest::prelude::{any, prop, proptest};

use crate::fixture::shared;

/// What `golden/make_torch_files.py` wrote with PyTorch.
fn written_by_torch() -> [Vec<u8>; 2] {
    [include_str!("golden/torch_legacy.hex"), include_str!("golden/torch_archive.hex")].map(|text| {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'\n').collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    })
}

fn parse(bytes: &[u8]) -> Result<TorchFile, TorchFileError> {
    TorchFile::parse(bytes, Path::new("hostile.pt"))
}

fn message(bytes: &[u8]) -> String {
    let error = parse(bytes).unwrap_err();
    let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!("; {cause}"));
    format!("{error}{cause}")
}

fn f32s(shape: &[usize], values: &[f32]) -> Array {
    Array { shape: shape.to_vec(), values: Values::F32(values.to_vec()) }
}

#[test]
fn both_layouts_of_torch_save_give_the_tensors_that_went_in() {
    for bytes in written_by_torch() {
        let file = parse(&bytes).unwrap();
        let names: Vec<&str> = file.tensors.keys().map(String::as_str).collect();
        let state = ["count", "double", "empty", "matrix", "parameter", "row", "transposed"];
        let expected: Vec<String> = state.map(|name| format!("state.{name}")).to_vec();
        assert_eq!(names[0], "list.0");
        assert_eq!(names[1..], expected);
        let tensor = |name: &str| file.tensors[&format!("state.{name}")].clone();
        assert_eq!(tensor("matrix"), f32s(&[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
        assert_eq!(tensor("transposed"), f32s(&[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
        assert_eq!(tensor("row"), f32s(&[3], &[3.0, 4.0, 5.0]));
        assert_eq!(tensor("double"), Array { shape: vec![2], values: Values::F64(vec![0.1, -2.5]) });
        assert_eq!(tensor("count"), Array { shape: vec![], values: Values::I64(vec![7]) });
        assert_eq!(tensor("empty"), f32s(&[0, 4], &[]));
        assert_eq!(tensor("parameter"), f32s(&[1], &[1.5]));
        let below = file.under("list");
        assert_eq!(below.into_iter().collect::<Vec<_>>(), [("0".to_owned(), f32s(&[1], &[2.0]))]);
    }
}

/// The safetensors file was made of the checkpoint by other people's tools.
#[test]
fn a_published_checkpoint_has_the_values_of_its_independent_copy() {
    let folder = "data/weights/mobilefacenet-casia";
    let (Some(checkpoint), Some(copy)) =
        (shared(&format!("{folder}/068.ckpt")), shared(&format!("{folder}/068.safetensors")))
    else {
        return;
    };
    let tensors = TorchFile::read(&checkpoint).unwrap().under("net_state_dict");
    let copied = TensorFile::read(&copy).unwrap().tensors;
    for (name, array) in &copied {
        assert_eq!(&tensors[name], array, "{name}");
    }
    let others: Vec<&String> = tensors.keys().filter(|name| !copied.contains_key(*name)).collect();
    assert!(others.iter().all(|name| name.ends_with(".num_batches_tracked")), "{others:?}");
    assert_eq!(tensors.len(), 333);
}

#[test]
fn published_detector_weights_are_readable() {
    for (name, tensors, parameters) in [("pnet", 13, 6_632), ("rnet", 16, 100_178), ("onet", 21, 389_040)] {
        let Some(path) = shared(&format!("data/weights/mtcnn/{name}.pt")) else { return };
        let file = TorchFile::read(&path).unwrap();
        let elements: usize = file.tensors.values().map(|array| array.values.as_slice().len()).sum();
        assert_eq!((file.tensors.len(), elements), (tensors, parameters), "{name}");
    }
}

#[test]
fn a_file_truncated_at_any_byte_is_refused() {
    for bytes in written_by_torch() {
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
        }
    }
    let [legacy, _] = written_by_torch();
    assert_eq!(
        message(&[legacy, vec![1, 2]].concat()),
        "torch file hostile.pt is truncated or not written by torch.save: 2 bytes after the last storage"
    );
}

/// The pickles before the data: magic number, version, and a system that is little-endian.
fn legacy(data: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let version = b"\x80\x02M\xe9\x03.";
    let system = b"\x80\x02}X\x0d\0\0\0little_endian\x88s.";
    [magic, version.as_slice(), system, b"\x80\x02", data, b".\x80\x02]."].concat()
}

const REFUSED: &str = "torch file is damaged or refused: hostile.pt; ";

#[test]
fn a_pickle_that_would_run_something_is_refused_by_name() {
    assert_eq!(parse(&legacy(b"}")).unwrap(), TorchFile::default());
    let entry = |data: &[u8]| message(&legacy(data));
    assert_eq!(
        entry(b"}X\x01\0\0\0acos\nsystem\nX\x04\0\0\0true\x85Rs"),
        "torch file hostile.pt: entry a is refused: call of os system"
    );
    assert_eq!(
        entry(b"}X\x01\0\0\0acbuiltins\neval\ns"),
        "torch file hostile.pt: entry a is refused: global builtins eval"
    );
    // Calling what a call returned, building an object's state, and every instruction that makes classes.
    assert_eq!(
        entry(b"cos\nsystem\n)R)R"),
        format!("{REFUSED}pickle has an instruction at byte 61 that does not fit the ones before it: 0x52")
    );
    assert!(entry(b"cos\nsystem\n)R}b").ends_with("does not fit the ones before it: 0x62"));
    assert!(entry(&[0x93]).ends_with("does not fit the ones before it: 0x93"));
    assert!(
        entry(b"}X\x01\0\0\0aX\x02\0\0\0osX\x06\0\0\0system\x93s").ends_with("refused: global os system")
    );
    assert!(entry(b"}X\x01\0\0\0aC\x01xs").ends_with("refused: bytes"));
    for code in [b'i', b'o', 0x81, 0x92, 0x82, b'P', b'S', b'I'] {
        let found = entry(&[code]);
        assert_eq!(
            found,
            format!("{REFUSED}pickle has an instruction at byte 47 that this reader refuses: {code:#04x}")
        );
    }
}

#[test]
fn damaged_pickles_are_refused() {
    let ends_with = |data: &[u8], end: &str| {
        let found = message(&legacy(data));
        assert!(found.ends_with(end), "{found}");
    };
    ends_with(b"t", "does not fit the ones before it: 0x74");
    ends_with(b"}K\x01u", "does not fit the ones before it: 0x75");
    ends_with(b"}(K\x01u", "does not fit the ones before it: 0x75");
    ends_with(b"h\x07", "does not fit the ones before it: 0x68");
    ends_with(b"q\x07", "does not fit the ones before it: 0x71");
    ends_with(b"}}", "does not fit the ones before it: 0x2e");
    ends_with(b"X\x01\0\0\0\xff", "pickle has text that is not UTF-8 at byte 47");
    ends_with(b"X\xff\xff\xff\xff", "pickle is truncated at byte 52");
    ends_with(&[[0x8a, 17].as_slice(), &[0; 17]].concat(), "more than 16 bytes at byte 47");
    ends_with(b"cos", "pickle is truncated at byte 47");
}

#[test]
fn data_that_unfolds_without_end_is_refused() {
    // A dictionary inside itself.
    assert!(message(&legacy(b"}q\0X\x01\0\0\0ah\0s")).ends_with("is refused: more than 16 levels"));
    // Each of 14 lists has the one before it ten times: ten to the power of 14 entries.
    let mut data = b"]q\0".to_vec();
    for level in 0..14 {
        data.extend(b"](");
        data.extend([b'h', level].repeat(10));
        data.extend([b'e', b'q', level + 1]);
    }
    let bytes = [b"(".as_slice(), &data, b"t"].concat();
    assert!(message(&legacy(&bytes)).ends_with("is refused: more than 262144 entries"));
}

/// A tensor of `(storage, offset, sides, strides)` over a storage of four f32 values called `s`.
fn tensor(offset: u8, shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let tuple = |numbers: &[u8]| {
        let parts: Vec<u8> = numbers.iter().flat_map(|number| [b'K', *number]).collect();
        [b"(".as_slice(), &parts, b"t"].concat()
    };
    let data = [
        b"\x80\x02}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n(".as_slice(),
        b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0sX\x03\0\0\0cpuK\x04NtQ",
        &[b'K', offset],
        &tuple(shape),
        &tuple(strides),
        b"\x89NtRs.",
    ]
    .concat();
    let keys = b"\x80\x02](X\x01\0\0\0se.";
    let mut storage = 4_u64.to_le_bytes().to_vec();
    storage.extend([1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|value| value.to_le_bytes()));
    let empty = legacy(b"");
    let before = &empty[..empty.len() - b"\x80\x02.\x80\x02].".len()];
    [before, &data, keys, &storage].concat()
}

#[test]
fn tensors_stay_inside_their_storage_and_the_memory_of_the_file() {
    let read = |offset, shape: &[u8], strides: &[u8]| parse(&tensor(offset, shape, strides));
    assert_eq!(read(1, &[3], &[1]).unwrap().tensors["a"], f32s(&[3], &[2.0, 3.0, 4.0]));
    assert_eq!(read(0, &[2, 2], &[1, 2]).unwrap().tensors["a"], f32s(&[2, 2], &[1.0, 3.0, 2.0, 4.0]));
    assert_eq!(read(3, &[2], &[0]).unwrap().tensors["a"], f32s(&[2], &[4.0, 4.0]));
    let refused = |offset, shape: &[u8], strides: &[u8], problem: &str| {
        let found = read(offset, shape, strides).unwrap_err().to_string();
        assert_eq!(found, format!("torch file hostile.pt: entry a is refused: {problem}"));
    };
    let outside = "tensor reaches outside its storage: s";
    refused(2, &[3], &[1], outside);
    refused(4, &[1], &[1], outside);
    refused(0, &[2, 3], &[3, 1], outside);
    refused(0, &[255; 8], &[255; 8], outside);
    refused(0, &[2], &[1, 1], "tensor has unequal numbers of sides and strides");
    refused(0, &[255, 255], &[0, 0], "tensors with more than 4 times the bytes of the file");
}

proptest! {
    #[test]
    fn damaged_bytes_never_panic(place in any::<prop::sample::Index>(), damage in 1_u8..) {
        for mut bytes in written_by_torch() {
            let index = place.index(bytes.len());
            bytes[index] ^= damage;
            let _ = parse(&bytes);
        }
    }

    #[test]
    fn arbitrary_pickles_never_panic(
        data in prop::collection::vec(
            prop::sample::select(b"\x80.(N\x88JKM\x8aGX)\x85\x86\x87t]ae}sucRbQqrhj\x00\x01\x02\n".to_vec()), 0..60
        ),
    ) {
        let _ = parse(&legacy(&data));
        let _ = parse(&[b"PK\x03\x04".as_slice(), &data].concat());
    }
}
