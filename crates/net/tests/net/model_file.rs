use std::collections::BTreeMap;
use std::path::Path;

use net::tensor_file::{Array, NamedArray, TensorFile, Values};
use net::{Card, Model, Tensor, Weights};
use proptest::prelude::{any, prop, proptest};

use crate::fixture::{card, every_operation, model};

#[test]
fn a_model_survives_writing_and_reading_bit_for_bit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    let model = model();
    model.write(&path).unwrap();
    let read = Model::read(&path).unwrap();
    assert_eq!(read, model);
    assert_eq!(read.fingerprint(), model.fingerprint());
    let first = fs_err::read(&path).unwrap();
    read.write(&path).unwrap();
    assert_eq!(fs_err::read(&path).unwrap(), first, "a model has one representation as a file");
}

#[test]
fn the_fingerprint_follows_weights_network_and_preprocessing_and_nothing_else() {
    let original = model().fingerprint();
    assert_eq!(original.to_string().len(), 64);
    let with_card = |change: fn(&mut Card)| {
        let (network, weights, mut card) = model().into_parts();
        change(&mut card);
        Model::new(network, weights, card).unwrap().fingerprint()
    };
    assert_eq!(with_card(|card| card.notes.clear()), original);
    assert_eq!(with_card(|card| card.licence = None), original);
    assert_eq!(with_card(|card| card.margin = None), original);
    assert_ne!(with_card(|card| card.preprocessing.channel_order = net::ChannelOrder::Bgr), original);
    assert_ne!(with_card(|card| card.preprocessing.mean[2] = 127.0), original);
    assert_ne!(with_card(|card| card.preprocessing.flip = net::FlipRule::Summed), original);
    let (network, mut weights, card) = model().into_parts();
    let value = &mut weights.get_mut("feature.bias").unwrap().values[4];
    *value = f32::from_bits(value.to_bits() + 1);
    assert_ne!(Model::new(network, weights, card).unwrap().fingerprint(), original);
    let (mut network, weights, card) = model().into_parts();
    network.nodes[3].op = net::Op::BatchNorm(net::BatchNorm { epsilon: 1e-3, momentum: 0.1 });
    assert_ne!(Model::new(network, weights, card).unwrap().fingerprint(), original);
}

/// The message of reading the model file after a change to its content, with the causes and without the directory.
fn read_after(change: impl FnOnce(&mut TensorFile)) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    model().write(&path).unwrap();
    let mut file = TensorFile::read(&path).unwrap();
    change(&mut file);
    file.write(&path).unwrap();
    let error = Model::read(&path).unwrap_err();
    let mut causes = vec![error.to_string()];
    let mut cause: &dyn std::error::Error = &error;
    while let Some(next) = cause.source() {
        causes.push(next.to_string());
        cause = next;
    }
    causes.join("; ").replace(directory.path().to_str().unwrap(), "DIR")
}

fn edit(file: &mut TensorFile, key: &str, from: &str, to: &str) {
    let text = file.metadata.get_mut(key).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    *text = text.replacen(from, to, 1);
}

const FILE: &str = "model file DIR/model.safetensors";
const UNUSABLE: &str = "model file cannot be used: DIR/model.safetensors";

#[test]
fn missing_and_unknown_metadata_is_named() {
    for key in ["cosface.format", "cosface.network", "cosface.card"] {
        let message = read_after(|file| {
            file.metadata.remove(key);
        });
        assert_eq!(message, format!("{FILE} lacks metadata, import it with a card to use it: {key}"));
    }
    let message = read_after(|file| edit(file, "cosface.format", "1", "2"));
    assert_eq!(message, format!("{FILE} has format 1 in this version of cosface: 2"));
    let message = read_after(|file| edit(file, "cosface.card", "{", "["));
    assert!(message.starts_with(&format!("{FILE} has unreadable metadata: cosface.card; ")), "{message}");
    let message = read_after(|file| edit(file, "cosface.card", "\"notes\"", "\"note\""));
    assert!(message.contains("unknown field `note`"), "{message}");
    let message = read_after(|file| edit(file, "cosface.card", "\"rgb\"", "\"rbg\""));
    assert!(message.contains("unknown variant `rbg`"), "{message}");
    let message = read_after(|file| edit(file, "cosface.card", "\"template\":\"112x96\",", ""));
    assert!(message.contains("missing field `template`"), "{message}");
}

