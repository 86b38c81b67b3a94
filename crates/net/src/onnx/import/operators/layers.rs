//! Operators with weights.

use super::{Inputs, activation, channels, constant, map, optional_constant, per_channel, unary};
use crate::onnx::import::activation::{Activation, Order};
use crate::onnx::import::attributes::{Attributes, size};
use crate::onnx::import::converter::{Converter, Value};
use crate::{BatchNorm, Convolution, Init, Linear, Op, PRelu, Shape, Tensor};

/// Weights of an imported network are never drawn anew in earnest; this is what training from the start would do.
const INIT: Init = Init::KaimingFanOut;

pub(super) fn convolution(
    converter: &mut Converter<'_>,
    node: Attributes<'_>,
    inputs: Inputs<'_>,
) -> Result<Value, String> {
    let value = map(inputs, 0)?;
    let weight = constant(inputs, 1)?;
    let bias = optional_constant(inputs, 2)?;
    let [out_channels, inputs_of_group, height, width] = weight.dims[..] else {
        return Err(format!("weights of {:?}, where four sides are needed", weight.dims));
    };
    let kernel = [height, width];
    if node.has("kernel_shape") && node.kernel()? != kernel {
        return Err(format!("a kernel_shape unlike its weights, {:?}", weight.dims));
    }
    let groups = size(node.integer("group", 1))?;
    if groups.checked_mul(inputs_of_group) != Some(value.shape.channels) {
        return Err(format!(
            "weights of {:?} in {groups} groups for {} channels",
            weight.dims, value.shape.channels
        ));
    }
    let stride = node.stride()?;
    let padding = node.padding([value.shape.height, value.shape.width], kernel, stride)?;
    let mut parameters = vec![("weight", Tensor::new(weight.dims.clone(), weight.floats()?.to_vec()))];
    if let Some(bias) = bias {
        if bias.dims != [out_channels] {
            return Err(format!("a bias of {:?} for {out_channels} channels", bias.dims));
        }
        parameters.push(("bias", Tensor::new(vec![out_channels], bias.floats()?.to_vec())));
    }
    let bias = bias.is_some();
    let convolution = Convolution { out_channels, kernel, stride, padding, groups, bias, init: INIT };
    let (source, shape) =
        converter.push(node, Op::Convolution(convolution), vec![value.source], parameters)?;
    Ok(Value::Activation(Activation::map(source, shape)))
}

pub(super) fn batch_norm(
    converter: &mut Converter<'_>,
    node: Attributes<'_>,
    inputs: Inputs<'_>,
) -> Result<Value, String> {
    if node.integer("training_mode", 0) != 0 {
        return Err("training_mode".to_owned());
    }
    let value = channels(converter, node, activation(inputs, 0)?)?;
    if value.channel_axis() != Some(1) {
        return Err(format!("an input of {:?} whose channels are not its second side", value.dims));
    }
    let mut parameters = Vec::new();
    for (index, suffix) in [(1, "weight"), (2, "bias"), (3, "running_mean"), (4, "running_var")] {
        let values = constant(inputs, index)?;
        if values.dims != [value.shape.channels] {
            return Err(format!("parameters of {:?} for {} channels", values.dims, value.shape.channels));
        }
        parameters.push((suffix, Tensor::new(values.dims.clone(), values.floats()?.to_vec())));
    }
    let epsilon = node.float("epsilon", 1e-5);
    // The weight of the batch is the complement of ONNX's momentum.
    let momentum = (1.0 - node.float("momentum", 0.9)).clamp(0.0, 1.0);
    unary(converter, node, Op::BatchNorm(BatchNorm { epsilon, momentum }), &value, parameters)
}

pub(super) fn slopes(
    converter: &mut Converter<'_>,
    node: Attributes<'_>,
    inputs: Inputs<'_>,
) -> Result<Value, String> {
    let value = channels(converter, node, activation(inputs, 0)?)?;
    let slopes = per_channel(converter, constant(inputs, 1)?, &value)?;
    let weight = Tensor::new(vec![slopes.len()], slopes);
    unary(converter, node, Op::PRelu(PRelu { init: 0.25 }), &value, vec![("weight", weight)])
}

