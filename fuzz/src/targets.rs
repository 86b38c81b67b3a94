//! One function for each kind of file that strangers make. It may refuse the bytes; it may not panic, run out of
//! memory or take long.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use net::tensor_file::TensorFile;
use tempfile::TempDir;

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `torch.save`, both layouts.
    Torch,
    /// Packs of face pairs, which are pickles.
    FacePack,
    /// safetensors with network and card: model files.
    Model,
    /// Networks, cards and descriptions of imports as text.
    Description,
    /// ONNX, and the network that it makes.
    Onnx,
    /// Detectors as ONNX, searched with.
    Detector,
    /// Images of every format.
    Image,
    /// Photographs: CMYK, 16 bit and alpha are converted.
    Photograph,
    /// JPEG from its second marker on.
    Jpeg,
    /// Landmarks and the crop that they ask for.
    Landmarks,
    /// Protocols of pairs, in every format.
    Protocol,
    /// Lists of images and people.
    List,
    /// Embeddings in NumPy archives.
    Npz,
    /// Embeddings in safetensors files.
    Embeddings,
    /// Evaluations, scored pairs and journals.
    Evidence,
    /// Recipes with overrides.
    Recipe,
    /// Checkpoints.
    Checkpoint,
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 17] = [
        Self::Torch,
        Self::FacePack,
        Self::Model,
        Self::Description,
        Self::Onnx,
        Self::Detector,
        Self::Image,
        Self::Photograph,
        Self::Jpeg,
        Self::Landmarks,
        Self::Protocol,
        Self::List,
        Self::Npz,
        Self::Embeddings,
        Self::Evidence,
        Self::Recipe,
        Self::Checkpoint,
    ];

    /// Name of the target and of its folder in the corpus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Torch => "torch",
            Self::FacePack => "face_pack",
            Self::Model => "model",
            Self::Description => "description",
            Self::Onnx => "onnx",
            Self::Detector => "detector",
            Self::Image => "image",
            Self::Photograph => "photograph",
            Self::Jpeg => "jpeg",
            Self::Landmarks => "landmarks",
            Self::Protocol => "protocol",
            Self::List => "list",
            Self::Npz => "npz",
            Self::Embeddings => "embeddings",
            Self::Evidence => "evidence",
            Self::Recipe => "recipe",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// Reads `bytes` as a file of this kind and does with it what the program would; says whether it was accepted.
pub fn run(target: Target, bytes: &[u8]) -> bool {
    match target {
        Target::Torch => torch(bytes),
        Target::FacePack => net::FacePack::parse(bytes, Path::new("file")).is_ok(),
        Target::Model => model(bytes),
        Target::Description => description(bytes),
        Target::Onnx => onnx(bytes),
        Target::Detector => detector(bytes),
        Target::Image => image(bytes),
        Target::Photograph => photograph(bytes),
        Target::Jpeg => image(&[b"\xFF\xD8", bytes].concat()),
        Target::Landmarks => landmarks(bytes),
        Target::Protocol => protocol(bytes),
        Target::List => list(bytes),
        Target::Npz => eval::Embeddings::read(&file("file.npz", bytes)).is_ok(),
        Target::Embeddings => eval::Embeddings::read(&file("file.safetensors", bytes)).is_ok(),
        Target::Evidence => evidence(bytes),
        Target::Recipe => recipe(bytes),
        Target::Checkpoint => checkpoint(bytes),
    }
}

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
    static POOL: OnceCell<engine::Pool> = const { OnceCell::new() };
}

/// A path in a folder of this thread's own.
fn place(name: &str) -> PathBuf {
    FOLDER.with(|cell| cell.get_or_init(|| TempDir::new().expect("a temporary folder")).path().join(name))
}

/// A file with this content, for readers that take a path.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = place(name);
    fs_err::write(&path, bytes).expect("a file in a temporary folder");
    path
}

fn torch(bytes: &[u8]) -> bool {
    let Ok(file) = net::TorchFile::parse(bytes, Path::new("file")) else { return false };
    for array in file.tensors.values() {
        assert_eq!(array.shape.iter().product::<usize>(), array.values.as_slice().len());
    }
    file.under("net_state_dict");
    true
}

fn model(bytes: &[u8]) -> bool {
    let path = Path::new("file");
    let Ok(file) = TensorFile::parse(bytes, path) else { return false };
    let Ok(model) = net::Model::from_file(file, path) else { return false };
    net::Cost::of(model.network());
    model.fingerprint();
    for normalisation in [net::Normalisation::Kept, net::Normalisation::Folded] {
        let bytes = net::to_onnx(&model, normalisation).expect("a small network fits an ONNX file");
        drop(net::OnnxNetwork::parse(&bytes, path, model.network().input));
    }
    forward(model.network(), model.weights());
    true
}

