//! Tests of the public interface of `net`, one module for each question:
//!
//! - `architectures`: do the published networks have the published layers, sizes and names?
//! - `atomic`: is a file whole or absent?
//! - `cost`: are multiply-adds and bytes what counting by hand gives?
//! - `description`: which networks are refused, and what shapes follow?
//! - `hostile`: does a damaged file ever do anything but return an error?
//! - `import`: do foreign names find their parameters?
//! - `model_file`: does a model survive writing, and is every mismatch named?
//! - `onnx`: do folding and export keep what a network computes?
//! - `onnx_import`: what becomes of the operators of foreign ONNX files, and what is refused?
//! - `start`: do fresh weights have the published distributions?
//! - `torch`: are PyTorch's files read in full, and is anything else in them refused?

mod architectures;
mod atomic;
mod cost;
mod description;
mod fixture;
mod hostile;
mod import;
mod model_file;
mod naive;
mod onnx;
mod onnx_import;
mod start;
mod torch;
