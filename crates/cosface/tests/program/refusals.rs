//! What bad input gets: a status that is not zero, a message that names the file and the reason, nothing half written.

use std::path::Path;

use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, RgbImage};

use crate::invocation::{Outcome, cosface};
use crate::workshop::{Workshop, files_below};

/// Runs a training that must be refused, and leave no run directory.
#[track_caller]
fn refuses(workshop: &Workshop, settings: &[&str], parts: &[&str]) {
    workshop.train("refused", settings).refused(parts);
    assert!(!workshop.path("refused").exists(), "left: {:?}", files_below(&workshop.path("refused")));
}

#[test]
fn folders_that_hold_no_people_are_refused() {
    let workshop = Workshop::new();
    fs_err::create_dir_all(workshop.path("empty")).unwrap();
    refuses(&workshop, &["data.sources=[{tree=\"empty\"}]"], &["no people in", "empty"]);
    refuses(&workshop, &["data.sources=[{tree=\"absent\"}]"], &["absent", "No such file"]);

    let single = workshop.path("single/only");
    fs_err::create_dir_all(&single).unwrap();
    fs_err::copy(workshop.path("people/p0/0.png"), single.join("0.png")).unwrap();
    refuses(&workshop, &["data.sources=[{tree=\"single\"}]"], &["two people or more", "only", "/single"]);
    refuses(&workshop, &["data.minimum_images=6"], &["nobody has the 6 images", "/people"]);

    fs_err::create_dir_all(workshop.path("people/nobody")).unwrap();
    refuses(&workshop, &[], &["a person without any image", "people/nobody"]);
}

#[test]
fn images_that_cannot_be_used_are_refused_with_their_name() {
    let grey_16_bit: ImageBuffer<Luma<u16>, Vec<u16>> = ImageBuffer::from_pixel(16, 20, Luma([40_000]));
    let cases: [(&str, Vec<u8>, &str); 10] = [
        ("cut.jpg", truncated_jpeg(), "truncated"),
        ("moving.gif", b"GIF89a\x10\0\x14\0\0\0\0;".to_vec(), "GIF, a format for animations, is not read"),
        ("moving.png", animated_png(), "the image is animated"),
        ("moving.webp", animated_webp(), "the image is animated"),
        ("scan.tiff", b"II\x2A\0\x08\0\0\0".to_vec(), "TIFF is not read"),
        ("huge.png", png_header(60_000, 60_000), "60000 x 60000 pixels, over the limit"),
        ("deep.png", encoded(&DynamicImage::ImageLuma16(grey_16_bit), ImageFormat::Png), "16 bits a channel"),
        ("cmyk.jpg", cmyk_jpeg(), "CMYK"),
        ("wide.png", encoded(&RgbImage::new(21, 20).into(), ImageFormat::Png), "the aligned crop is"),
        ("text.png", b"not an image".to_vec(), "not JPEG, PNG, PGM/PPM, WebP or BMP"),
    ];
    for (name, bytes, reason) in cases {
        let workshop = Workshop::new();
        fs_err::write(workshop.path("people/p3").join(name), bytes).unwrap();
        refuses(&workshop, &[], &[&format!("people/p3/{name}"), reason]);
    }
}

#[test]
fn unreadable_images_can_be_skipped_but_never_a_whole_person() {
    let workshop = Workshop::new();
    fs_err::write(workshop.path("people/p3/cut.jpg"), truncated_jpeg()).unwrap();
    fs_err::write(workshop.path("people/p1/text.png"), "not an image").unwrap();
    let mut arguments = workshop.training("skipped", &[]);
    arguments.push("--skip-unreadable".to_owned());
    let stderr = cosface(&arguments).success().stderr;
    for part in [
        "skipped: ",
        "p3/cut.jpg: the file is truncated",
        "p1/text.png",
        "left out: 2",
        "30 images of 6 people",
    ] {
        assert!(stderr.contains(part), "{part:?} is not in: {stderr}");
    }
    assert_eq!(stderr.matches("skipped: ").count(), 2, "{stderr}");

    for image in 0..5 {
        fs_err::write(workshop.path(&format!("people/p3/{image}.png")), "not an image").unwrap();
    }
    refuses(
        &workshop,
        &["data.unreadable=skip"],
        &["none of the images of p3 can be used", "people/p3/0.png"],
    );
}

