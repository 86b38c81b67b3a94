//! Small files that ask for much memory or time, or for a size that no number holds. Each was accepted once, or ended
//! in a panic.

use super::memory::assert_within_promise;
use super::targets::{Target, run};
use super::wire;

const MEBIBYTE: usize = 1 << 20;

fn assert_refused(target: Target, bytes: &[u8]) {
    assert!(bytes.len() < 16 * MEBIBYTE, "{} bytes are no small file", bytes.len());
    assert!(!run(target, bytes));
    assert_within_promise();
}

/// The older layout of `torch.save` around a pickle of data and the storages.
fn torch(data: &[u8], keys: &[u8], storages: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let version = b"\x80\x02M\xe9\x03.";
    let system = b"\x80\x02}X\x0d\0\0\0little_endian\x88s.";
    [magic, &version[..], system, b"\x80\x02", data, b".\x80\x02", keys, b".", storages].concat()
}

/// A file of zeros: tensors of these names and sides, all of one storage.
fn zeros(tensors: &[(&str, &[u8])]) -> Vec<u8> {
    let storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuKctQ";
    let numbers = |numbers: &[u8]| -> Vec<u8> {
        [b"(".to_vec(), numbers.iter().flat_map(|number| [b'K', *number]).collect(), b"t".to_vec()].concat()
    };
    let mut data = b"}(".to_vec();
    for (name, sides) in tensors {
        data.extend(text(name));
        data.extend(b"ctorch._utils\n_rebuild_tensor_v2\n(");
        data.extend([storage, &b"K\0"[..], &numbers(sides), &numbers(&vec![0; sides.len()]), b"tR"].concat());
    }
    data.push(b'u');
    let storages = [&99_u64.to_le_bytes()[..], &[0; 4 * 99]].concat();
    torch(&data, b"]X\x01\0\0\x000a", &storages)
}

#[test]
fn weights_of_mtcnn_that_give_a_box_fewer_corrections_than_are_read_are_refused() {
    let boxes_of = |channels: u8, side: u8| {
        zeros(&[
            ("conv1.weight", &[1, 3, 3, 3]),
            ("conv1.bias", &[1]),
            ("prelu1.weight", &[1]),
            ("conv2.weight", &[1, 1, 3, 3]),
            ("conv2.bias", &[1]),
            ("prelu2.weight", &[1]),
            ("conv3.weight", &[1, 1, side, side]),
            ("conv3.bias", &[1]),
            ("prelu3.weight", &[1]),
            ("conv4_1.weight", &[2, 1, 1, 1]),
            ("conv4_1.bias", &[2]),
            ("conv4_2.weight", &[channels, 1, 1, 1]),
            ("conv4_2.bias", &[channels]),
        ])
    };
    let folder = tempfile::tempdir().unwrap();
    let error = |channels: u8, side: u8| {
        fs_err::write(folder.path().join("pnet.pt"), boxes_of(channels, side)).unwrap();
        detect::Detector::read(folder.path(), detect::Settings::default()).unwrap_err().to_string()
    };
    assert!(error(4, 3).contains("rnet.pt"), "{}", error(4, 3));
    assert!(error(1, 3).ends_with("of the shape that MTCNN needs: boxes"), "{}", error(1, 3));
    assert!(error(4, 1).ends_with("of the shape that MTCNN needs: conv3.weight"), "{}", error(4, 1));
}

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

#[test]
fn a_long_text_that_thousands_of_globals_are_made_of_is_kept_once() {
    let long = text(&"m".repeat(MEBIBYTE));
    let globals = b"h\0h\0\x93".repeat(4000);
    assert_refused(Target::Torch, &torch(&[long, b"q\0".to_vec(), globals].concat(), b"]", &[]));
}

#[test]
fn a_pickle_of_millions_of_empty_tuples_is_too_long() {
    assert_refused(Target::FacePack, &[b"\x80\x02", &b")".repeat(15 * MEBIBYTE)[..], b"."].concat());
}

#[test]
fn long_keys_above_many_tensors_do_not_make_long_names_of_all_of_them() {
    let tensor = [
        &b"ctorch._utils\n_rebuild_tensor_v2\n("[..],
        b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\0tQ",
        b"K\0K\0\x85K\x01\x85tRq\0",
    ]
    .concat();
    let levels = 14;
    let outer = [b"}".to_vec(), text(&"k".repeat(1000))].concat().repeat(levels);
    let leaves: Vec<u8> =
        (0..100_000).flat_map(|leaf| [text(&leaf.to_string()), b"h\0".to_vec()].concat()).collect();
    // The tensor stands first, under a key of its own, so that it is remembered.
    let inner = [b"}(", &text("first")[..], &tensor, &leaves, b"u"].concat();
    let file = |inner: &[u8]| {
        let data = [&outer[..], inner, &b"s".repeat(levels)].concat();
        torch(&data, b"]X\x01\0\0\x000a", &0_u64.to_le_bytes())
    };
    let small = [b"}(", &text("first")[..], &tensor, &text("second"), b"h\0u"].concat();
    assert!(run(Target::Torch, &file(&small)));
    assert_refused(Target::Torch, &file(&inner));
}

/// The image through these nodes to output `out`.
fn onnx(size: usize, nodes: &[Vec<u8>], initializers: &[Vec<u8>]) -> Vec<u8> {
    wire::model([1, 3, size, size], nodes, initializers, "out")
}

#[test]
fn a_large_weight_that_a_node_names_thousands_of_times_is_read_once() {
    let values = vec![0.5_f32; MEBIBYTE / 4];
    let inputs = vec!["w"; 10_000];
    let nodes = [wire::node("Concat", &inputs, "all", &[]), wire::node("Relu", &["image"], "out", &[])];
    assert_refused(Target::Onnx, &onnx(8, &nodes, &[wire::floats("w", &[values.len()], &values)]));
}

