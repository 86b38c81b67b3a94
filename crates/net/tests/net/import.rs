use std::collections::BTreeMap;

use net::tensor_file::{Array, TensorFile, Values};
use net::{Cost, ImportDescription, ImportError, NameRules, TorchFile, Weights};

use crate::fixture::{every_operation, shared};

fn mobilefacenet() -> ImportDescription {
    toml::from_str(include_str!("../../imports/mobilefacenet_pytorch.toml")).unwrap()
}

#[test]
fn a_published_mobilefacenet_fills_every_parameter() {
    let Some(path) = shared("data/weights/mobilefacenet-casia/068.safetensors") else { return };
    let tensors = TensorFile::read(&path).unwrap().tensors;
    let count = tensors.len();
    let elements: usize = tensors
        .iter()
        .filter(|(name, _)| !name.contains("running"))
        .map(|(_, array)| array.values.as_slice().len())
        .sum();
    let model = mobilefacenet().import(tensors, "cosface test".to_owned()).unwrap();
    assert_eq!(model.weights().len(), count);
    assert_eq!(Cost::of(model.network()).parameters, elements as u64);
    assert_eq!(model.card().feature_dimension, 128);
    // The checkpoint that the file was made of gives the same model.
    let Some(path) = shared("data/weights/mobilefacenet-casia/068.ckpt") else { return };
    let tensors = TorchFile::read(&path).unwrap().under("net_state_dict");
    let again = mobilefacenet().import(tensors, "cosface test".to_owned()).unwrap();
    assert_eq!(again.fingerprint(), model.fingerprint());
}

/// Places that shapes alone do not tell apart.
#[test]
fn names_of_a_mobilefacenet_keep_their_place() {
    let Some(path) = shared("data/weights/mobilefacenet-casia/068.safetensors") else { return };
    let tensors = TensorFile::read(&path).unwrap().tensors;
    let model = mobilefacenet().import(tensors.clone(), "cosface test".to_owned()).unwrap();
    for (old, new) in [
        ("blocks.12.conv.2.weight", "bottleneck12.expand.prelu.weight"),
        ("blocks.12.conv.5.weight", "bottleneck12.depthwise.prelu.weight"),
        ("blocks.3.conv.1.running_var", "bottleneck3.expand.bn.running_var"),
        ("blocks.3.conv.4.running_mean", "bottleneck3.depthwise.bn.running_mean"),
        ("blocks.1.conv.7.bias", "bottleneck1.project.bn.bias"),
        ("dw_conv1.bn.weight", "stem_depthwise.bn.weight"),
        ("linear7.bn.bias", "global.bn.bias"),
        ("linear1.conv.weight", "feature.conv.weight"),
    ] {
        let Values::F32(values) = &tensors[old].values else { panic!("{old} is f32") };
        assert_eq!(&model.weights().get(new).unwrap().values, values, "{old}");
    }
}

fn rules(ignore: &[&str], rename: &[(&str, &str)]) -> NameRules {
    NameRules {
        ignore: ignore.iter().map(|name| (*name).to_owned()).collect(),
        rename: rename.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect(),
    }
}

/// Tensors of [`every_operation`] called `old.` and their name.
fn foreign() -> BTreeMap<String, Array> {
    let weights = net::initialise(&every_operation(), 3);
    let array = |tensor: &net::Tensor| Array {
        shape: tensor.shape.clone(),
        values: Values::F32(tensor.values.clone()),
    };
    weights.iter().map(|(name, tensor)| (format!("old.{name}"), array(tensor))).collect()
}

fn apply(rules: &NameRules) -> Result<Weights, ImportError> {
    rules.apply(foreign(), &every_operation())
}

#[test]
fn rules_rename_whole_names() {
    let expected = net::initialise(&every_operation(), 3);
    assert_eq!(apply(&rules(&[], &[("old.{*name}", "{*name}")])).unwrap(), expected);
    assert_eq!(apply(&rules(&[], &[("old.{node}.{role}", "{node}.{role}")])).unwrap(), expected);
    assert_eq!(apply(&rules(&[], &[("{*before}.{node}.{role}", "{node}.{role}")])).unwrap(), expected);
}

fn refusal(ignore: &[&str], rename: &[(&str, &str)]) -> String {
    let error = apply(&rules(ignore, rename)).unwrap_err();
    std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
}

#[test]
fn every_tensor_needs_exactly_one_rule_and_every_parameter_one_tensor() {
    assert_eq!(
        refusal(&[], &[("old.{node}", "{node}")]),
        "no rule for tensor, add its name to `rename` or to `ignore`: old.feature.bias"
    );
    assert_eq!(
        refusal(&[], &[("old.{node}.{role}", "{role}")]),
        "tensors old.feature.weight and old.inner.weight both become parameter: weight"
    );
    assert_eq!(
        refusal(&[], &[("old.{*name}", "{*name}"), ("old.norm.{role}", "norm.{role}")]),
        "two rules, old.norm.{role} and old.{*name}, fit tensor: old.norm.bias"
    );
    // What is ignored may fit another rule, but is missed where the network needs it.
    assert_eq!(
        refusal(&["old.norm.{*rest}"], &[("old.{*name}", "{*name}")]),
        "no tensor for the network's parameter of shape [4]: norm.weight"
    );
    let mut tensors = foreign();
    tensors.remove("old.norm.weight");
    let rename_all = rules(&[], &[("old.{*name}", "{*name}")]);
    let error = rename_all.apply(tensors, &every_operation()).unwrap_err();
    assert!(
        matches!(error, ImportError::Weights(net::WeightsError::Missing { name, .. }) if name == "norm.weight")
    );
    let mut tensors = foreign();
    tensors.insert("old.more".to_owned(), Array { shape: vec![], values: Values::I64(vec![1]) });
    let error = rename_all.apply(tensors, &every_operation()).unwrap_err();
    assert_eq!(error.to_string(), "tensor must have values of type F32: old.more");
}

#[test]
fn malformed_patterns_are_named() {
    let malformed = |old: &str, new: &str| refusal(&[], &[(old, new)]);
    for pattern in ["{", "}", "a{}", "{*}", "{a b}", "{a", "a}b"] {
        assert_eq!(
            malformed(pattern, "x"),
            format!("braces of a name pattern must enclose a name, as in {{block}} or {{*rest}}: {pattern}")
        );
    }
    assert_eq!(malformed("{a}{b}", "x"), "placeholders of a name pattern need text between them: {a}{b}");
    let placeholders = "a name pattern has at most 4 placeholders, each once: ";
    assert_eq!(malformed("{a}.{a}", "x"), format!("{placeholders}{{a}}.{{a}}"));
    assert_eq!(malformed("{a}.{b}.{c}.{d}.{e}", "x"), format!("{placeholders}{{a}}.{{b}}.{{c}}.{{d}}.{{e}}"));
    assert_eq!(malformed("{a}", "{b}"), "new name has a placeholder that the old name lacks, b: {b}");
}
