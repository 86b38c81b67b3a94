//! One picture: identity and nuisance in, pixels out.

use face::Template;
use image::RgbImage;

use super::backdrop::backdrop;
use super::curve::{Colour, blend, luminance, scale, step};
use super::draw::noise;
use super::frame::{Similarity, canvas};
use super::hair::{Hairdo, brim, hat};
use super::head::{around, body, ear, head};
use super::identity::Identity;
use super::lighting::{Shadows, illuminate};
use super::nuisance::Nuisance;
use super::obstacle::{Worn, cover};
use super::paint::{Look, Painter, hair_here, strands};
use super::photo::Film;
use super::raster::{NOTHING, Visible};
use super::relief::relief;
use super::shape::Shape;
use super::sheet::{Attribute, Material, Sheet, UNSEEN, Values};
use super::view::View;

/// Samples per pixel along each axis.
const SAMPLES: usize = 2;

/// The number of the sheet that is the face.
const FACE: u8 = 0;

/// The picture of `identity` under `nuisance`: upright RGB, aligned to `template`, of its size.
pub fn render(identity: &Identity, nuisance: &Nuisance, template: &Template) -> RgbImage {
    let shape = Shape::new(identity, &nuisance.expression);
    let view = view(&shape, nuisance, template);
    let body_view = view.of_body(&nuisance.pose);
    let hairdo = Hairdo::new(&shape, &nuisance.grooming, nuisance.hat.is_some());
    let mut sheets = sheets(&shape, &hairdo, nuisance);
    for sheet in &mut sheets {
        let view = if sheet.material == Material::Body { &body_view } else { &view };
        for point in &mut sheet.points {
            *point = view.turn(*point);
        }
    }
    let shadows = Shadows::cast(sheets.iter(), &nuisance.light);
    for sheet in &mut sheets {
        illuminate(sheet, &nuisance.light, &shadows);
    }
    let (width, height) = (template.size.width, template.size.height);
    let mut visible = Visible::new(width as usize * SAMPLES, height as usize * SAMPLES);
    for (index, sheet) in sheets.iter().enumerate() {
        let view = if sheet.material == Material::Body { &body_view } else { &view };
        let screen: Vec<_> =
            sheet.points.iter().map(|p| view.project(*p).map(|v| (v + 0.5) * SAMPLES as f32)).collect();
        let possible = |i: usize| sheet.values[i][Attribute::BLUSH] > UNSEEN;
        let always = |_: f32, _: f32| true;
        let ragged = |column: f32, row: f32| hair_here(&shape, &sheet.at(column, row));
        let hemmed = |column: f32, row: f32| sheet.at(column, row)[Attribute::BLUSH] > 0.0;
        let wanted: &dyn Fn(f32, f32) -> bool = match sheet.material {
            Material::Hair => &ragged,
            Material::Hat => &hemmed,
            Material::Skin | Material::Ear | Material::Body => &always,
        };
        visible.draw(index as u8, sheet, &screen, &possible, wanted);
    }
    let painter = Painter::new(&shape, nuisance.grooming.lipstick, &nuisance.light);
    let scene = Scene {
        nuisance,
        shape: &shape,
        sheets: &sheets,
        painter,
        view: &view,
        design: canvas(template).inverse(),
    };
    let (film, metered) = scene.expose(&visible);
    film.develop(&nuisance.camera, metered)
}

/// Where the landmarks are in the picture that [`render`] makes: left eye, right eye, nose tip, left and right
/// corner of the mouth, in pixels. They are the places of the points on the head, seen or hidden.
pub fn landmarks(identity: &Identity, nuisance: &Nuisance, template: &Template) -> [[f32; 2]; 5] {
    let shape = Shape::new(identity, &nuisance.expression);
    let view = view(&shape, nuisance, template);
    solid(&shape).map(|p| view.project(view.turn(p)))
}

fn view(shape: &Shape, nuisance: &Nuisance, template: &Template) -> View {
    View::aligned(&nuisance.pose, &solid(shape), &nuisance.misalignment, template)
}

/// The landmarks in face space, on the skin.
fn solid(shape: &Shape) -> [[f32; 3]; 5] {
    shape.landmarks.map(|[x, y]| {
        let (width, front, edge) = (shape.width(y), shape.front(y), shape.edge(y));
        let power = 1.0 / shape.identity.skull.squareness;
        let sine = (x.abs() / width).min(1.0).powf(power);
        let [_, _, z] = around(width, front, edge, sine.asin(), shape.identity.skull.squareness);
        [x, y, z + relief(shape, x, y)]
    })
}

fn sheets(shape: &Shape, hairdo: &Hairdo, nuisance: &Nuisance) -> Vec<Sheet> {
    let mut sheets = vec![
        head(shape, &|angle| hairdo.edge(angle), hairdo.shadow(), nuisance.grooming.beard),
        ear(shape, -1.0),
        ear(shape, 1.0),
        body(shape),
        hairdo.shell(),
    ];
    if let Some(worn) = &nuisance.hat {
        sheets.push(hat(shape, worn, shape.identity.hair.volume.min(5.0)));
        if worn.brim > 0.0 {
            sheets.push(brim(shape, worn));
        }
    }
    sheets
}

struct Scene<'a> {
    nuisance: &'a Nuisance,
    shape: &'a Shape<'a>,
    sheets: &'a [Sheet],
    painter: Painter<'a>,
    view: &'a View,
    /// From the picture to the template that things are placed on.
    design: Similarity,
}

