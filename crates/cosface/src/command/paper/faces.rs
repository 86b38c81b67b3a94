//! A small set of faces in memory, ready for a network.

use std::path::Path;

use anyhow::ensure;
use data::synth::Population;
use data::{Catalogue, Fit, Preparation, Source};
use face::{Limits, Size, Template};

use super::super::terminal::Stage;

/// Images at the size of a network's input, and whose they are.
pub(super) struct Faces {
    /// `images x height x width x 3`.
    pub(super) pixels: Vec<u8>,
    /// Person of each image, from 0, ascending.
    pub(super) labels: Vec<u32>,
    /// Number of people.
    pub(super) people: usize,
    /// Size of an image.
    pub(super) size: Size,
}

/// How many faces, and of what size.
pub(super) struct Wanted {
    /// Number of people.
    pub(super) people: u32,
    /// Pictures of each; of real people as many as there are, up to this.
    pub(super) images: u32,
    /// Height and width for the network.
    pub(super) input: [usize; 2],
    /// How much synthetic pictures of one person vary.
    pub(super) strength: f32,
}

impl Faces {
    /// Draws synthetic people.
    pub(super) fn synthetic(wanted: &Wanted, seed: u64) -> anyhow::Result<Faces> {
        let preparation = preparation(wanted)?;
        let population = Population::new(seed, wanted.strength, Template::HIGH);
        let mut faces = Faces::none(wanted.people as usize, preparation.input());
        let mut stage = Stage::start("faces", u64::from(wanted.people) * u64::from(wanted.images));
        for person in 0..wanted.people {
            for image in 0..wanted.images {
                let picture = population.face(person, image);
                faces.push(&preparation, picture.as_raw(), person);
                stage.show(faces.labels.len() as u64, "");
            }
        }
        stage.finish();
        Ok(faces)
    }

    /// Reads the people of a folder who have the most images, those first by name among equals: as many as are wanted,
    /// or all there are where these are `fewest` at least.
    pub(super) fn real(wanted: &Wanted, fewest: u32, folder: &Path) -> anyhow::Result<Faces> {
        let preparation = preparation(wanted)?;
        let source = Source::Tree { root: folder.to_owned(), people: None };
        let catalogue = Catalogue::read(&[source], 2)?;
        let mut people: Vec<_> = catalogue.identities().iter().collect();
        ensure!(
            people.len() >= fewest as usize,
            "this experiment needs {} people with two images or more, the folder has {}: {}",
            fewest,
            people.len(),
            folder.display()
        );
        people.sort_by_key(|person| std::cmp::Reverse(person.images.len()));
        people.truncate(wanted.people as usize);
        let mut faces = Faces::none(people.len(), preparation.input());
        let mut stage = Stage::start(
            "faces",
            people
                .iter()
                .map(|person| person.images.clone().take(wanted.images as usize).count() as u64)
                .sum(),
        );
        for (label, person) in people.into_iter().enumerate() {
            for image in person.images.clone().take(wanted.images as usize) {
                let crop = preparation.read_crop(&catalogue.path(image))?;
                faces.push(&preparation, &crop, label as u32);
                stage.show(faces.labels.len() as u64, "");
            }
        }
        stage.finish();
        Ok(faces)
    }

    fn none(people: usize, size: Size) -> Faces {
        Faces { pixels: Vec::new(), labels: Vec::new(), people, size }
    }

    fn push(&mut self, preparation: &Preparation, crop: &[u8], label: u32) {
        let start = self.pixels.len();
        self.pixels.resize(start + self.size.rgb_bytes(), 0);
        preparation.reduce(crop, &mut self.pixels[start..]);
        self.labels.push(label);
    }

    /// The people for whom `chosen` holds, numbered anew, with up to `images` images each.
    pub(super) fn of_people(&self, chosen: impl Fn(usize) -> bool, images: u32) -> Faces {
        let mut faces = Faces::none(0, self.size);
        for person in (0..self.people).filter(|&person| chosen(person)) {
            let own = (0..self.labels.len()).filter(|&image| self.labels[image] as usize == person);
            for image in own.take(images as usize) {
                faces.pixels.extend_from_slice(self.image(image));
                faces.labels.push(faces.people as u32);
            }
            faces.people += 1;
        }
        faces
    }

    /// The bytes of one image.
    pub(super) fn image(&self, index: usize) -> &[u8] {
        let bytes = self.size.rgb_bytes();
        &self.pixels[index * bytes..(index + 1) * bytes]
    }
}

fn preparation(wanted: &Wanted) -> anyhow::Result<Preparation> {
    let [height, width] = wanted.input.map(|side| side as u32);
    let crop = Size { height: 112, width: 96 };
    Ok(Preparation::new(crop, Size { height, width }, Fit::Exact, Limits::default())?)
}
