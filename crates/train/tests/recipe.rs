//! What a recipe accepts, what it refuses, and what it says when it refuses.

use std::error::Error;
use std::path::Path;

use train::recipe::{self, CheckedRecipe, Length, RecipeError, Shape};

/// The schedule and losses of the paper's small set, with everything else left out.
const SMALLEST: &str = r#"
[data]
sources = [{ tree = "faces" }]

[network]
family = "sphereface"
depth = 20

[loss]
name = "cosface"
s = 64
m = 0.35

[schedule]
length = "30000 steps"
shape = { kind = "step", at = ["16000 steps", "24000 steps", "28000 steps"] }
"#;

fn load(text: &str, overrides: &[&str]) -> Result<CheckedRecipe, RecipeError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("recipe.toml");
    fs_err::write(&path, text).unwrap();
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    recipe::load(&path, &overrides)
}

/// The message and its causes, with the directory of the test cut away.
fn refusal(text: &str, overrides: &[&str]) -> String {
    let error = load(text, overrides).expect_err("the recipe must be refused");
    let mut lines = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        lines.push(error.to_string());
        cause = error.source();
    }
    let message = lines.join("\n  because ");
    match message.find("recipe.toml") {
        Some(end) if message.starts_with(['/', '.']) => message[end..].to_owned(),
        _ => message,
    }
}

/// The smallest recipe with one piece of its text replaced.
fn with(from: &str, to: &str) -> String {
    assert!(SMALLEST.contains(from), "the smallest recipe has no {from:?}");
    SMALLEST.replacen(from, to, 1)
}

#[test]
fn what_is_left_out_takes_the_papers_values() {
    let checked = load(SMALLEST, &[]).unwrap();
    let recipe = checked.recipe();
    assert_eq!(checked.loss(), margin::Loss::CosFace { s: 64.0, m: 0.35 });
    assert_eq!(checked.network().name, "sphereface20");
    assert_eq!((recipe.data.image, recipe.data.mean, recipe.data.scale), ([112, 96], 127.5, 128.0));
    assert_eq!((recipe.optimizer.learning_rate, recipe.optimizer.momentum), (0.1, 0.9));
    assert_eq!(recipe.optimizer.weight_decay, 5e-4);
    let Shape::Step { at, factor } = &recipe.schedule.shape else { panic!("not a step schedule") };
    assert_eq!(at[1], Length::Steps(24_000));
    assert_eq!(*factor, 0.1);
}

