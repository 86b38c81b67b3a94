use net::{Architecture, ArchitectureError, Cost, Family, Network, Op, Shape};

fn build(family: Family, depth: usize, input: [usize; 2]) -> Network {
    Architecture { input, ..Architecture::new(family, Some(depth)) }.build().unwrap()
}

fn parameters(network: &Network) -> u64 {
    Cost::of(network).parameters
}

/// Sizes in millions as published with InsightFace's arcface_torch, cut after two digits.
#[test]
fn iresnets_have_the_published_numbers_of_parameters() {
    for (depth, published) in [(18, 24.02), (34, 34.13), (50, 43.59), (100, 65.15)] {
        let count = parameters(&build(Family::IResNet, depth, [112, 112]));
        let millions = (count as f64 / 1e4).floor() / 100.0;
        assert_eq!(millions, published, "iresnet{depth} has {count}");
    }
}

/// Counted from the table of layers in the paper: openings with bias, units without, one slope for each channel.
#[test]
fn sphereface20_has_the_layers_of_the_paper() {
    let network = build(Family::SphereFace, 20, [112, 96]);
    let openings = 9 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 64 + 128 + 256 + 512;
    let units = 9 * (2 * 64 * 64 + 4 * 128 * 128 + 8 * 256 * 256 + 2 * 512 * 512);
    let slopes = 3 * 64 + 5 * 128 + 9 * 256 + 3 * 512;
    let feature = 512 * 7 * 6 * 512 + 512;
    assert_eq!(parameters(&network), openings + units + slopes + feature);
}

#[test]
fn spherefaces_have_as_many_convolutions_as_their_name_says() {
    for depth in [4, 10, 20, 36, 64] {
        let network = build(Family::SphereFace, depth, [112, 96]);
        let convolutions = network.nodes.iter().filter(|node| matches!(node.op, Op::Convolution(_)));
        let slopes = network.nodes.iter().filter(|node| matches!(node.op, Op::PRelu(_)));
        let sums = network.nodes.iter().filter(|node| matches!(node.op, Op::Add));
        assert_eq!((convolutions.count(), slopes.count(), sums.count()), (depth, depth, (depth - 4) / 2));
    }
}

#[test]
fn only_opening_convolutions_of_sphereface_have_a_bias_and_none_with_batch_normalisation() {
    let published = Architecture::new(Family::SphereFace, Some(20));
    let normalised = Architecture { batch_norm: Some(true), ..published.clone() };
    let biased = |network: &Network| -> Vec<String> {
        let nodes = network.nodes.iter();
        nodes
            .filter(|node| matches!(&node.op, Op::Convolution(convolution) if convolution.bias))
            .map(|node| node.name.clone())
            .collect()
    };
    assert_eq!(biased(&published.build().unwrap()), ["conv1_1", "conv2_1", "conv3_1", "conv4_1"]);
    let network = normalised.build().unwrap();
    assert!(biased(&network).is_empty());
    let norms = network.nodes.iter().filter(|node| matches!(node.op, Op::BatchNorm(_))).count();
    assert_eq!(norms, 21, "one for each convolution and one for the feature");
}

/// Twelve of fifteen bottlenecks keep their shape: all but the first of the three groups with stride 2.
#[test]
fn bottlenecks_of_mobilefacenet_have_a_shortcut_where_the_shape_stays() {
    let network = Architecture::new(Family::MobileFaceNet, None).build().unwrap();
    let sums: Vec<usize> = network
        .nodes
        .iter()
        .filter(|node| matches!(node.op, Op::Add))
        .map(|node| node.name.trim_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap())
        .collect();
    assert_eq!(sums, [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 13, 14]);
}

#[test]
fn residual_units_add_the_input_of_their_first_convolution() {
    let network = build(Family::SphereFace, 20, [112, 96]);
    let index = |name: &str| network.nodes.iter().position(|node| node.name == name).unwrap();
    let sum = &network.nodes[index("res3_5")];
    let names: Vec<&str> = sum
        .inputs
        .iter()
        .map(|source| match source {
            net::Source::Node(index) => network.nodes[*index].name.as_str(),
            net::Source::Image => "image",
        })
        .collect();
    assert_eq!(names, ["res3_3", "relu3_5"]);
    assert_eq!(network.nodes[index("conv3_4")].inputs, [net::Source::Node(index("res3_3"))]);
}

#[test]
fn iresnet_keeps_the_parameter_names_of_arcface_torch() {
    let network = build(Family::IResNet, 18, [112, 112]);
    let names: Vec<String> = network.parameters().into_iter().map(|parameter| parameter.name).collect();
    let unit = |name: &str| format!("layer3.0.{name}");
    for expected in [
        "conv1.weight".to_owned(),
        "bn1.running_var".to_owned(),
        "prelu.weight".to_owned(),
        unit("bn1.weight"),
        unit("conv1.weight"),
        unit("bn2.bias"),
        unit("prelu.weight"),
        unit("conv2.weight"),
        unit("bn3.running_mean"),
        unit("downsample.0.weight"),
        unit("downsample.1.weight"),
        "bn2.weight".to_owned(),
        "fc.weight".to_owned(),
        "fc.bias".to_owned(),
        "features.weight".to_owned(),
    ] {
        assert!(names.contains(&expected), "{expected} is not among {names:?}");
    }
    assert_eq!(names.iter().filter(|name| name.contains("downsample.0")).count(), 4);
}

