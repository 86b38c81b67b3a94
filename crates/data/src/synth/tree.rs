//! A folder tree of synthetic faces.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use face::Template;
use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use super::nuisance::check_strength;
use super::population::Population;

/// What to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Number of the first person; two trees with disjoint numbers of one seed have no person in common.
    pub first: u32,
    /// How many people.
    pub identities: u32,
    /// How many pictures of each.
    pub images: u32,
    /// Seed of the population.
    pub seed: u64,
    /// Strength of the nuisances, 0 to 1.5; 1 is an ordinary collection of snapshots.
    pub strength: f32,
    /// Size of the pictures and places of the landmarks in them.
    pub template: Template,
}

/// Why no tree was written.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// Nothing to write.
    #[error(
        "synthetic faces need at least one identity and one image each: {identities} identities, {images} images"
    )]
    Nothing {
        /// Identities asked for.
        identities: u32,
        /// Images asked for.
        images: u32,
    },
    /// Numbers of people or pictures that do not fit.
    #[error(
        "the last identity would have a number beyond {}: first {first}, {identities} identities",
        u32::MAX
    )]
    TooMany {
        /// First number.
        first: u32,
        /// Identities asked for.
        identities: u32,
    },
    /// Strength outside its range.
    #[error("the strength of the nuisance must be from 0 to 1.5: {0}")]
    Strength(f32),
    /// The folder exists and is not an empty folder.
    #[error("refusing to write synthetic faces over what is already there, choose a new or empty folder: {}", .0.display())]
    Occupied(PathBuf),
    /// The folder that an unfinished run leaves is there.
    #[error("another run is writing here or was interrupted; if none is running, delete this folder: {}", .0.display())]
    Unfinished(PathBuf),
    /// The path cannot name a folder.
    #[error("a folder for synthetic faces must have a name: {}", .0.display())]
    Unnamed(PathBuf),
    /// A file or folder could not be written; the source names it.
    #[error("cannot write synthetic faces")]
    Write(#[from] io::Error),
    /// A picture could not be encoded or written.
    #[error("cannot write the picture: {}", .path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: image::ImageError,
    },
}

/// Writes `DIR/id0001/0001.png` and so on: person number `p` is folder `id{p + 1}`, its picture `j` is file
/// `{j + 1}.png`, both with at least four digits. PNG, so that the files hold exactly what [`Population::face`]
/// returns.
///
/// Everything is written to the sibling folder `DIR.partial`, which becomes `DIR` when it is complete; an
/// interrupted run therefore never looks like a finished one. `progress` is called after each picture with the
/// number of pictures done so far, from several threads and not necessarily in order. The bytes do not depend on the
/// number of threads.
///
/// # Errors
/// When there is nothing to write, a setting is out of range, `directory` is anything but new or an empty folder, a
/// partial folder is there, or writing fails; then the partial folder of this run is removed again.
pub fn write_tree(
    directory: &Path,
    settings: &Settings,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), SynthError> {
    let &Settings { first, identities, images, seed, strength, template } = settings;
    if identities == 0 || images == 0 {
        return Err(SynthError::Nothing { identities, images });
    }
    if first.checked_add(identities).is_none() {
        return Err(SynthError::TooMany { first, identities });
    }
    check_strength(strength).map_err(SynthError::Strength)?;
    let partial = partial_of(directory)?;
    refuse_occupied(directory)?;
    if let Some(parent) = directory.parent() {
        fs_err::create_dir_all(parent)?;
    }
    match fs_err::create_dir(&partial) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(SynthError::Unfinished(partial));
        }
        created => created?,
    }
    let population = Population::new(seed, strength, template);
    let written = fill(&partial, &population, settings, progress).and_then(|()| {
        refuse_occupied(directory)?;
        if directory.exists() {
            // Only an empty folder gets this far; not every system renames over one.
            fs_err::remove_dir(directory)?;
        }
        Ok(fs_err::rename(&partial, directory)?)
    });
    if written.is_err() {
        // The first error is the one to report; what cannot be removed is refused by the next run.
        let _ = fs_err::remove_dir_all(&partial);
    }
    written
}

