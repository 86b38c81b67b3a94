//! The three networks, with the weights of facenet-pytorch's files.

use std::path::Path;

use net::tensor_file::Values;
use net::{
    Convolution, Init, Input, Linear, Network, Node, Op, PRelu, Pool, PoolKind, Rounding, Shape, Source,
    Tensor, TorchFile, Weights,
};

use crate::DetectError;

/// A network under construction, beside the file its weights come from.
struct Builder<'p> {
    path: &'p Path,
    file: TorchFile,
    nodes: Vec<Node>,
    weights: Weights,
}

/// `P-Net`: any image to two probabilities for each cell of a grid, then four corrections of a box for each.
pub(super) fn proposal(path: &Path) -> Result<(Network, Weights), DetectError> {
    let mut builder = Builder::open(path)?;
    builder.convolution("conv1", 3, Source::Image)?;
    builder.slopes("prelu1")?;
    builder.pool("pool1", 2);
    builder.convolution_after("conv2", 3)?;
    builder.slopes("prelu2")?;
    builder.convolution_after("conv3", 3)?;
    let trunk = builder.slopes("prelu3")?;
    let scores = builder.convolution("conv4_1", 1, trunk)?;
    let probabilities = builder.push("probabilities", Op::Softmax, vec![scores]);
    let boxes = builder.convolution("conv4_2", 1, trunk)?;
    builder.finish("pnet", 12, &[("probabilities", probabilities, 2), ("boxes", boxes, 4)])
}

/// `R-Net`: 24 x 24 to two probabilities and four corrections.
pub(super) fn refinement(path: &Path) -> Result<(Network, Weights), DetectError> {
    let mut builder = Builder::open_at_conv3(path, 2)?;
    builder.turned_linear("dense4", [3, 3])?;
    let trunk = builder.slopes("prelu4")?;
    let scores = builder.linear("dense5_1", trunk)?;
    let probabilities = builder.push("probabilities", Op::Softmax, vec![scores]);
    let boxes = builder.linear("dense5_2", trunk)?;
    builder.finish("rnet", 24, &[("probabilities", probabilities, 2), ("boxes", boxes, 4)])
}

/// `O-Net`: 48 x 48 to two probabilities, four corrections, five columns and five rows of landmarks.
pub(super) fn output(path: &Path) -> Result<(Network, Weights), DetectError> {
    let mut builder = Builder::open_at_conv3(path, 3)?;
    builder.pool("pool3", 2);
    builder.convolution_after("conv4", 2)?;
    builder.slopes("prelu4")?;
    builder.turned_linear("dense5", [3, 3])?;
    let trunk = builder.slopes("prelu5")?;
    let scores = builder.linear("dense6_1", trunk)?;
    let probabilities = builder.push("probabilities", Op::Softmax, vec![scores]);
    let boxes = builder.linear("dense6_2", trunk)?;
    let landmarks = builder.linear("dense6_3", trunk)?;
    builder.finish(
        "onet",
        48,
        &[("probabilities", probabilities, 2), ("boxes", boxes, 4), ("landmarks", landmarks, 10)],
    )
}

/// How weights would start; these never do.
const INIT: Init = Init::KaimingFanOut;

