//! One module for each command.

mod advise;
mod align;
mod bench;
mod compare;
mod demo;
mod detect;
mod embed;
mod evaluate;
mod export;
mod faces;
mod hardest;
mod identify;
mod images;
mod import;
mod inspect;
mod interruption;
mod loss;
mod models;
mod operands;
mod pairs;
mod paper;
mod synth;
mod templates;
pub(crate) mod terminal;
mod train;
mod unpack;
mod verify;
mod workers;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Photographs of people to a trained, honestly measured, usable face recogniser.
#[derive(Debug, Parser)]
#[command(name = "cosface", version, about, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Instruction set to compute by, to compare or to be on the safe side: portable, avx2, avx512, avx512bf16 or amx; the
    /// best one that `cosface inspect --cpu` shows unless given
    #[arg(long, global = true)]
    isa: Option<engine::Isa>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train with softmax and LMCL on synthetic faces, and measure both on people they have not seen
    Demo(demo::Arguments),
    /// Train a recogniser by a recipe, or on a folder of people
    Train(train::Arguments),
    /// Measure a model, or embeddings alone, on pairs of faces
    Evaluate(evaluate::Arguments),
    /// Find faces and their landmarks in photographs
    Detect(detect::Arguments),
    /// Turn a tree of photographs into a tree of aligned crops
    Align(align::Arguments),
    /// Turn aligned face crops or photographs into unit vectors
    Embed(embed::Arguments),
    /// Tell whether two photographs show one person
    Verify(verify::Arguments),
    /// Make a list of pairs of the images of people in folders, to measure a model on
    Pairs(pairs::Arguments),
    /// Compare two evaluations on the same pairs
    Compare(compare::Arguments),
    /// Pool embeddings of images to templates, as IJB-B and IJB-C have them
    Templates(templates::Arguments),
    /// Search probes in a gallery, or among more and more strangers
    Identify(identify::Arguments),
    /// Show a model's card, a recipe's cost, or this processor
    Inspect(inspect::Arguments),
    /// Turn other people's weights or ONNX networks into a model file
    Import(import::Arguments),
    /// Write a model as an ONNX file
    Export(export::Arguments),
    /// List public models that are known, or download one
    Models(models::Arguments),
    /// Turn an InsightFace pack of image pairs into files
    Unpack(unpack::Arguments),
    /// Write a folder tree of synthetic faces
    Synth(synth::Arguments),
    /// Say which scale and margin suit a number of people, and where chosen ones stand
    Advise(advise::Arguments),
    /// Compute a loss and its gradients from a file of features, weights and labels
    Loss(loss::Arguments),
    /// Run the experiments of the CosFace paper
    Paper(paper::Arguments),
    /// Measure speed and memory, as JSON lines
    Bench(bench::Arguments),
}

/// Runs a command.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let done = |()| ExitCode::SUCCESS;
    if let Some(isa) = arguments.isa {
        engine::Isa::force(isa)?;
    }
    match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments).map(done),
        Command::Train(arguments) => train::run(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments).map(done),
        Command::Detect(arguments) => detect::run(&arguments).map(done),
        Command::Align(arguments) => align::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Export(arguments) => export::run(&arguments).map(done),
        Command::Compare(arguments) => compare::run(&arguments).map(done),
        Command::Pairs(arguments) => pairs::run(&arguments).map(done),
        Command::Embed(arguments) => embed::run(&arguments).map(done),
        Command::Templates(arguments) => templates::run(&arguments).map(done),
        Command::Identify(arguments) => identify::run(&arguments).map(done),
        Command::Inspect(arguments) => inspect::run(&arguments).map(done),
        Command::Import(arguments) => import::run(&arguments).map(done),
        Command::Models(arguments) => models::run(&arguments).map(done),
        Command::Unpack(arguments) => unpack::run(&arguments).map(done),
        Command::Synth(arguments) => synth::run(&arguments).map(done),
        Command::Advise(arguments) => advise::run(&arguments).map(done),
        Command::Loss(arguments) => loss::run(&arguments).map(done),
        Command::Paper(arguments) => paper::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments).map(done),
    }
}