#[test]
fn dimensions_that_double_with_every_node_are_refused() {
    let mut nodes: Vec<Vec<u8>> = (0..44)
        .map(|index| {
            let (from, to) = (format!("c{index}"), format!("c{}", index + 1));
            wire::node("Gather", &[&from, &from], &to, &[])
        })
        .collect();
    nodes.push(wire::node("Relu", &["image"], "out", &[]));
    assert_refused(Target::Onnx, &onnx(8, &nodes, &[wire::integers("c0", &[1, 1], &[0])]));
}

#[test]
fn enlargements_beyond_every_size_are_refused() {
    let mut from = "image".to_owned();
    let mut nodes = Vec::new();
    for index in 0..9 {
        let to = if index == 8 { "out".to_owned() } else { format!("e{index}") };
        nodes.push(wire::node(
            "Resize",
            &[&from, "", "scales"],
            &to,
            &[("coordinate_transformation_mode", "half_pixel")],
        ));
        from = to;
    }
    let scales = wire::floats("scales", &[4], &[1.0, 1.0, 256.0, 256.0]);
    assert_refused(Target::Onnx, &onnx(8, &nodes, &[scales]));
}

#[test]
fn a_number_spread_over_millions_of_channels_is_refused_before_there_is_memory_for_it() {
    let nodes = [
        wire::node("Resize", &["image", "", "scales"], "big", &[]),
        wire::node("Flatten", &["big"], "flat", &[]),
        wire::node("Mul", &["flat", "half"], "out", &[]),
    ];
    let weights = [wire::floats("scales", &[4], &[1.0, 1.0, 8.0, 8.0]), wire::floats("half", &[], &[0.5])];
    assert_refused(Target::Onnx, &onnx(2048, &nodes, &weights));
}

#[test]
fn a_tensor_of_no_elements_with_sides_beyond_every_number_is_refused() {
    let nodes =
        [wire::node("Transpose", &["none"], "turned", &[]), wire::node("Relu", &["image"], "out", &[])];
    let none = wire::floats("none", &[0, 1 << 40, 1 << 40], &[]);
    assert_refused(Target::Onnx, &onnx(8, &nodes, &[none]));
}

#[test]
fn a_part_of_a_value_without_dimensions_is_refused() {
    let nodes = [
        wire::node("GlobalAveragePool", &["image"], "mean", &[]),
        wire::node("Conv", &["mean", "w"], "one", &[]),
        wire::node("Reshape", &["one", "shape"], "scalar", &[]),
        wire::node("Slice", &["scalar", "shape", "shape"], "out", &[]),
    ];
    let weights = [wire::floats("w", &[1, 3, 1, 1], &[0.1; 3]), wire::integers("shape", &[0], &[])];
    assert_refused(Target::Onnx, &onnx(8, &nodes, &weights));
}

#[test]
fn nodes_of_one_name_are_numbered_without_a_search_from_the_first() {
    let mut from = "image".to_owned();
    let mut nodes = Vec::new();
    for index in 0..16_000 {
        let to = format!("r{index}");
        nodes.push(wire::named_node("same", "Relu", &[&from], &to));
        from = to;
    }
    nodes.push(wire::node("GlobalAveragePool", &[&from], "out", &[]));
    assert!(run(Target::Onnx, &onnx(8, &nodes, &[])));
}

#[test]
fn a_protocol_of_as_many_folds_as_pairs_is_refused() {
    let pairs: String = (0..2000).map(|fold| format!("a{fold} 1 2\na{fold} 1 b{fold} 1\n")).collect();
    assert_refused(Target::Protocol, format!("\x002000 1\n{pairs}").as_bytes());
}

#[test]
fn a_long_name_is_not_copied_to_every_image_of_a_person() {
    let long = "n".repeat(MEBIBYTE);
    let chain: String = (0..3000).map(|image| format!("a{image} a{} 1\n", image + 1)).collect();
    let impostors: String = (0..10).map(|image| format!("x{image} y{image} 0\n")).collect();
    assert_refused(Target::Protocol, format!("\u{1}{long} a0 1\n{chain}{impostors}").as_bytes());
}

#[test]
fn a_fold_beyond_every_count_is_refused() {
    let header = "fold\tkind\tfirst\tsecond\tfirst_person\tsecond_person\tcosine\tright\n";
    let rows: String = (0..12)
        .map(|row| {
            format!(
                "{}\tgenuine\ta{row}\tb{row}\tp\tp\t0.5\t1\n1\timpostor\tc{row}\td{row}\tp\tq\t0.1\t1\n",
                1_u64 << 60
            )
        })
        .collect();
    assert_refused(Target::Evidence, format!("{header}{rows}").as_bytes());
}

#[test]
fn patterns_of_names_are_matched_in_a_time_that_grows_with_the_name_alone() {
    let tensor = "x".repeat(1000);
    let text = "licence = \"none\"\n[network]\nfamily = \"mobilefacenet\"\ninput = [112, 96]\nfeature = 8\n\
         [preprocessing]\nheight = 112\nwidth = 96\nchannel_order = \"bgr\"\nmean = [0.0, 0.0, 0.0]\n\
         scale = [1.0, 1.0, 1.0]\ntemplate = \"unaligned\"\nflip = \"none\"\n\
         [names.rename]\n\"{*a}x{*b}x{*c}x{*d}y\" = \"n\"\n";
    let description: net::ImportDescription = toml::from_str(text).unwrap();
    let values = net::tensor_file::Values::F32(vec![0.0]);
    let tensors = [(tensor, net::tensor_file::Array { shape: vec![1], values })];
    assert!(description.import(tensors.into_iter().collect(), String::new()).is_err());
}