fn description(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let mut accepted = false;
    if let Ok(network) = serde_json::from_str::<net::Network>(text)
        && network.check().is_ok()
    {
        network.parameters();
        net::Cost::of(&network);
        let (height, width) = (network.input.height, network.input.width);
        let template = net::LandmarkTemplate::Points112x96;
        accepted = true;
        assert!(height > 0 && width > 0 && template.frame().is_some());
    }
    if let Ok(card) = serde_json::from_str::<net::Card>(text) {
        let node =
            net::Node { name: "f".to_owned(), op: net::Op::GlobalAverage, inputs: vec![net::Source::Image] };
        let input = net::Input { height: 112, width: 96 };
        accepted |= card.check(&net::Network { name: "n".to_owned(), input, nodes: vec![node] }).is_ok();
    }
    if let Ok(described) = toml::from_str::<net::ImportDescription>(text) {
        let array = |name: &str| {
            let values = net::tensor_file::Values::F32(vec![0.0]);
            (name.to_owned(), net::tensor_file::Array { shape: vec![1], values })
        };
        let tensors = ["conv1.weight", "blocks.0.bn.weight", "a"].map(array);
        accepted |= described.import(tensors.into_iter().collect(), String::new()).is_ok();
    }
    if let Ok(described) = toml::from_str::<net::OnnxDescription>(text) {
        described.input();
        accepted = true;
    }
    accepted
}

fn onnx(bytes: &[u8]) -> bool {
    let open = net::Input { height: 14, width: 12 };
    let Ok(found) = net::OnnxNetwork::parse(bytes, Path::new("file"), open) else { return false };
    net::Cost::of(&found.network);
    drop(found.at(net::Input { height: 26, width: 40 }));
    forward(&found.network, &found.weights);
    true
}

/// Runs a network on one grey image, where that takes no more than a few milliseconds.
fn forward(network: &net::Network, weights: &net::Weights) {
    let cost = net::Cost::of(network);
    if cost.activations > 1 << 18 || cost.multiply_adds > 1 << 22 || network.nodes.len() > 64 {
        return;
    }
    POOL.with(|cell| {
        let pool = cell.get_or_init(|| engine::Pool::new(1).expect("a thread"));
        let Ok(mut plan) = engine::EmbeddingPlan::new(pool, network, weights, 1) else { return };
        let bytes = vec![128; network.image_shape().elements()];
        let pixels = engine::Pixels { bytes: &bytes, mean: [127.5; 3], scale: [128.0; 3] };
        assert_eq!(plan.forward(pool, pixels).len(), network.feature_dimension());
    });
}

fn detector(bytes: &[u8]) -> bool {
    let settings = detect::Settings { longest_side: 96, ..detect::Settings::default() };
    let Ok(mut detector) = detect::Detector::read(&file("detector.onnx", bytes), settings) else {
        return false;
    };
    POOL.with(|cell| {
        let pool = cell.get_or_init(|| engine::Pool::new(1).expect("a thread"));
        for (width, height) in [(40, 56), (96, 96)] {
            drop(detector.detect(pool, &image::RgbImage::new(width, height)));
        }
    });
    true
}

fn image(bytes: &[u8]) -> bool {
    let limits = face::Limits { pixels: 1 << 18, bytes: 1 << 20 };
    let Ok(image) = face::decode(bytes, Path::new("file"), &limits) else { return false };
    assert!(u64::from(image.width()) * u64::from(image.height()) <= limits.pixels);
    face::resize(&image, face::Size { height: 7, width: 5 });
    true
}

fn photograph(bytes: &[u8]) -> bool {
    let limits = face::Limits { pixels: 1 << 18, bytes: 1 << 20 };
    let Ok(image) = face::decode_photograph(bytes, Path::new("file"), &limits) else { return false };
    assert!(u64::from(image.width()) * u64::from(image.height()) <= limits.pixels);
    true
}

/// Five points as ten little-endian f64, and one byte for each side of the photograph.
fn landmarks(bytes: &[u8]) -> bool {
    let Some((numbers, rest)) = bytes.split_first_chunk::<80>() else { return false };
    let &[width, height, ..] = rest else { return false };
    let number = |index: usize| f64::from_le_bytes(numbers.as_chunks().0[index]);
    let points = std::array::from_fn(|index| face::Point { x: number(2 * index), y: number(2 * index + 1) });
    let photograph = image::RgbImage::new(u32::from(width) * 2 + 1, u32::from(height) * 2 + 1);
    let templates = [face::Template::HIGH, face::Template::SQUARE];
    templates.iter().all(|template| face::align(&photograph, &points, template).is_ok())
}