fn fill(
    partial: &Path,
    population: &Population,
    settings: &Settings,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), SynthError> {
    let done = AtomicU64::new(0);
    (0..settings.identities).into_par_iter().try_for_each(|offset| {
        let person = settings.first + offset;
        let folder = partial.join(format!("id{:04}", u64::from(person) + 1));
        fs_err::create_dir(&folder)?;
        for image in 0..settings.images {
            let path = folder.join(format!("{:04}.png", u64::from(image) + 1));
            let face = population.face(person, image);
            face.save(&path).map_err(|source| SynthError::Picture { path, source })?;
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
        Ok(())
    })
}

fn partial_of(directory: &Path) -> Result<PathBuf, SynthError> {
    let Some(name) = directory.file_name() else {
        return Err(SynthError::Unnamed(directory.to_path_buf()));
    };
    let mut partial = name.to_os_string();
    partial.push(".partial");
    Ok(directory.with_file_name(partial))
}

fn refuse_occupied(directory: &Path) -> Result<(), SynthError> {
    match fs_err::read_dir(directory) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(SynthError::Occupied(directory.to_path_buf()));
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) if directory.is_file() => Err(SynthError::Occupied(directory.to_path_buf())),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use face::Template;

    use super::super::Population;
    use super::{Settings, SynthError, write_tree};

    fn settings() -> Settings {
        Settings { first: 3, identities: 2, images: 3, seed: 8, strength: 1.0, template: Template::HIGH }
    }

    #[test]
    fn the_files_hold_exactly_the_faces_of_the_population_on_any_number_of_threads() {
        let folder = tempfile::tempdir().unwrap();
        for threads in [1, 2] {
            let out = folder.path().join(format!("new/{threads}"));
            let (calls, most) = (AtomicU64::new(0), AtomicU64::new(0));
            let count = |done: u64| {
                calls.fetch_add(1, Ordering::Relaxed);
                most.fetch_max(done, Ordering::Relaxed);
            };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| write_tree(&out, &settings(), &count)).unwrap();
            assert_eq!((calls.into_inner(), most.into_inner()), (6, 6));
            let population = Population::new(8, 1.0, Template::HIGH);
            for (person, name) in [(3, "id0004"), (4, "id0005")] {
                for image in 0..3 {
                    let file = out.join(name).join(format!("000{}.png", image + 1));
                    assert_eq!(
                        image::open(&file).unwrap().to_rgb8(),
                        population.face(person, image),
                        "{file:?}"
                    );
                }
            }
            assert_eq!(fs_err::read_dir(&out).unwrap().count(), 2);
            assert!(!folder.path().join(format!("new/{threads}.partial")).exists());
        }
    }

    #[test]
    fn what_is_already_there_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let nothing = |_: u64| {};
        let full = folder.path().join("full");
        fs_err::create_dir(&full).unwrap();
        fs_err::write(full.join("thesis.txt"), "years of work").unwrap();
        assert!(
            matches!(write_tree(&full, &settings(), &nothing), Err(SynthError::Occupied(path)) if path == full)
        );
        let file = full.join("thesis.txt");
        assert!(
            matches!(write_tree(&file, &settings(), &nothing), Err(SynthError::Occupied(path)) if path == file)
        );
        assert_eq!(fs_err::read_to_string(&file).unwrap(), "years of work");
        let out = folder.path().join("out");
        let partial = folder.path().join("out.partial");
        fs_err::create_dir(&partial).unwrap();
        fs_err::write(partial.join("x"), "").unwrap();
        assert!(
            matches!(write_tree(&out, &settings(), &nothing), Err(SynthError::Unfinished(path)) if path == partial)
        );
        assert!(partial.join("x").exists() && !out.exists());
        let empty = folder.path().join("empty");
        fs_err::create_dir(&empty).unwrap();
        write_tree(&empty, &settings(), &nothing).unwrap();
    }

    #[test]
    fn a_run_that_stops_half_way_leaves_no_tree_under_the_final_name() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let stopped = std::panic::catch_unwind(|| {
            write_tree(&out, &settings(), &|done| assert!(done < 4, "the power fails"))
        });
        assert!(stopped.is_err() && !out.exists());
        assert!(matches!(write_tree(&out, &settings(), &|_| {}), Err(SynthError::Unfinished(_))));
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let refused = |settings: Settings| write_tree(&out, &settings, &|_| {}).unwrap_err();
        assert!(matches!(
            refused(Settings { images: 0, ..settings() }),
            SynthError::Nothing { images: 0, .. }
        ));
        assert!(matches!(refused(Settings { first: u32::MAX, ..settings() }), SynthError::TooMany { .. }));
        for strength in [-0.1, 1.6, f32::NAN] {
            assert!(matches!(refused(Settings { strength, ..settings() }), SynthError::Strength(_)));
        }
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
    }
}
