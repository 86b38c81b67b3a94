//! One module for each command.

mod bench;
mod compare;
mod demo;
mod embed;
mod evaluate;
mod identify;
mod import;
mod inspect;
mod loss;
mod synth;
pub(crate) mod terminal;
mod train;
mod unpack;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Photographs of people to a trained, honestly measured, usable face recogniser.
#[derive(Debug, Parser)]
#[command(name = "cosface", version, about, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train with softmax and LMCL on synthetic faces, and measure both on people they have not seen
    Demo(demo::Arguments),
    /// Train a recogniser by a recipe, or on a folder of people
    Train(train::Arguments),
    /// Measure a model, or embeddings alone, on pairs of faces
    Evaluate(evaluate::Arguments),
    /// Compare two evaluations on the same pairs
    Compare(compare::Arguments),
    /// Turn aligned face crops into unit vectors
    Embed(embed::Arguments),
    /// Search probes in a gallery, or among more and more strangers
    Identify(identify::Arguments),
    /// Show a model's card, a recipe's cost, or this processor
    Inspect(inspect::Arguments),
    /// Turn other people's weights into a model file
    Import(import::Arguments),
    /// Turn an InsightFace pack of image pairs into files
    Unpack(unpack::Arguments),
    /// Write a folder tree of synthetic faces
    Synth(synth::Arguments),
    /// Compute a loss and its gradients from a file of features, weights and labels
    Loss(loss::Arguments),
    /// Measure speed and memory, as JSON lines
    Bench(bench::Arguments),
}

/// Runs a command.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let done = |()| ExitCode::SUCCESS;
    match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments).map(done),
        Command::Train(arguments) => train::run(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments).map(done),
        Command::Compare(arguments) => compare::run(&arguments).map(done),
        Command::Embed(arguments) => embed::run(&arguments).map(done),
        Command::Identify(arguments) => identify::run(&arguments).map(done),
        Command::Inspect(arguments) => inspect::run(&arguments).map(done),
        Command::Import(arguments) => import::run(&arguments).map(done),
        Command::Unpack(arguments) => unpack::run(&arguments).map(done),
        Command::Synth(arguments) => synth::run(&arguments).map(done),
        Command::Loss(arguments) => loss::run(&arguments).map(done),
        Command::Bench(arguments) => bench::run(&arguments).map(done),
    }
}