#[test]
fn the_last_map_shrinks_with_the_input_rounded_up() {
    let feature_input = |network: &Network| -> Shape {
        let shapes = network.shapes();
        let before_feature =
            network.nodes.iter().position(|node| matches!(node.op, Op::Linear(_))).unwrap() - 1;
        shapes[before_feature]
    };
    for (input, height, width) in
        [([112, 112], 7, 7), ([112, 96], 7, 6), ([56, 48], 4, 3), ([113, 97], 8, 7), ([16, 16], 1, 1)]
    {
        for (family, depth) in [(Family::SphereFace, 20), (Family::IResNet, 18)] {
            let shape = feature_input(&build(family, depth, input));
            assert_eq!(shape, Shape { height, width, channels: 512 }, "{family} on {input:?}");
        }
        let mobile = Architecture { input, ..Architecture::new(Family::MobileFaceNet, None) };
        let network = mobile.build().unwrap();
        let global = network.nodes.iter().find(|node| node.name == "global.conv").unwrap();
        let Op::Convolution(convolution) = &global.op else { panic!("global.conv is a convolution") };
        assert_eq!(convolution.kernel, [height, width], "mobilefacenet on {input:?}");
    }
}

#[test]
fn width_scales_channels_to_multiples_of_eight_and_channels_are_exact() {
    let architecture = Architecture { width: Some(0.3), ..Architecture::new(Family::SphereFace, Some(4)) };
    let channels = |architecture: &Architecture| -> Vec<usize> {
        let network = architecture.build().unwrap();
        network.shapes().iter().step_by(2).map(|shape| shape.channels).collect()
    };
    // 0.3 of 64, 128, 256, 512 is 19.2, 38.4, 76.8, 153.6; the last node is the feature.
    assert_eq!(channels(&architecture), [16, 40, 80, 152, 512]);
    let exact = Architecture { width: None, channels: Some(vec![5, 6, 7, 9]), ..architecture };
    assert_eq!(channels(&exact), [5, 6, 7, 9, 512]);
}

#[test]
fn dropout_stands_right_before_the_layer_that_makes_the_feature() {
    for (family, depth, feature) in [
        (Family::SphereFace, Some(20), "fc5"),
        (Family::IResNet, Some(18), "fc"),
        (Family::MobileFaceNet, None, "feature.conv"),
    ] {
        let plain = Architecture::new(family, depth);
        let network = Architecture { dropout: 0.4, ..plain.clone() }.build().unwrap();
        let at = network.nodes.iter().position(|node| matches!(node.op, Op::Dropout(_))).unwrap();
        assert_eq!(network.nodes[at + 1].name, feature);
        let dropless = plain.build().unwrap();
        assert_eq!(dropless.nodes.len() + 1, network.nodes.len());
        assert_eq!(dropless.parameters().len(), network.parameters().len());
    }
}

fn error(toml: &str) -> String {
    match toml::from_str::<Architecture>(toml) {
        Ok(architecture) => architecture.build().unwrap_err().to_string(),
        Err(error) => error.message().to_owned(),
    }
}

#[test]
fn impossible_settings_are_named() {
    assert_eq!(error("family = 'iresnet'"), "network family iresnet needs a depth, one of [18, 34, 50, 100]");
    assert_eq!(
        error("family = 'sphereface'\ndepth = 18"),
        "network family sphereface has the depths [4, 10, 20, 36, 64]: 18"
    );
    let not_a_setting =
        |family, setting| format!("network family {family} does not take this setting, remove it: {setting}");
    assert_eq!(error("family = 'mobilefacenet'\ndepth = 1"), not_a_setting("mobilefacenet", "depth"));
    assert_eq!(
        error("family = 'iresnet'\ndepth = 18\nbatch_norm = false"),
        not_a_setting("iresnet", "batch_norm")
    );
    let sphereface = |line| error(&format!("family = 'sphereface'\ndepth = 4\n{line}"));
    assert_eq!(
        sphereface("width = 1.0\nchannels = [1, 2, 3, 4]"),
        "network has both `width` and `channels`, remove one"
    );
    assert_eq!(sphereface("channels = [1, 2]"), "network family sphereface takes 4 values in `channels`: 2");
    assert_eq!(sphereface("width = 0.1"), "network setting width must be between 0.125 and 4: 0.1");
    assert_eq!(sphereface("width = nan"), "network setting width must be between 0.125 and 4: NaN");
    assert_eq!(
        sphereface("input = [8, 96]"),
        "network setting input must be two sides between 16 and 1024: 8"
    );
    assert_eq!(sphereface("dropout = 1.0"), "network setting dropout must be at least 0 and below 1: 1");
    assert_eq!(sphereface("feature = 0"), "network setting feature must be between 1 and 65536: 0");
    assert!(sphereface("depht = 4").starts_with("unknown field `depht`"));
    assert!(error("family = 'resnet'").starts_with("unknown variant `resnet`"));
}

#[test]
fn settings_that_together_are_too_large_are_an_error_and_not_an_overflow() {
    let architecture = Architecture {
        channels: Some(vec![65536; 4]),
        input: [1024, 1024],
        feature: 65536,
        ..Architecture::new(Family::SphereFace, Some(64))
    };
    assert!(matches!(
        architecture.build(),
        Err(ArchitectureError::Network(net::NetworkError::TooLarge { .. }))
    ));
}

#[test]
fn an_architecture_survives_being_written_into_a_recipe() {
    let full = Architecture {
        family: Family::SphereFace,
        depth: Some(36),
        input: [56, 48],
        width: Some(0.5),
        channels: None,
        feature: 128,
        batch_norm: Some(true),
        dropout: 0.4,
    };
    let text = toml::to_string(&full).unwrap();
    assert_eq!(toml::from_str::<Architecture>(&text).unwrap(), full);
}