#[test]
fn a_card_that_does_not_fit_the_network_is_named() {
    let after = |from: &str, to: &str| {
        let message = read_after(|file| edit(file, "cosface.card", from, to));
        let start = format!("{UNUSABLE}; model has a card that does not fit its network; ");
        message.strip_prefix(&start).unwrap_or_else(|| panic!("{message}")).to_owned()
    };
    assert_eq!(
        after("every_operation", "else"),
        "card is of network else but the network is: every_operation"
    );
    assert_eq!(
        after("\"height\":14", "\"height\":28"),
        "card states an input of 28x12 but the network takes: 14x12"
    );
    assert_eq!(
        after("\"feature_dimension\":5", "\"feature_dimension\":512"),
        "card states a feature dimension of 512 but the network makes: 5"
    );
    assert_eq!(
        after("\"112x96\"", "\"112x112\""),
        "card's landmark template 112x112 does not have the ratio of the input: 14x12"
    );
    let number = |field: &str, value: &str| {
        format!(
            "card needs a finite value, above 0 for scale and in range for a calibration, in {field}: {value}"
        )
    };
    assert_eq!(after("[128.0,", "[0.0,"), number("scale", "0"));
    assert_eq!(after("[128.0,", "[-1.0,"), number("scale", "-1"));
}

#[test]
fn tensors_that_do_not_fit_the_network_are_named() {
    let after = |change: fn(&mut TensorFile)| {
        let message = read_after(change);
        let start = format!("{UNUSABLE}; model has other weights than its network needs; ");
        message.strip_prefix(&start).unwrap_or_else(|| panic!("{message}")).to_owned()
    };
    let missing = after(|file| {
        file.tensors.remove("inner.weight");
    });
    assert_eq!(missing, "no tensor for the network's parameter of shape [4, 2, 3, 3]: inner.weight");
    let extra = after(|file| {
        let array = Array { shape: vec![1], values: Values::F32(vec![0.0]) };
        file.tensors.insert("more".to_owned(), array);
    });
    assert_eq!(extra, "tensor that the network does not have: more");
    let reshaped = after(|file| file.tensors.get_mut("feature.weight").unwrap().shape = vec![168, 5]);
    assert_eq!(reshaped, "tensor feature.weight must have shape [5, 168]: [168, 5]");
    for (value, problem) in [
        (f32::NAN, "is not finite at index 2: NaN"),
        (f32::NEG_INFINITY, "is not finite at index 2: -inf"),
        (-1e-9, "is a variance and negative at index 2: -0.000000001"),
    ] {
        let message = read_after(|file| {
            let Values::F32(values) = &mut file.tensors.get_mut("norm.running_var").unwrap().values else {
                panic!("weights are f32");
            };
            values[2] = value;
        });
        assert!(message.ends_with(&format!("tensor norm.running_var {problem}")), "{message}");
    }
    let message = read_after(|file| {
        file.tensors.get_mut("slope.weight").unwrap().values = Values::F64(vec![0.25; 4]);
    });
    assert_eq!(message, format!("{FILE}: tensor must have values of type F32: slope.weight"));
}

#[test]
fn parts_that_do_not_fit_make_no_model() {
    let network = every_operation();
    let error = Model::new(network.clone(), Weights::default(), card()).unwrap_err();
    assert!(matches!(error, net::InvalidModel::Weights(net::WeightsError::Missing { .. })));
    let mut invalid = network;
    invalid.nodes.clear();
    let error = Model::new(invalid, Weights::default(), card()).unwrap_err();
    assert_eq!(error, net::InvalidModel::Network(net::NetworkError::Empty));
}