pub(super) fn gemm(
    converter: &mut Converter<'_>,
    node: Attributes<'_>,
    inputs: Inputs<'_>,
) -> Result<Value, String> {
    let value = activation(inputs, 0)?;
    let weight = constant(inputs, 1)?;
    if node.integer("transA", 0) != 0 || value.dims != [1, value.shape.elements()] {
        return Err(format!("an input of {:?} that is no vector", value.dims));
    }
    let [rows, columns] = weight.dims[..] else {
        return Err(format!("weights of {:?}, where two sides are needed", weight.dims));
    };
    let (alpha, beta) = (node.float("alpha", 1.0), node.float("beta", 1.0));
    let (weight, outputs) = if node.integer("transB", 0) != 0 {
        (weight.clone(), rows)
    } else {
        (weight.transposed(&[1, 0]), columns)
    };
    let scaled =
        |values: &[f32], factor: f32| values.iter().map(|value| value * factor).collect::<Vec<f32>>();
    let bias = match optional_constant(inputs, 2)? {
        None => None,
        Some(bias) => {
            let vector = Activation::vector(value.source, outputs);
            Some(scaled(&per_channel(converter, bias, &vector)?, beta))
        }
    };
    linear(converter, node, value, scaled(weight.floats()?, alpha), outputs, bias)
}

pub(super) fn product(
    converter: &mut Converter<'_>,
    node: Attributes<'_>,
    inputs: Inputs<'_>,
) -> Result<Value, String> {
    let value = activation(inputs, 0)?;
    let weight = constant(inputs, 1)?;
    let [rows, outputs] = weight.dims[..] else {
        return Err(format!("weights of {:?}, where two sides are needed", weight.dims));
    };
    if value.dims.last() != Some(&rows) || value.shape.elements() != rows {
        return Err(format!("a product of {:?} and {:?}, where a vector is needed", value.dims, weight.dims));
    }
    let made = linear(converter, node, value, weight.transposed(&[1, 0]).floats()?.to_vec(), outputs, None)?;
    let Value::Activation(made) = made else { return Ok(made) };
    let leading = &value.dims[..value.dims.len() - 1];
    made.with_dims([leading, &[outputs]].concat()).map(Value::Activation)
}

/// A fully connected layer with weights `[outputs, inputs]` in the order in which the graph reads the input.
fn linear(
    converter: &mut Converter<'_>,
    node: Attributes<'_>,
    value: &Activation,
    weight: Vec<f32>,
    outputs: usize,
    bias: Option<Vec<f32>>,
) -> Result<Value, String> {
    let inputs = value.shape.elements();
    if outputs.checked_mul(inputs) != Some(weight.len()) {
        return Err(format!("{} weights for {inputs} inputs and {outputs} outputs", weight.len()));
    }
    let weight = if value.order == Order::ChannelsLast && !value.is_plain() {
        channels_first(&weight, value.shape)
    } else {
        weight
    };
    let mut parameters = vec![("weight", Tensor::new(vec![outputs, inputs], weight))];
    let op = Op::Linear(Linear { out_features: outputs, bias: bias.is_some(), init: INIT });
    if let Some(bias) = bias {
        parameters.push(("bias", Tensor::new(vec![outputs], bias)));
    }
    let (source, shape) = converter.push(node, op, vec![value.source], parameters)?;
    Ok(Value::Activation(Activation::vector(source, shape.channels)))
}

/// Rows of weights over height, width, channel as rows over channel, height, width.
fn channels_first(weight: &[f32], shape: Shape) -> Vec<f32> {
    let (channels, positions) = (shape.channels, shape.positions());
    let rows = weight.chunks_exact(shape.elements());
    rows.flat_map(|row| {
        (0..channels).flat_map(move |channel| (0..positions).map(move |at| row[at * channels + channel]))
    })
    .collect()
}
