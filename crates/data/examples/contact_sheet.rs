//! Draws a contact sheet of synthetic faces: a row for each person, a column for each picture.
//!
//! `cargo run --release -p cosface-data --example contact_sheet -- OUT.png [SEED] [PEOPLE] [PICTURES] [STRENGTH] [ZOOM]`

use data::synth::Population;
use face::Template;
use image::imageops::{FilterType, overlay, resize};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: f32| arguments.get(i).map_or(Ok(default), |a| a.parse::<f32>());
    let out = arguments.first().ok_or("the file to write is missing")?;
    let (seed, people, pictures) = (number(1, 7.0)? as u64, number(2, 6.0)? as u32, number(3, 6.0)? as u32);
    let (strength, zoom) = (number(4, 1.0)?, number(5, 3.0)? as u32);
    let population = Population::new(seed, strength, Template::HIGH);
    let (width, height) = (96 * zoom, 112 * zoom);
    let mut sheet = image::RgbImage::new(pictures * width, people * height);
    for person in 0..people {
        for picture in 0..pictures {
            let face = resize(&population.face(person, picture), width, height, FilterType::CatmullRom);
            overlay(&mut sheet, &face, i64::from(picture * width), i64::from(person * height));
        }
    }
    sheet.save(out)?;
    Ok(())
}