#[test]
fn recipes_that_make_no_sense_are_refused_before_anything_is_written() {
    let workshop = Workshop::new();
    refuses(&workshop, &["optimizer.momemtum=0.9"], &["unknown key", "momemtum", "did you mean `momentum`?"]);
    refuses(&workshop, &["loss.name=cosfase"], &["cosfase", "cosface"]);
    refuses(&workshop, &["loss.s=0"], &["`loss.s` must be above 0", ": 0"]);
    refuses(&workshop, &["loss.s=-3"], &["`loss.s` must be above 0", ": -3"]);
    // Eq. 7 for 6 classes in 8 dimensions: m <= 6/5.
    refuses(
        &workshop,
        &["loss.m=1.25"],
        &["`loss.m` must be at most 1.2", "C = 6 people", "eq. 7", ": 1.25"],
    );
    refuses(&workshop, &["schedule.length=5 parsecs"], &["schedule.length", "5 parsecs"]);
    fs_err::write(workshop.path("recipe.toml"), "[data\n").unwrap();
    refuses(&workshop, &[], &["recipe.toml", "not valid TOML", "line 1"]);
    fs_err::remove_file(workshop.path("recipe.toml")).unwrap();
    refuses(&workshop, &[], &["recipe.toml"]);
}

#[test]
fn a_directory_that_holds_something_is_left_alone() {
    let workshop = Workshop::new();
    let people = files_below(&workshop.path("people"));
    workshop.train("people", &[]).refused(&["the directory is not empty and holds no run", "people"]);
    workshop.train("people/run", &[]).refused(&["would be taken for a person", "people/run"]);
    assert_eq!(files_below(&workshop.path("people")), people);

    workshop.train("run", &[]).success();
    let (before, model) = (files_below(&workshop.path("run")), workshop.model("run"));
    workshop.train("run", &[]).refused(&["choose another", "run"]);
    assert_eq!(files_below(&workshop.path("run")), before);
    assert!(workshop.model("run") == model);
    workshop.resume("people", &[]).refused(&["holds no run to resume", "people"]);
}