/// One byte for the format, and the text.
fn protocol(bytes: &[u8]) -> bool {
    use eval::protocol::{Format, NameTable};
    let Some((&format, text)) = bytes.split_first() else { return false };
    let index = usize::from(format) % (Format::ALL.len() + 1);
    let Some(&format) = Format::ALL.get(index) else {
        return NameTable::read(&file("names.tsv", text)).is_ok();
    };
    let path = match format {
        Format::CfpFrontalFrontal | Format::CfpFrontalProfile => cfp(text),
        _ => file("pairs.txt", text),
    };
    let Ok(protocol) = format.read(&path) else { return false };
    let rows = protocol.images.len();
    assert!(
        protocol.pairs.iter().all(|pair| pair.first.max(pair.second) < rows && pair.fold < protocol.folds)
    );
    let (people, count) = protocol.people();
    assert!(people.iter().all(|person| *person < count));
    true
}

/// A folder of Celebrities in Frontal-Profile whose files are the parts of a text between form feeds: frontal list,
/// profile list, and genuine and impostor pairs of every split.
fn cfp(text: &[u8]) -> PathBuf {
    let mut parts = text.split(|byte| *byte == 0x0C);
    let mut next = || parts.next().unwrap_or_default();
    file("Pair_list_F.txt", next());
    file("Pair_list_P.txt", next());
    let (genuine, impostor) = (next(), next());
    for fold in 1..=10 {
        for split in ["FF", "FP"] {
            let folder = format!("Split/{split}/{fold:02}");
            fs_err::create_dir_all(place(&folder)).expect("a temporary folder");
            file(&format!("{folder}/same.txt"), genuine);
            file(&format!("{folder}/diff.txt"), impostor);
        }
    }
    place("")
}

fn list(bytes: &[u8]) -> bool {
    for name in ["a.png", "b.png"] {
        if !place(name).exists() {
            file(name, b"");
        }
    }
    let path = file("list.txt", bytes);
    let people = data::People::read(&path).is_ok();
    data::Catalogue::read(&[data::Source::List { file: path }], 1).is_ok() | people
}

fn evidence(bytes: &[u8]) -> bool {
    let path = file("evidence", bytes);
    let evaluation = eval::Evaluation::read(&path).is_ok();
    let journal = train::journal::read(&path).is_ok_and(|events| !events.is_empty());
    let Ok(pairs) = eval::ScoredPairs::read(&path) else { return evaluation || journal };
    let settings = eval::interval::Bootstrap { replicates: 2, ..eval::interval::Bootstrap::default() };
    eval::Comparison::of(&pairs, &pairs, &[0.1], &settings).is_ok()
}

/// A recipe, and after a null byte overrides, one a line.
fn recipe(bytes: &[u8]) -> bool {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let overrides = String::from_utf8_lossy(bytes.get(end + 1..).unwrap_or_default());
    let overrides: Vec<String> = overrides.lines().map(str::to_owned).collect();
    let Ok(checked) = train::recipe::load(&file("recipe.toml", &bytes[..end]), &overrides) else {
        return false;
    };
    drop(checked.to_toml());
    checked.network().check().expect("a checked recipe has a valid network");
    drop(checked.check_classes(1000));
    true
}

/// The lengths of two of three files as little-endian u16, and the files: state, backbone, head.
fn checkpoint(bytes: &[u8]) -> bool {
    let Some(([a, b, c, d], rest)) = bytes.split_first_chunk::<4>() else { return false };
    let cut = |rest: &mut &[u8], length: usize| {
        let (part, after) = rest.split_at(length.min(rest.len()));
        *rest = after;
        part.to_vec()
    };
    let mut rest = rest;
    file("state.json", &cut(&mut rest, usize::from(u16::from_le_bytes([*a, *b]))));
    file("backbone.safetensors", &cut(&mut rest, usize::from(u16::from_le_bytes([*c, *d]))));
    file("head.safetensors", rest);
    let text = |text: &str| text.to_owned();
    let identity =
        train::checkpoint::Identity { recipe: text("r"), network: text("n"), data: text("d"), seed: 7 };
    train::checkpoint::read(&place(""), &identity).is_ok()
}