#[test]
fn published_margin_cases_are_readable() {
    let Some(path) = crate::fixture::shared("golden/margin/cosface_ragged.safetensors") else { return };
    let file = TensorFile::read(&path).unwrap();
    assert_eq!(file.metadata["loss"], "cosface");
    let features = &file.tensors["features"];
    let Values::F64(values) = &features.values else { panic!("features are f64") };
    assert_eq!(features.shape.iter().product::<usize>(), values.len());
    assert!(matches!(file.tensors["labels"].values, Values::I64(_)));
}

fn arrays() -> impl proptest::strategy::Strategy<Value = BTreeMap<String, Array>> {
    use proptest::strategy::Strategy;
    let values = proptest::prop_oneof![
        prop::collection::vec(any::<u32>(), 0..40)
            .prop_map(|bits| Values::F32(bits.into_iter().map(f32::from_bits).collect())),
        prop::collection::vec(any::<u64>(), 0..40)
            .prop_map(|bits| Values::F64(bits.into_iter().map(f64::from_bits).collect())),
        prop::collection::vec(any::<i64>(), 0..40).prop_map(Values::I64),
    ];
    let array = values.prop_map(|values| {
        let count = values.as_slice().len();
        // An even count is also tried as a matrix.
        let shape = if count.is_multiple_of(2) { vec![count / 2, 2] } else { vec![count] };
        Array { shape, values }
    });
    prop::collection::btree_map("[^\u{0}]{0,12}", array, 0..6)
}

fn bits(file: &TensorFile) -> Vec<(String, Vec<usize>, Vec<u64>)> {
    let bits = |values: &Values| -> Vec<u64> {
        match values {
            Values::F32(values) => values.iter().map(|value| u64::from(value.to_bits())).collect(),
            Values::F64(values) => values.iter().map(|value| value.to_bits()).collect(),
            Values::I64(values) => values.iter().map(|value| value.cast_unsigned()).collect(),
        }
    };
    file.tensors
        .iter()
        .map(|(name, array)| (name.clone(), array.shape.clone(), bits(&array.values)))
        .collect()
}

proptest! {
    #[test]
    fn any_content_survives_writing_and_an_independent_reader_agrees(
        metadata in prop::collection::btree_map(".{0,8}", ".{0,20}", 0..4),
        tensors in arrays(),
    ) {
        let file = TensorFile { metadata, tensors };
        let named: Vec<NamedArray<'_>> = file
            .tensors
            .iter()
            .map(|(name, array)| NamedArray { name, shape: &array.shape, values: array.values.as_slice() })
            .collect();
        let mut bytes = Vec::new();
        net::tensor_file::write_to(&mut bytes, &file.metadata, &named).unwrap();
        let read = TensorFile::parse(&bytes, Path::new("memory")).unwrap();
        assert_eq!(bits(&read), bits(&file));
        assert_eq!(read.metadata, file.metadata);
        let reference = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        for (name, array) in &file.tensors {
            assert_eq!(reference.tensor(name).unwrap().shape(), array.shape);
        }
    }
}

#[test]
fn values_lie_at_multiples_of_their_size() {
    let file = TensorFile {
        metadata: BTreeMap::new(),
        tensors: BTreeMap::from([
            ("a".to_owned(), Array { shape: vec![1], values: Values::F32(vec![1.0]) }),
            ("b".to_owned(), Array { shape: vec![], values: Values::F64(vec![2.0]) }),
        ]),
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("two.safetensors");
    file.write(&path).unwrap();
    let bytes = fs_err::read(&path).unwrap();
    assert_eq!(bytes.len() % 4, 0);
    let header_bytes = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(header_bytes % 8, 0);
    assert_eq!(&bytes[bytes.len() - 12..bytes.len() - 4], &2.0_f64.to_le_bytes());
    assert_eq!(TensorFile::read(&path).unwrap(), file);
}

#[test]
#[should_panic(expected = "values of a tensor of shape [2, 3]")]
fn a_tensor_of_another_size_than_its_shape_is_a_bad_call() {
    let _ = Tensor::new(vec![2, 3], vec![0.0; 5]);
}