#[test]
fn damaged_models_are_refused() {
    let workshop = Workshop::new();
    workshop.train("run", &[]).success();
    let model = workshop.model("run");
    let mut no_card = model.clone();
    let at = no_card.windows(12).position(|bytes| bytes == b"__metadata__").unwrap();
    no_card[at] = b'-';
    let mut beyond = model.clone();
    beyond[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let cases: [(&str, &[u8]); 6] = [
        ("cut", &model[..model.len() - 1]),
        ("header", &model[..100]),
        ("nothing", &[]),
        ("beyond", &beyond),
        ("card", &no_card),
        ("other", b"a text that somebody called a model"),
    ];
    for (name, bytes) in cases {
        let file = workshop.path(&format!("{name}.safetensors"));
        fs_err::write(&file, bytes).unwrap();
        let (named, out) = (file.display().to_string(), workshop.path("vectors.safetensors"));
        cosface(["inspect".as_ref(), file.as_os_str()]).refused(&[&named]);
        embed(&file, &workshop.path("people"), &out).refused(&[&named]);
        assert!(!out.exists());
    }
}

#[test]
fn embedding_says_which_path_fails_and_writes_nothing() {
    let workshop = Workshop::new();
    workshop.train("run", &[]).success();
    let (model, out) = (workshop.path("run/model.safetensors"), workshop.path("out/vectors.safetensors"));
    fs_err::create_dir_all(workshop.path("out")).unwrap();
    fs_err::create_dir_all(workshop.path("empty")).unwrap();
    embed(&model, &workshop.path("absent.png"), &out).refused(&["absent.png", "No such file"]);
    embed(&model, &workshop.path("empty"), &out).refused(&["no image files", "empty"]);
    fs_err::write(workshop.path("people/p5/cut.jpg"), truncated_jpeg()).unwrap();
    embed(&model, &workshop.path("people"), &out).refused(&["p5/cut.jpg", "truncated"]);
    assert_eq!(files_below(&workshop.path("out")), [""; 0]);

    // A file where a folder is needed, which not even the superuser can write into. It shows before any image is read.
    let blocked = workshop.path("recipe.toml/vectors.safetensors");
    embed(&model, &workshop.path("people"), &blocked).refused(&["recipe.toml", "Not a directory"]);
    workshop.train("recipe.toml/run", &[]).refused(&["recipe.toml/run", "Not a directory"]);
    embed(&model, &workshop.path("people"), &workshop.path("out"))
        .refused(&["the output is a directory", "out"]);
    let photograph = workshop.path("people/p0/0.png");
    embed(&model, &photograph, &photograph).refused(&["would overwrite the input", "p0/0.png"]);
}

#[test]
fn embedding_leaves_out_and_lists_what_cannot_be_read_only_if_told_so() {
    let workshop = Workshop::new();
    workshop.train("run", &[]).success();
    let (model, people) = (workshop.path("run/model.safetensors"), workshop.path("people"));
    let (whole, out) = (workshop.path("whole.safetensors"), workshop.path("vectors.safetensors"));
    embed(&model, &people, &whole).success();
    fs_err::write(people.join("p0/cut.jpg"), truncated_jpeg()).unwrap();
    RgbImage::new(17, 20).save(people.join("p4/large.png")).unwrap();
    let skipping = |images: &Path| {
        let given = ["embed".as_ref(), model.as_path(), images, "--out".as_ref(), out.as_path()];
        cosface(given.into_iter().chain(["--skip-unreadable".as_ref()]))
    };
    let outcome = skipping(&people).success();
    assert!(outcome.stdout.starts_with("30 embeddings"), "{}", outcome.stdout);
    for part in ["p0/cut.jpg: the file is truncated", "p4/large.png", "images left out: 2"] {
        assert!(outcome.stderr.contains(part), "{part:?} is not in: {}", outcome.stderr);
    }
    // The vectors of the others, under their own names.
    assert!(fs_err::read(&out).unwrap() == fs_err::read(&whole).unwrap(), "the files differ");
    fs_err::remove_file(&out).unwrap();
    skipping(&people.join("p0/cut.jpg")).refused(&["none of the images can be used", "cut.jpg", "truncated"]);
    assert!(!out.exists());

    let mut damaged = encoded(&RgbImage::new(16, 20).into(), ImageFormat::Png);
    // Inside the first chunk of image data, which begins behind the signature and the header chunk.
    damaged[33 + 8 + 4] ^= 0xFF;
    fs_err::write(people.join("p1/damaged.png"), damaged).unwrap();
    let outcome = workshop.train("skipping", &["data.unreadable=skip"]).success();
    for part in ["p1/damaged.png: the PNG data are damaged: ", "images left out: 3"] {
        assert!(outcome.stderr.contains(part), "{part:?} is not in: {}", outcome.stderr);
    }
    workshop.train("refused", &[]).refused(&["--skip-unreadable"]);
}

#[test]
fn embedding_a_folder_tells_what_it_passes_over_and_refuses_formats_it_does_not_read() {
    let workshop = Workshop::new();
    workshop.train("run", &[]).success();
    let (model, out) = (workshop.path("run/model.safetensors"), workshop.path("vectors.safetensors"));
    for name in ["people/p1/notes.txt", "people/p2/.thumbnail.png"] {
        fs_err::write(workshop.path(name), "no image").unwrap();
    }
    let outcome = embed(&model, &workshop.path("people"), &out).success();
    assert!(outcome.stdout.starts_with("30 embeddings"), "{}", outcome.stdout);
    for part in ["people: 2 other files ignored, such as", "p1/notes.txt"] {
        assert!(outcome.stderr.contains(part), "{part:?} is not in: {}", outcome.stderr);
    }
    fs_err::remove_file(&out).unwrap();
    fs_err::write(workshop.path("people/p4/scan.TIF"), b"II\x2A\0\x08\0\0\0").unwrap();
    embed(&model, &workshop.path("people"), &out).refused(&["p4/scan.TIF", "TIFF is not read"]);
    assert!(!out.exists());
}

#[test]
fn what_training_cannot_do_is_refused_before_there_is_a_run() {
    let workshop = Workshop::new();
    refuses(&workshop, &["schedule.warm_up=12 steps"], &["shorter than the 12 steps of the run: 12 steps"]);
    refuses(&workshop, &["schedule.length=0.1 epochs"], &["less than one step", "0.1 epochs"]);
    refuses(&workshop, &["data.template=112x96"], &["no valid model", "112"]);
    // Whatever is wrong with the validation shows at the start, not after the first epoch.
    let validation = "validation={tree=\"people\", pairs=\"pairs.txt\", every=\"5 steps\"}";
    refuses(&workshop, &[validation], &["pairs.txt", "No such file"]);
    fs_err::write(workshop.path("pairs.txt"), "2 1\np0\t1\t2\np0\t1\tp1\t1\np1\t1\t2\np1\t2\tp0\t2\n")
        .unwrap();
    refuses(&workshop, &[validation], &["pairs.txt", "p0/p0_0001"]);
    for name in ["p0/p0_0001", "p0/p0_0002", "p1/p1_0001", "p1/p1_0002"] {
        fs_err::create_dir_all(workshop.path("others").join(name).parent().unwrap()).unwrap();
        fs_err::write(workshop.path(&format!("others/{name}.jpg")), truncated_jpeg()).unwrap();
    }
    let others = validation.replace("people", "others");
    refuses(&workshop, &[&others], &["others/p0/p0_0001.jpg", "truncated"]);
}

#[test]
fn a_place_that_cannot_be_written_shows_before_any_image_is_read() {
    let workshop = Workshop::new();
    fs_err::write(workshop.path("people/p0/cut.jpg"), truncated_jpeg()).unwrap();
    let outcome = workshop.train("recipe.toml/run", &[]).refused(&["recipe.toml/run", "Not a directory"]);
    assert!(!outcome.stderr.contains("cut.jpg"), "{}", outcome.stderr);
}

#[test]
fn pairs_that_name_a_missing_image_are_refused_never_skipped() {
    let workshop = Workshop::new();
    workshop.train("run", &[]).success();
    for person in 0..2 {
        for image in 0..5 {
            let source = workshop.path(&format!("people/p{person}/{image}.png"));
            fs_err::copy(source, workshop.path(&format!("people/p{person}/p{person}_{:04}.png", image + 1)))
                .unwrap();
        }
    }
    let evaluate = |pairs: &str| {
        fs_err::write(workshop.path("pairs.txt"), pairs).unwrap();
        let text = |name: &str| workshop.path(name).to_str().unwrap().to_owned();
        let outcome = cosface([
            "evaluate",
            &text("run/model.safetensors"),
            "--images",
            &text("people"),
            "--pairs",
            &text("pairs.txt"),
            "--out",
            &text("evaluation"),
        ]);
        assert!(!workshop.path("evaluation").exists(), "{}", outcome.stderr);
        outcome
    };
    let missing = "2 1\np0\t1\t2\np0\t1\tp1\t1\np0\t1\t9\np1\t2\tp0\t2\n";
    evaluate(missing).refused(&["pairs.txt", "1 of them are missing", "p0/p0_0009"]);
    evaluate("2 1\np0\t1\t2\np0\t1\tp1\n").refused(&["pairs.txt, line 3", "p0\\t1\\tp1"]);
    evaluate("three\n").refused(&["pairs.txt, line 1", "three"]);
    fs_err::write(workshop.path("people/p0/p0_0002.png"), "no image").unwrap();
    evaluate(&missing.replace('9', "3")).refused(&["p0/p0_0002.png", "the content is not"]);
}

#[test]
fn losses_without_a_meaning_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (case, out) =
        (directory.path().join("case.safetensors"), directory.path().join("result.safetensors"));
    let loss = |metadata: &str, label: i64| {
        fs_err::write(&case, loss_case(metadata, label)).unwrap();
        let arguments = ["loss".as_ref(), case.as_os_str(), "--out".as_ref(), out.as_os_str()];
        let outcome = cosface(arguments);
        assert_eq!(out.exists(), outcome.status == Some(0), "{}", outcome.stderr);
        outcome
    };
    let named = case.to_str().unwrap();
    loss(r#"{"loss":"cosface","s":"0","m":"0.35"}"#, 1).refused(&[named, "s"]);
    loss(r#"{"loss":"cosface","s":"64"}"#, 1).refused(&[named, "m"]);
    loss(r#"{"loss":"cosface","s":"64","m":"much"}"#, 1).refused(&[named, "much"]);
    loss(r#"{"loss":"cosinus","s":"64","m":"0.35"}"#, 1).refused(&[named, "cosinus"]);
    loss(r#"{"s":"64","m":"0.35"}"#, 1).refused(&[named, "names no `loss`"]);
    loss(r#"{"loss":"cosface","s":"64","m":"0.35"}"#, 2).refused(&[named, "2"]);
    loss(r#"{"loss":"cosface","s":"64","m":"0.35"}"#, -1).refused(&[named, "-1"]);
    loss(r#"{"loss":"cosface","s":"64","m":"0.35"}"#, 1).success();
}

#[test]
fn a_command_line_that_cannot_be_understood_ends_with_status_2() {
    for arguments in [&["recognise"][..], &["train"], &["synth", "--identities", "many"], &["embed"], &[]] {
        let outcome = cosface(arguments);
        assert_eq!(outcome.status, Some(2), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("--help"), "{arguments:?}: {}", outcome.stderr);
    }
}

fn embed(model: &Path, images: &Path, out: &Path) -> Outcome {
    cosface(["embed".as_ref(), model, images, "--out".as_ref(), out])
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// The first half of the entropy-coded data of a photograph, so that its header is whole.
fn truncated_jpeg() -> Vec<u8> {
    let picture = RgbImage::from_fn(16, 20, |x, y| image::Rgb([(x * 91 + y * 57) as u8, (x * y) as u8, 7]));
    let mut bytes = encoded(&picture.into(), ImageFormat::Jpeg);
    let scan = bytes.windows(2).rposition(|marker| marker == [0xFF, 0xDA]).unwrap();
    bytes.truncate(scan + (bytes.len() - scan) / 2);
    bytes
}

/// A PNG whose animation control chunk states two frames.
fn animated_png() -> Vec<u8> {
    let still = encoded(&RgbImage::new(16, 20).into(), ImageFormat::Png);
    let control = [&b"acTL"[..], &[0, 0, 0, 2, 0, 0, 0, 0]].concat();
    // After the signature of 8 bytes and the header chunk of 25.
    [&still[..33], &[0, 0, 0, 8], &control, &crc32(&control).to_be_bytes(), &still[33..]].concat()
}

/// The beginning of every animated WebP file: an extended header with the animation flag.
fn animated_webp() -> Vec<u8> {
    [&b"RIFF"[..], &[22, 0, 0, 0], b"WEBPVP8X", &[10, 0, 0, 0], &[2, 0, 0, 0, 15, 0, 0, 19, 0, 0]].concat()
}

/// A JPEG whose frame header states four components and whose Adobe marker states inverted CMYK.
fn cmyk_jpeg() -> Vec<u8> {
    let adobe = [&[0xFF, 0xEE, 0, 14][..], b"Adobe", &[0, 100, 0, 0, 0, 0, 0]].concat();
    let tables = [&[0xFF, 0xDB, 0, 67, 0][..], &[1; 64]].concat();
    let frame = [0xFF, 0xC0, 0, 20, 8, 0, 20, 0, 16, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0];
    [&[0xFF, 0xD8][..], &adobe, &tables, &frame, &[0xFF, 0xD9]].concat()
}

/// A PNG of 8-bit RGB whose chunks are whole and whose data are far too short.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut header = width.to_be_bytes().to_vec();
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    // An empty stream of zlib: its header, an empty stored block, its checksum.
    let stream = [0x78, 0x01, 1, 0, 0, 0xFF, 0xFF, 0, 0, 0, 1];
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, content) in [(b"IHDR", &header[..]), (b"IDAT", &stream), (b"IEND", &[])] {
        let chunk = [&name[..], content].concat();
        bytes.extend((content.len() as u32).to_be_bytes());
        bytes.extend(&chunk);
        bytes.extend(crc32(&chunk).to_be_bytes());
    }
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
    })
}

/// One sample, two classes, one dimension.
fn loss_case(metadata: &str, label: i64) -> Vec<u8> {
    let header = format!(
        r#"{{"__metadata__":{metadata},"features":{{"dtype":"F64","shape":[1,1],"data_offsets":[0,8]}},"weights":{{"dtype":"F64","shape":[2,1],"data_offsets":[8,24]}},"labels":{{"dtype":"I64","shape":[1],"data_offsets":[24,32]}}}}"#
    );
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    for value in [1.0_f64, 1.0, -1.0] {
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend(label.to_le_bytes());
    bytes
}

#[test]
fn an_instruction_set_can_be_forced_and_an_unknown_one_is_refused() {
    let shown = cosface(["--isa", "portable", "inspect", "--cpu"]).success().stdout;
    assert!(shown.lines().any(|line| line.split_whitespace().eq(["portable", "used"])), "{shown}");
    assert!(shown.contains("f32 is the fastest precision"), "{shown}");
    // After the command as well as before it.
    assert_eq!(cosface(["inspect", "--cpu", "--isa", "portable"]).success().stdout, shown);
    let unknown = cosface(["--isa", "sse9", "inspect", "--cpu"]);
    assert_eq!(unknown.status, Some(2), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("sse9") && unknown.stderr.contains("avx512"), "{}", unknown.stderr);
}