impl Scene<'_> {
    /// The light on the film, and the brightness of the face that the exposure is set for.
    fn expose(&self, visible: &Visible) -> (Film, f32) {
        let (width, height) = (visible.width / SAMPLES, visible.height / SAMPLES);
        let worn =
            self.nuisance.glasses.as_ref().map(|g| Worn::new(g, self.shape, self.view, &self.nuisance.light));
        let mut film = Film { width, height, pixels: Vec::with_capacity(width * height) };
        let (mut brightness, mut counted) = (0.0, 0.0);
        for y in 0..height {
            for x in 0..width {
                let first = y * SAMPLES * visible.width + x * SAMPLES;
                let samples = [first, first + 1, first + visible.width, first + visible.width + 1];
                let mut colours = self.pixel(visible, samples, [x as f32, y as f32]);
                for (i, colour) in samples.into_iter().zip(&mut colours) {
                    if visible.sheet[i] == FACE {
                        brightness += luminance(*colour);
                        counted += 1.0;
                    }
                    if worn.is_some() || self.nuisance.obstacle.is_some() {
                        self.hide(colour, worn.as_ref(), visible, i);
                    }
                }
                film.pixels.push(std::array::from_fn(|c| colours.iter().map(|s| s[c]).sum::<f32>() / 4.0));
            }
        }
        (film, if counted > 0.0 { brightness / counted } else { 0.3 })
    }

    /// The colours of the four samples of the pixel at `middle`. Where one smooth surface fills the pixel, one
    /// evaluation serves all four.
    fn pixel(&self, visible: &Visible, samples: [usize; 4], middle: [f32; 2]) -> [Colour; 4] {
        let sheet = visible.sheet[samples[0]];
        if samples.iter().all(|&i| visible.sheet[i] == sheet) {
            if sheet == NOTHING {
                return [self.behind(middle); 4];
            }
            let places = samples.map(|i| visible.place[i]);
            let mean = [0, 1].map(|axis| places.iter().map(|p| p[axis]).sum::<f32>() / 4.0);
            let together = places.iter().all(|p| (p[0] - mean[0]).abs().max((p[1] - mean[1]).abs()) < 1.5);
            if together {
                let values = self.sheets[sheet as usize].at(mean[0], mean[1]);
                if sheet != FACE || !self.painter.detailed(&values) {
                    return [self.surface(sheet, &values); 4];
                }
            }
        }
        samples.map(|i| {
            let [column, row] = visible.place[i];
            match visible.sheet[i] {
                NOTHING => self.behind(middle),
                sheet => self.surface(sheet, &self.sheets[sheet as usize].at(column, row)),
            }
        })
    }

    /// Puts glasses and obstacles over the colour of sample `i`.
    fn hide(&self, colour: &mut Colour, worn: Option<&Worn>, visible: &Visible, i: usize) {
        // Whole numbers are the middles of pixels.
        let place = [i % visible.width, i / visible.width].map(|v| (v as f32 + 0.5) / SAMPLES as f32 - 0.5);
        if let Some(worn) = worn {
            let over = worn.cover(place, visible.depth[i]);
            *colour = blend(*colour, over.colour, over.share);
        }
        if let Some(obstacle) = &self.nuisance.obstacle {
            let [x, y] = self.design.apply(place);
            let over = cover(obstacle, &self.nuisance.light, x, y);
            *colour = blend(*colour, over.colour, over.share);
        }
    }

    fn behind(&self, place: [f32; 2]) -> Colour {
        let [x, y] = self.design.apply(place);
        backdrop(&self.nuisance.backdrop, x, y)
    }

    fn surface(&self, sheet: u8, values: &Values) -> Colour {
        let look = match self.sheets[sheet as usize].material {
            Material::Skin => self.painter.face(values),
            Material::Ear => self.painter.skin(values),
            Material::Body => self.body(values),
            Material::Hair => strands(self.shape, values),
            Material::Hat => self.cloth(values),
        };
        let mirrored = look.shine * values[Attribute::SHINE];
        let lamp = self.nuisance.light.lamp;
        std::array::from_fn(|c| {
            look.albedo[c] * values[Attribute::LIGHT + c] + mirrored * lamp[c] + look.glint
        })
    }

    fn body(&self, values: &Values) -> Look {
        let (x, y) = (values[Attribute::X], values[Attribute::Y]);
        let neckline = 128.0 - 0.012 * x * x;
        if y < neckline {
            return self.painter.skin(values);
        }
        let fold = 1.0 + 0.15 * noise(x * 0.12, y * 0.07, self.nuisance.backdrop.texture);
        Look { albedo: scale(self.nuisance.backdrop.clothes, fold), shine: 0.0, glint: 0.0 }
    }

    fn cloth(&self, values: &Values) -> Look {
        let (x, y) = (values[Attribute::X], values[Attribute::Y]);
        let (colour, knit) = self.nuisance.hat.as_ref().map_or(([0.2; 3], 0.0), |h| (h.colour, h.knit));
        let ribs = knit * (x * 2.2).sin() * (0.6 + 0.4 * (y * 2.0).sin());
        let hem = step(2.4, 1.6, values[Attribute::BLUSH]) * 0.15;
        Look { albedo: scale(colour, 1.0 + ribs - hem), shine: 0.01, glint: 0.0 }
    }
}
