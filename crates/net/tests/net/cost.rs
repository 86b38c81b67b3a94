use net::{Architecture, Cost, Family, Storage};

use crate::fixture::every_operation;

/// Counted by hand: open 4 x 7x6 outputs of 27 products, inner 4 x 7x6 of 2 x 9, feature 5 x 168.
#[test]
fn every_operation_costs_what_counting_by_hand_gives() {
    let cost = Cost::of(&every_operation());
    assert_eq!(cost.multiply_adds, 4 * 42 * 27 + 4 * 42 * 18 + 5 * 168);
    assert_eq!(cost.parameters, (4 * 27 + 4) + 4 + 4 * 18 + 8 + (5 * 168 + 5));
    assert_eq!(cost.statistics, 8);
    assert_eq!(cost.activations, 6 * 168 + 5);
    assert_eq!(cost.largest_activation, 168);
    assert_eq!(cost.feature_dimension, 5);
}

/// 221 million multiply-adds at 112 x 112, as arXiv:1908.09124 (abstract) states for this network.
#[test]
fn mobilefacenet_costs_what_its_paper_says() {
    let architecture =
        Architecture { input: [112, 112], feature: 128, ..Architecture::new(Family::MobileFaceNet, None) };
    let cost = Cost::of(&architecture.build().unwrap());
    assert_eq!((cost.multiply_adds + 500_000) / 1_000_000, 221, "{cost:?}");
}

/// Stage by stage at 112 x 112: the stem; the first unit of a stage, whose first convolution still has the larger map
/// and the fewer input channels, with its projection; the other units; the feature.
#[test]
fn iresnet50_costs_what_adding_its_stages_gives() {
    let architecture = Architecture { input: [112, 112], ..Architecture::new(Family::IResNet, Some(50)) };
    let mut expected: u64 = 112 * 112 * 27 * 64;
    let (mut side, mut inputs) = (112, 64);
    for (channels, units) in [(64, 3), (128, 4), (256, 14), (512, 3)] {
        expected += side * side * 9 * inputs * channels;
        side /= 2;
        expected += side * side * (9 * channels * channels + inputs * channels);
        expected += (units - 1) * side * side * 2 * 9 * channels * channels;
        inputs = channels;
    }
    expected += 7 * 7 * 512 * 512;
    assert_eq!(Cost::of(&architecture.build().unwrap()).multiply_adds, expected);
}

#[test]
fn training_memory_is_the_sum_of_its_parts() {
    let cost = Cost::of(&every_operation());
    let memory = cost.training_memory(32, 1000, Storage::Bf16);
    assert_eq!(memory.weights, 4 * (cost.parameters + 8));
    assert_eq!(memory.gradients, 4 * cost.parameters);
    assert_eq!(memory.momentum, 4 * cost.parameters);
    assert_eq!(memory.activations, 32 * 1013 * 2);
    assert_eq!(memory.head, 1000 * 5 * 4 * 2);
    assert_eq!(cost.training_memory(32, 1000, Storage::F32).activations, 32 * 1013 * 4);
    let parts = memory.weights + memory.gradients + memory.momentum + memory.activations + memory.head;
    assert_eq!(memory.total(), parts);
}
