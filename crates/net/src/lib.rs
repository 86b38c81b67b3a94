//! Face networks as data: nodes, shapes, named parameters, cost and model files.

mod architecture;
pub mod atomic_file;
mod card;
mod check;
mod cost;
mod face_pack;
mod fold;
mod import;
mod init;
mod model;
mod network;
mod onnx;
mod op;
mod parameter;
mod pattern;
mod pickle;
mod resample;
mod shape;
pub mod tensor_file;
mod torch_file;
mod weights;

pub use architecture::{Architecture, ArchitectureError, Family, INPUT_SIDES, WIDTHS};
pub use card::{
    Calibration, Card, CardError, ChannelOrder, FlipRule, LandmarkTemplate, Margin, Preprocessing,
    TrainingData, UnknownFlipRule,
};
pub use check::{
    CHANNELS_AT_MOST, ELEMENTS_AT_MOST, INPUTS_AT_MOST, KERNEL_AT_MOST, NODES_AT_MOST, NetworkError,
    SIDE_AT_MOST,
};
pub use cost::{Cost, Storage, TrainingMemory};
pub use face_pack::{FacePack, FacePackError};
pub use fold::fold_batch_norm;
pub use import::{ImportDescription, ImportError, NameRules, OnnxDescription};
pub use init::{Init, gaussian, initialise};
pub use model::{FORMAT_VERSION, Fingerprint, InvalidModel, Model, ModelFileError};
pub use network::{Input, Network, Node, Source};
pub use onnx::{
    Normalisation, OPERATOR_SETS, OnnxError, OnnxImportError, OnnxNetwork, OnnxOutput, to_onnx, write_onnx,
};
pub use op::{
    BatchNorm, Clip, Convolution, Dropout, Linear, Op, PRelu, Pool, PoolKind, Rounding, Slice, Span, Upsample,
};
pub use parameter::{Parameter, Role};
pub use pattern::PatternError;
pub use pickle::PickleError;
pub use resample::{Coordinates, Extent, Interpolation, Resample, Tap};
pub use shape::Shape;
pub use torch_file::{TorchFile, TorchFileError};
pub use weights::{Tensor, Weights, WeightsError};
