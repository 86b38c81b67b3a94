//! `cosface models`: public models that are known, and their files.

mod download;
mod manifest;
mod tls;

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};

use super::terminal;
use manifest::{Listed, Manifest, Terms};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// Manifest of models in TOML; this program's own unless given
    #[arg(long, global = true)]
    manifest: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the models that are known
    List,
    /// Download a model, verify it, and store it under DIRECTORY/NAME
    Pull(Pull),
}

#[derive(Debug, clap::Args)]
struct Pull {
    /// Name of the model, as `cosface models` lists it
    name: String,
    /// Folder of models
    #[arg(long, default_value = "models")]
    to: PathBuf,
    /// Store a model whose licence is not free without asking
    #[arg(long)]
    accept_licence: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let manifest = Manifest::read(arguments.manifest.as_deref())?;
    match &arguments.action {
        None | Some(Action::List) => list(&manifest),
        Some(Action::Pull(arguments)) => pull(manifest.find(&arguments.name)?, arguments)?,
    }
    Ok(())
}

fn list(manifest: &Manifest) {
    for model in &manifest.models {
        terminal::say(&format!("{}  ({}, {})", model.name, model.kind, size(model.bytes())));
        terminal::say(&format!("    {}", model.about));
        terminal::say(&format!("    {}", licence(model)));
        terminal::say(&format!("    from {} at {}", model.repository, model.revision));
    }
}

fn licence(model: &Listed) -> String {
    let manifest::Licence { name, terms, note } = &model.licence;
    format!("licence: {name}, {terms} ({note})")
}

fn size(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn pull(model: &Listed, arguments: &Pull) -> anyhow::Result<()> {
    let folder = arguments.to.join(&model.name);
    let mut missing = Vec::new();
    for file in &model.files {
        let path = folder.join(&file.name);
        if fs_err::metadata(&path).is_err() {
            missing.push((file, path));
            continue;
        }
        ensure!(
            download::is_file(&path, file)?,
            "a file of this name is there with other content, remove it or choose another folder with --to: {}",
            path.display()
        );
    }
    terminal::say(&format!("{}: {}", model.name, model.about));
    terminal::say(&licence(model));
    if missing.is_empty() {
        terminal::say(&format!("all files are there and verified: {}", folder.display()));
        return Ok(());
    }
    if model.licence.terms != Terms::Free && !arguments.accept_licence {
        ask(model)?;
    }
    fs_err::create_dir_all(&folder)?;
    let agent = download::client();
    for (file, path) in missing {
        download::fetch(&agent, file, &path)?;
        terminal::say(&format!("{}, {}, verified", path.display(), size(file.bytes)));
    }
    // What the files are, for whoever finds them: the manifest's own words.
    write(&folder.join("source.toml"), &toml::to_string_pretty(model)?)?;
    if let Some(description) = model.description() {
        write(&folder.join("description.toml"), description)?;
    }
    terminal::say(&format!("use: {}", model.usage.replace("{folder}", &folder.display().to_string())));
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    net::atomic_file::write(path, |out| -> std::io::Result<()> { out.write_all(text.as_bytes()) })?;
    Ok(())
}

/// Asks whether a model is wanted under its terms.
fn ask(model: &Listed) -> anyhow::Result<()> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        bail!(
            "the licence of {} is not a free one ({}), say --accept-licence to store it",
            model.name,
            model.licence.terms
        );
    }
    terminal::note("Store it under these terms? [y/N]");
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    let agreed = matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
    ensure!(agreed, "nothing was stored, the licence was not accepted: {}", model.name);
    Ok(())
}
