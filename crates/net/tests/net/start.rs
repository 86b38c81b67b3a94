use net::{Architecture, Family, Weights, initialise};

fn moments(weights: &Weights, name: &str) -> (f64, f64, f64) {
    let values = &weights.get(name).unwrap().values;
    let count = values.len() as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let variance = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count;
    let largest = values.iter().fold(0.0_f64, |largest, value| largest.max(f64::from(value.abs())));
    (mean, variance.sqrt(), largest)
}

/// A sample deviation of n normal values has a relative error of about 1 / sqrt(2n); five of those are allowed.
fn assert_deviation(weights: &Weights, name: &str, expected: f64) {
    let count = weights.get(name).unwrap().values.len() as f64;
    let (mean, deviation, _) = moments(weights, name);
    assert!(mean.abs() < 5.0 * expected / count.sqrt(), "{name}: mean {mean}");
    assert!(
        (deviation / expected - 1.0).abs() < 5.0 / (2.0 * count).sqrt(),
        "{name}: {deviation}, not {expected}"
    );
}

#[test]
fn starts_have_the_published_distributions() {
    let sphereface = Architecture { width: Some(0.5), ..Architecture::new(Family::SphereFace, Some(20)) };
    let weights = initialise(&sphereface.build().unwrap(), 1);
    // Caffe's Xavier: variance 1 / fan_in, bounded by sqrt(3 / fan_in).
    assert_deviation(&weights, "conv2_1.weight", (1.0 / (32.0 * 9.0_f64)).sqrt());
    let (_, _, largest) = moments(&weights, "conv2_1.weight");
    let bound = (3.0 / (32.0 * 9.0_f64)).sqrt();
    assert!(largest <= bound && largest > 0.99 * bound, "{largest}, bound {bound}");
    assert_deviation(&weights, "conv3_2.weight", 0.01);
    let (_, _, largest) = moments(&weights, "conv3_2.weight");
    assert!(largest > 0.035, "147456 normal values reach beyond 3.5 deviations: {largest}");
    assert!(weights.get("conv2_1.bias").unwrap().values.iter().all(|value| *value == 0.0));
    assert!(weights.get("relu2_1.weight").unwrap().values.iter().all(|value| *value == 0.25));

    let normalised = Architecture { batch_norm: Some(true), ..sphereface };
    let weights = initialise(&normalised.build().unwrap(), 1);
    assert_deviation(&weights, "conv3_1.weight", (2.0 / (128.0 * 9.0_f64)).sqrt());
    assert!(weights.get("bn3_1.weight").unwrap().values.iter().all(|value| *value == 1.0));
    assert!(weights.get("bn3_1.running_var").unwrap().values.iter().all(|value| *value == 1.0));

    let iresnet =
        Architecture { width: Some(0.5), feature: 64, ..Architecture::new(Family::IResNet, Some(18)) };
    let weights = initialise(&iresnet.build().unwrap(), 1);
    assert_deviation(&weights, "layer2.0.conv1.weight", 0.1);
    // Uniform in +- 1 / sqrt(fan_in) has the deviation of its bound over sqrt(3).
    assert_deviation(&weights, "fc.weight", (1.0 / (3.0 * 256.0 * 42.0_f64)).sqrt());
}

#[test]
fn a_seed_and_a_name_decide_a_start() {
    let small = Architecture { width: Some(0.25), ..Architecture::new(Family::SphereFace, Some(10)) };
    let network = small.build().unwrap();
    let weights = initialise(&network, 5);
    assert_eq!(weights, initialise(&network, 5));
    assert_ne!(weights, initialise(&network, 6));
    // The deeper member has the same layers and more: those of one name start equally.
    let deeper = Architecture { depth: Some(20), ..small }.build().unwrap();
    let deeper = initialise(&deeper, 5);
    assert_eq!(weights.get("conv2_2.weight"), deeper.get("conv2_2.weight"));
    // Layers of one shape and different names start differently.
    assert_ne!(weights.get("conv2_2.weight"), weights.get("conv2_3.weight"));
}