#[test]
fn the_resolved_recipe_writes_every_default_out() {
    let text = with("\"faces\"", "\"/faces\"");
    insta::assert_snapshot!(load(&text, &[]).unwrap().to_toml(), @r#"
    [data]
    image = [112, 96]
    resize = "exact"
    template = "112x96"
    mean = 127.5
    scale = 128.0
    minimum_images = 1
    unreadable = "refuse"
    memory_mib = 1024
    together = 1

    [data.augment]
    flip = 0.5
    grey = 0.0

    [data.augment.warp]
    probability = 0.0
    shift = 0.03
    scale = 0.05
    rotate_degrees = 5.0

    [data.augment.colour]
    probability = 0.0
    brightness = 0.2
    contrast = 0.2
    saturation = 0.2

    [data.augment.blur]
    probability = 0.0
    sigma = 1.5

    [data.augment.low_resolution]
    probability = 0.0
    smallest = 0.35

    [data.augment.erase]
    probability = 0.0
    smallest = 0.02
    largest = 0.2

    [[data.sources]]
    tree = "/faces"

    [network]
    family = "sphereface"
    depth = 20
    input = [112, 96]
    feature = 512
    dropout = 0.0

    [loss]
    name = "cosface"
    s = 64.0
    m = 0.35
    margin_warm_up = "0 steps"

    [optimizer]
    learning_rate = 0.1
    momentum = 0.9
    weight_decay = 0.0005
    decay = "weights"
    clip_norm = inf
    accumulate = 1

    [schedule]
    length = "30000 steps"
    warm_up = "0 steps"

    [schedule.shape]
    kind = "step"
    at = ["16000 steps", "24000 steps", "28000 steps"]
    factor = 0.1

    [run]
    seed = 1
    batch = 128
    threads = 0
    precision = "auto"

    [run.checkpoints]
    every = "1 epoch"
    keep = 2
    "#);
}

#[test]
fn losses_on_features_and_samples_of_classes_are_checked() {
    let features = |text: &str| format!("loss.features={text}");
    let refusals = [
        refusal(SMALLEST, &[&features("{name=\"center\", weight=0, alpha=0.5}")]),
        refusal(SMALLEST, &[&features("{name=\"center\", weight=1, alpha=1.5}")]),
        refusal(SMALLEST, &[&features("{name=\"center\", weight=1}")]),
        refusal(SMALLEST, &[&features("{name=\"center\", weight=1, alpha=0.5, margin=1}")]),
        refusal(SMALLEST, &[&features("{name=\"triplet\", weight=1, margin=0.2}")]),
        refusal(SMALLEST, &[&features("{name=\"tripplet\", weight=1, margin=0.2}")]),
        refusal(SMALLEST, &["loss.weight=0.5"]),
        refusal(SMALLEST, &["loss.sampled=0"]),
        refusal(SMALLEST, &["loss.sampled=0.5", "optimizer.accumulate=2"]),
        refusal(SMALLEST, &["loss.scale_warm_up={from=0, length=\"1 epoch\"}"]),
        refusal(SMALLEST, &["loss={name=\"softmax\", scale_warm_up={from=1, length=\"1 epoch\"}}"]),
        refusal(SMALLEST, &["data.together=0"]),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    --set loss.features={name="center", weight=0, alpha=0.5}: `loss.features.weight` must be above 0 and finite: 0
    --set loss.features={name="center", weight=1, alpha=1.5}: `loss.features.alpha` must be above 0 and at most 1: 1.5
    --set loss.features={name="center", weight=1}: `loss.features.alpha` is missing
    --set loss.features={name="center", weight=1, alpha=0.5, margin=1}: `loss.features.margin` is no parameter of center: 1
    recipe.toml:2: `data.together` must be 2 or more for triplet, which needs several images of a person in a batch: 1
    --set loss.features={name="tripplet", weight=1, margin=0.2}: `loss.features.name` has no choice `tripplet`; did you mean `triplet`?
    --set loss.weight=0.5: `loss.weight` weighs the loss over classes against `loss.features`, which is missing: 0.5
    --set loss.sampled=0: `loss.sampled` must be above 0 and at most 1: 0
    --set loss.sampled=0.5: `loss.sampled` cannot stand beside `optimizer.accumulate`, whose parts would each choose classes of their own: 0.5
    --set loss.scale_warm_up={from=0, length="1 epoch"}: `loss.scale_warm_up.from` must be above 0 and finite: 0
    --set loss={name="softmax", scale_warm_up={from=1, length="1 epoch"}}: `loss.scale_warm_up` needs a loss with a scale `s`, which softmax has not: 1 epoch
    --set data.together=0: `data.together` must be at least 1: 0
    "#);
}

#[test]
fn a_run_keeps_to_the_precision_that_it_began_with() {
    let text = |precision: &str, isa| {
        let recipe = load(SMALLEST, &[&format!("run.precision={precision}")]).unwrap();
        recipe.to_toml_on(isa).lines().find(|line| line.starts_with("precision")).unwrap().to_owned()
    };
    assert_eq!(text("auto", engine::Isa::Avx512), "precision = \"f32\"");
    assert_eq!(text("auto", engine::Isa::Avx512Bf16), "precision = \"bf16\"");
    assert_eq!(text("f32", engine::Isa::Avx512Bf16), "precision = \"f32\"");
    assert_eq!(text("bf16", engine::Isa::Portable), "precision = \"bf16\"");
    let of = |precision: &str| load(SMALLEST, &[&format!("run.precision={precision}")]).unwrap();
    let here = of("auto").recipe().run.precision.on(engine::Isa::detect());
    let (same, other) = match here {
        engine::Precision::F32 => ("f32", "bf16"),
        engine::Precision::Bf16 => ("bf16", "f32"),
    };
    of("auto").check_continues(&of(same)).unwrap();
    let error = of("auto").check_continues(&of(other)).unwrap_err().to_string();
    assert!(error.contains("run.precision"), "{error}");
}

#[test]
fn a_resolved_recipe_parses_to_the_same_recipe() {
    let everything = r#"
        [data]
        image = [112, 112]
        template = "112x112"
        unreadable = "skip"
        memory_mib = 10
        minimum_images = 3
        resize = "stretch"
        augment = { flip = 0.25, warp = { probability = 1, rotate_degrees = 5.5 } }
        [[data.sources]]
        tree = "/faces/a"
        people = "/faces/people.txt"
        [[data.sources]]
        list = "/faces/list.txt"
        [network]
        family = "iresnet"
        depth = 18
        input = [56, 56]
        channels = [8, 16, 24, 32]
        feature = 128
        dropout = 0.4
        [loss]
        name = "combined"
        s = 30.5
        m1 = 1
        m2 = 0.3
        m3 = 0.2
        [optimizer]
        decay = "all"
        accumulate = 4
        [schedule]
        length = "7.5 epochs"
        warm_up = "100 steps"
        shape = { kind = "polynomial" }
        [run]
        seed = 9223372036854775807
        precision = "auto"
        checkpoints = { every = "50 steps", keep = 5 }
        [validation]
        tree = "/faces/b"
        pairs = "/faces/pairs.txt"
        every = "2 epochs"
    "#;
    for text in [SMALLEST, everything] {
        let first = load(text, &[]).unwrap();
        let second = load(&first.to_toml(), &[]).unwrap();
        assert_eq!(first.recipe(), second.recipe());
        assert_eq!(first.to_toml(), second.to_toml());
    }
}

#[test]
fn the_recipe_for_a_folder_is_valid_and_takes_overrides() {
    let folder = recipe::for_folder(Path::new("/people"));
    let plain = recipe::check(&folder, &[]).unwrap();
    assert_eq!(plain.recipe(), &folder);
    let changed = recipe::check(&folder, &["loss={name=\"nsl\", s=16}".to_owned()]).unwrap();
    assert_eq!(changed.loss(), margin::Loss::Nsl { s: 16.0 });
    let again = load(&plain.to_toml(), &[]).unwrap();
    assert_eq!(again.recipe(), &folder);
}

#[test]
fn overrides_take_toml_values_bare_words_and_positions_in_lists() {
    let checked = load(
        SMALLEST,
        &[
            "loss.m=0.4",
            "schedule.length=2 epochs",
            "run.precision=auto",
            "data.sources.0.people=p.txt",
            "network.channels=[16, 24, 32, 40]",
            "schedule.shape.kind=constant",
            "schedule.shape={kind=\"cosine\"}",
        ],
    )
    .unwrap();
    let recipe = checked.recipe();
    assert_eq!(checked.loss(), margin::Loss::CosFace { s: 64.0, m: 0.4 });
    assert_eq!(recipe.schedule.length, Length::Epochs(2.0));
    assert!(recipe.data.sources[0].people.as_deref().is_some_and(|people| people.ends_with("p.txt")));
    assert_eq!(recipe.network.channels.as_deref(), Some(&[16, 24, 32, 40][..]));
    assert_eq!(recipe.schedule.shape, Shape::Cosine { floor: 0.0 });
}

#[test]
fn relative_paths_start_at_the_recipe_and_absolute_ones_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("recipe.toml");
    fs_err::write(&path, with("tree = \"faces\"", "tree = \"faces\", people = \"/lists/people.txt\""))
        .unwrap();
    let checked = recipe::load(&path, &[]).unwrap();
    let source = &checked.recipe().data.sources[0];
    assert_eq!(source.tree.as_deref(), Some(&*directory.path().join("faces")));
    assert_eq!(source.people.as_deref(), Some(Path::new("/lists/people.txt")));
}

#[test]
fn a_file_larger_than_any_recipe_is_refused_before_it_is_read() {
    let long = |bytes: usize| format!("{SMALLEST}#{}", "x".repeat(bytes - SMALLEST.len() - 1));
    let refused = refusal(&long((1 << 18) + 1), &[]);
    assert!(refused.starts_with("a recipe may have 262144 bytes, "), "{refused}");
    assert!(load(&long(1 << 18), &[]).is_ok());
}

#[test]
fn unknown_keys_name_the_nearest_known_one_with_file_and_line() {
    let refusals = [
        refusal(&with("[schedule]", "[optimizer]\nlearing_rate = 0.1\n[schedule]"), &[]),
        refusal(&with("[schedule]", "[optimizer]\nlr = 0.1\n[schedule]"), &[]),
        refusal(&with("[loss]", "[los]\n[loss]"), &[]),
        refusal(&with("tree = \"faces\"", "tree = \"faces\", peple = 3"), &[]),
        refusal(&with("kind = \"step\"", "kind = \"step\", when = 1"), &[]),
        refusal(SMALLEST, &["run.checkpoints.evry=3 steps"]),
        refusal(SMALLEST, &["optimizer.zzz=1"]),
        refusal(SMALLEST, &["loss.name=cosfase"]),
        refusal(SMALLEST, &["network.family=sphere"]),
        refusal(SMALLEST, &["schedule.shape.kind=cosin"]),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    recipe.toml:15: unknown key `optimizer.learing_rate`; did you mean `learning_rate`?
    recipe.toml:15: unknown key `optimizer.lr`; did you mean `learning_rate`?
    recipe.toml:9: unknown key `los`; did you mean `loss`?
    recipe.toml:3: unknown key `data.sources.0.peple`; did you mean `people`?
    recipe.toml:16: unknown key `schedule.shape.when`; the keys of `schedule.shape` are at, factor
    --set run.checkpoints.evry=3 steps: unknown key `run.checkpoints.evry`; did you mean `every`?
    --set optimizer.zzz=1: unknown key `optimizer.zzz`; the keys of `optimizer` are learning_rate, momentum, weight_decay, decay, clip_norm, accumulate
    --set loss.name=cosfase: `loss.name` has no choice `cosfase`; did you mean `cosface`?
    --set network.family=sphere: `network.family` has no choice `sphere`; did you mean `sphereface`?
    --set schedule.shape.kind=cosin: `schedule.shape.kind` has no choice `cosin`; did you mean `cosine`?
    "#);
}

#[test]
fn wrong_types_and_missing_keys_say_what_was_expected_and_where() {
    let refusals = [
        refusal(&with("s = 64", "s = \"many\""), &[]),
        refusal(&with("length = \"30000 steps\"", "length = \"30000\""), &[]),
        refusal(&with("length = \"30000 steps\"\n", ""), &[]),
        refusal(&with("sources = [{ tree = \"faces\" }]", ""), &[]),
        refusal(&with("tree = \"faces\"", ""), &[]),
        refusal(&with("name = \"cosface\"", "name = cosface"), &[]),
        refusal(&with("[loss]\nname = \"cosface\"\ns = 64\nm = 0.35\n", ""), &[]),
        refusal(SMALLEST, &["loss.s"]),
        refusal(SMALLEST, &["loss.s.t=1"]),
        refusal(SMALLEST, &["data.sources.4.tree=x"]),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    recipe.toml:11: `loss.s`: invalid type: string "many", expected f64
    recipe.toml:15: `schedule.length`: write a length as "30 epochs" or "16000 steps", not: "30000"
    recipe.toml:14: `schedule.length` is missing
    recipe.toml:2: `data.sources` is missing
    recipe.toml:3: `data.sources.0` must have `tree` or `list`: neither
    recipe.toml: not valid TOML
      because TOML parse error at line 10, column 8
       |
    10 | name = cosface
       |        ^^^^^^^
    string values must be quoted, expected literal string

    recipe.toml:1: `loss` is missing
    --set loss.s: it has no `=`; write section.key=value
    --set loss.s.t=1: `t` lies below a value that is no table; write section.key=value
    --set data.sources.4.tree=x: `4` must be a position in a list of 1 items; write section.key=value
    "#);
}

#[test]
fn values_out_of_range_name_the_range_the_value_and_the_place() {
    let refusals = [
        refusal(SMALLEST, &["loss.s=0"]),
        refusal(&with("m = 0.35", "m = -0.1"), &[]),
        refusal(&with("m = 0.35", "m = 2.5"), &[]),
        refusal(SMALLEST, &["loss.name=softmax"]),
        refusal(SMALLEST, &["loss={name=\"nsl\", s=64, margin_warm_up=\"5 epochs\"}"]),
        refusal(SMALLEST, &["loss={name=\"l-softmax\", m=2.5, lambda=5}"]),
        refusal(SMALLEST, &["loss={name=\"l-softmax\", m=2, lambda=5, lambda_schedule={}}"]),
        refusal(SMALLEST, &["loss={name=\"l-softmax\", m=2, lambda_schedule={gamma=0}}"]),
        refusal(SMALLEST, &["loss={name=\"curricularface\", s=64, m=0.5, rate=2}"]),
        refusal(SMALLEST, &["loss.centres=17"]),
        refusal(SMALLEST, &["optimizer.learning_rate=-1"]),
        refusal(SMALLEST, &["optimizer.momentum=1"]),
        refusal(SMALLEST, &["optimizer.weight_decay=nan"]),
        refusal(SMALLEST, &["optimizer.accumulate=3"]),
        refusal(SMALLEST, &["data.augment.flip=1.5"]),
        refusal(SMALLEST, &["data.augment.warp.rotate_degrees=-3"]),
        refusal(SMALLEST, &["schedule.length=0 epochs"]),
        refusal(SMALLEST, &["schedule.shape.at=[\"3 steps\", \"2 steps\"]"]),
        refusal(SMALLEST, &["run.batch=0"]),
        refusal(SMALLEST, &["run.precision=fp16"]),
        refusal(SMALLEST, &["run.seed=-1"]),
        refusal(SMALLEST, &["run.checkpoints.keep=0"]),
        refusal(SMALLEST, &["network.depth=21"]),
        refusal(SMALLEST, &["network.input=[8, 8]"]),
        refusal(SMALLEST, &["data.sources=[{tree=\"a\", list=\"b\"}]"]),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    --set loss.s=0: `loss.s` must be above 0 and finite: 0
    recipe.toml:12: `loss.m` must be from 0 to 2, the bound 1 - W_i . W_j of two opposite centres; eq. 7 of CosFace allows at most C / (C - 1) for C people and K = 512: -0.1
    recipe.toml:12: `loss.m` must be from 0 to 2, the bound 1 - W_i . W_j of two opposite centres; eq. 7 of CosFace allows at most C / (C - 1) for C people and K = 512: 2.5
    recipe.toml:11: the loss is not defined
      because loss softmax has no such parameter, remove it: s
    --set loss={name="nsl", s=64, margin_warm_up="5 epochs"}: `loss.margin_warm_up` needs a loss with a margin `m` that can grow from 0, which nsl has not: 5 epochs
    --set loss={name="l-softmax", m=2.5, lambda=5}: `loss.m` must be a whole number from 1: 2.5
    --set loss={name="l-softmax", m=2, lambda=5, lambda_schedule={}}: `loss.lambda` cannot stand beside `loss.lambda_schedule`, which says how lambda falls: 5
    --set loss={name="l-softmax", m=2, lambda_schedule={gamma=0}}: `loss.lambda_schedule.gamma` must be above 0 and finite: 0
    --set loss={name="curricularface", s=64, m=0.5, rate=2}: `loss.rate` must be above 0 and at most 1: 2
    --set loss.centres=17: `loss.centres` must be from 1 to 16: 17
    --set optimizer.learning_rate=-1: `optimizer.learning_rate` must be above 0 and finite: -1
    --set optimizer.momentum=1: `optimizer.momentum` must be from 0 to below 1: 1
    --set optimizer.weight_decay=nan: `optimizer.weight_decay` must be from 0 to below 1: NaN
    --set optimizer.accumulate=3: `optimizer.accumulate` must divide run.batch, which is 128: 3
    --set data.augment.flip=1.5: `data.augment.flip` must be from 0 to 1: 1.5
    --set data.augment.warp.rotate_degrees=-3: `data.augment.warp.rotate_degrees` must be from 0 to 180: -3
    --set schedule.length=0 epochs: `schedule.length` must be longer than nothing: 0 epochs
    --set schedule.shape.at=["3 steps", "2 steps"]: `schedule.shape.at` must be ascending times in one unit: [3 steps, 2 steps]
    --set run.batch=0: `run.batch` must be at least 1: 0
    --set run.precision=fp16: `run.precision` has no choice `fp16`; did you mean `bf16`?
    --set run.seed=-1: `run.seed`: invalid value: integer `-1`, expected u64
    --set run.checkpoints.keep=0: `run.checkpoints.keep` must be at least 1: 0
    --set network.depth=21: the network cannot be built
      because network family sphereface has the depths [4, 10, 20, 36, 64]: 21
    --set network.input=[8, 8]: the network cannot be built
      because network setting input must be two sides between 16 and 1024: 8
    --set data.sources=[{tree="a", list="b"}]: `data.sources.0` must have `tree` or `list`: both
    "#);
}

#[test]
fn a_margin_beyond_the_bound_of_equation_7_is_refused_once_the_classes_are_known() {
    let checked = load(SMALLEST, &["loss.m=1.2"]).unwrap();
    assert!(checked.check_classes(3).is_ok()); // C / (C - 1) = 1.5
    let refusal = checked.check_classes(11).unwrap_err().to_string();
    insta::assert_snapshot!(refusal, @r#"--set loss.m=1.2: `loss.m` must be at most 1.1000 for C = 11 people and K = 512 feature dimensions (CosFace, eq. 7): 1.2"#);
    // Two dimensions: 1 - cos(2 pi / 8) = 0.2929, the bound of the paper's toy experiment.
    let toy = load(SMALLEST, &["network.feature=2", "loss.m=0.3"]).unwrap();
    insta::assert_snapshot!(toy.check_classes(8).unwrap_err().to_string(), @r#"--set loss.m=0.3: `loss.m` must be at most 0.2929 for C = 8 people and K = 2 feature dimensions (CosFace, eq. 7): 0.3"#);
    assert!(load(SMALLEST, &["network.feature=2", "loss.m=0.29"]).unwrap().check_classes(8).is_ok());
}

#[test]
fn a_scale_below_the_bound_of_equation_6_is_reported_not_refused() {
    // (C - 1) / C ln((C - 1) P / (1 - P)) with C = 1000, P = 0.9 is 9.09.
    let small = load(SMALLEST, &["loss.s=9"]).unwrap().check_classes(1000).unwrap();
    assert!(small.scale_is_too_small());
    let large = load(SMALLEST, &["loss.s=9.2"]).unwrap().check_classes(1000).unwrap();
    assert!(!large.scale_is_too_small());
}

#[test]
fn one_person_is_not_enough() {
    let error = load(SMALLEST, &[]).unwrap().check_classes(1).unwrap_err();
    assert!(error.source().unwrap().to_string().contains("at least two classes: 1"), "{error}");
}