impl<'p> Builder<'p> {
    fn open(path: &'p Path) -> Result<Builder<'p>, DetectError> {
        let file = TorchFile::read(path)?;
        Ok(Builder { path, file, nodes: Vec::new(), weights: Weights::default() })
    }

    /// The first three convolutions, which R-Net and O-Net have alike but for the third kernel.
    fn open_at_conv3(path: &'p Path, third: usize) -> Result<Builder<'p>, DetectError> {
        let mut builder = Builder::open(path)?;
        builder.convolution("conv1", 3, Source::Image)?;
        builder.slopes("prelu1")?;
        builder.pool("pool1", 3);
        builder.convolution_after("conv2", 3)?;
        builder.slopes("prelu2")?;
        builder.pool("pool2", 3);
        builder.convolution_after("conv3", third)?;
        builder.slopes("prelu3")?;
        Ok(builder)
    }

    /// Takes a tensor of so many sides out of the file.
    fn take(&mut self, name: &str, sides: usize) -> Result<Tensor, DetectError> {
        match self.file.tensors.remove(name) {
            Some(array) if array.shape.len() == sides => match array.values {
                Values::F32(values) => Ok(Tensor::new(array.shape, values)),
                _ => Err(self.lacks(name)),
            },
            _ => Err(self.lacks(name)),
        }
    }

    fn lacks(&self, name: &str) -> DetectError {
        DetectError::Tensor { path: self.path.to_owned(), tensor: name.to_owned() }
    }

    fn push(&mut self, name: &str, op: Op, inputs: Vec<Source>) -> Source {
        self.nodes.push(Node { name: name.to_owned(), op, inputs });
        Source::Node(self.nodes.len() - 1)
    }

    fn last(&self) -> Source {
        Source::Node(self.nodes.len() - 1)
    }

    /// A layer with a square kernel: where the boxes lie follows from the kernels, so a file may not change them.
    fn convolution(&mut self, name: &str, side: usize, input: Source) -> Result<Source, DetectError> {
        let weight = self.take(&format!("{name}.weight"), 4)?;
        if weight.shape[2..] != [side, side] {
            return Err(self.lacks(&format!("{name}.weight")));
        }
        let bias = self.take(&format!("{name}.bias"), 1)?;
        let (out_channels, kernel) = (weight.shape[0], [weight.shape[2], weight.shape[3]]);
        self.weights.insert(format!("{name}.weight"), weight);
        self.weights.insert(format!("{name}.bias"), bias);
        let convolution =
            Convolution { out_channels, kernel, stride: 1, padding: 0, groups: 1, bias: true, init: INIT };
        Ok(self.push(name, Op::Convolution(convolution), vec![input]))
    }

    fn convolution_after(&mut self, name: &str, side: usize) -> Result<Source, DetectError> {
        self.convolution(name, side, self.last())
    }

    fn slopes(&mut self, name: &str) -> Result<Source, DetectError> {
        let slopes = self.take(&format!("{name}.weight"), 1)?;
        self.weights.insert(format!("{name}.weight"), slopes);
        let last = self.last();
        Ok(self.push(name, Op::PRelu(PRelu { init: 0.25 }), vec![last]))
    }

    fn pool(&mut self, name: &str, side: usize) {
        let pool = Pool {
            kind: PoolKind::Largest,
            kernel: [side, side],
            stride: 2,
            padding: 0,
            rounding: Rounding::Up,
        };
        let last = self.last();
        self.push(name, Op::Pool(pool), vec![last]);
    }

    fn linear(&mut self, name: &str, input: Source) -> Result<Source, DetectError> {
        let weight = self.take(&format!("{name}.weight"), 2)?;
        self.linear_of(name, weight, input)
    }

    /// A layer over a map of `[height, width]` whose weights stand in the order width, height, channel.
    fn turned_linear(&mut self, name: &str, [height, width]: [usize; 2]) -> Result<Source, DetectError> {
        let weight = self.take(&format!("{name}.weight"), 2)?;
        let inputs = weight.shape[1];
        let channels = inputs / (height * width);
        if channels * height * width != inputs || inputs == 0 {
            return Err(self.lacks(&format!("{name}.weight")));
        }
        let mut values = Vec::with_capacity(weight.values.len());
        for row in weight.values.chunks_exact(inputs) {
            for channel in 0..channels {
                for y in 0..height {
                    values.extend((0..width).map(|x| row[(x * height + y) * channels + channel]));
                }
            }
        }
        let last = self.last();
        self.linear_of(name, Tensor::new(weight.shape, values), last)
    }

    fn linear_of(&mut self, name: &str, weight: Tensor, input: Source) -> Result<Source, DetectError> {
        let bias = self.take(&format!("{name}.bias"), 1)?;
        let linear = Linear { out_features: weight.shape[0], bias: true, init: INIT };
        self.weights.insert(format!("{name}.weight"), weight);
        self.weights.insert(format!("{name}.bias"), bias);
        Ok(self.push(name, Op::Linear(linear), vec![input]))
    }

    fn finish(
        mut self,
        name: &str,
        side: usize,
        outputs: &[(&str, Source, usize)],
    ) -> Result<(Network, Weights), DetectError> {
        self.push("outputs", Op::Join, outputs.iter().map(|(_, source, _)| *source).collect());
        let input = Input { height: side, width: side };
        let network = Network { name: name.to_owned(), input, nodes: self.nodes };
        network.check().map_err(|source| DetectError::Size { height: side, width: side, source })?;
        self.weights
            .check(&network)
            .map_err(|error| DetectError::Plan(engine::EmbeddingPlanError::Weights(error)))?;
        // At this size every output is one cell; what reads them counts on its values.
        let shapes = network.shapes();
        for (output, source, channels) in outputs {
            if network.shape_of(*source, &shapes) != Shape::vector(*channels) {
                return Err(DetectError::Tensor { path: self.path.to_owned(), tensor: (*output).to_owned() });
            }
        }
        Ok((network, self.weights))
    }
}
